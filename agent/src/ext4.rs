//! The few fields of an ext4 superblock that sizes depend on, read from an image or a device.
//!
//! Offsets are those of the kernel's `struct ext4_super_block`. What is read is believed only for sizes: guests cannot
//! write their superblock but through the kernel.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Where the superblock begins, and its size.
const OFFSET: u64 = 1024;
const SIZE: usize = 1024;

/// A superblock.
#[derive(Clone, Debug)]
pub(crate) struct Superblock([u8; SIZE]);

impl Superblock {
    /// Reads it.
    pub(crate) fn read(image: &File) -> io::Result<Self> {
        let mut bytes = [0; SIZE];
        image.read_exact_at(&mut bytes, OFFSET)?;
        Ok(Self(bytes))
    }

    /// Blocks in all: `s_blocks_count_lo` at 4 and `_hi` at 0x150.
    pub(crate) fn blocks(&self) -> u64 {
        self.word(0x4) | self.word(0x150) << 32
    }

    /// Bytes in a block: `s_log_block_size` at 0x18.
    pub(crate) fn block_size(&self) -> u64 {
        1024 << self.word(0x18).min(6)
    }

    /// What `df` shows as the size: all blocks but those that ext4 counts as its own, `s_overhead_clusters` at 0x248.
    pub(crate) fn usable(&self) -> u64 {
        self.blocks().saturating_sub(self.word(0x248)) * self.block_size()
    }

    /// Inodes in each group of blocks: `s_inodes_per_group` at 0x28.
    pub(crate) fn inodes_per_group(&self) -> u64 {
        self.word(0x28)
    }

    /// How long the device must be for the file system, grown, to offer so many bytes; its length now if it does. Each
    /// group costs its inode table (256 bytes an inode) and two bitmaps.
    pub(crate) fn length_for(&self, bytes: u64) -> u64 {
        let now = self.blocks() * self.block_size();
        let group = self.word(0x20).max(1) * self.block_size();
        let cost = self.inodes_per_group() * 256 + 2 * self.block_size();
        // resize2fs leaves the superblock's own count at zero until it is mounted
        let usable = self.usable().min(now.saturating_sub(now.div_ceil(group) * cost));
        let lacking = bytes.saturating_sub(usable);
        let net = group.saturating_sub(cost).max(self.block_size());
        let more = u128::from(lacking) * u128::from(group) / u128::from(net);
        // the last group may be a short one, which costs as much
        let slack = if lacking == 0 { 0 } else { cost.next_multiple_of(1 << 20) + (1 << 20) };
        now + u64::try_from(more).unwrap_or(u64::MAX / 2).next_multiple_of(1 << 20) + slack
    }

    /// Whether the image has room for more blocks than the file system has.
    pub(crate) fn is_smaller_than(&self, image_bytes: u64) -> bool {
        self.blocks() < image_bytes / self.block_size()
    }

    fn word(&self, at: usize) -> u64 {
        let bytes = self.0.get(at..at + 4).and_then(|four| four.try_into().ok()).unwrap_or_default();
        u64::from(u32::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_their_places() {
        let mut bytes = [0; SIZE];
        bytes[0x4..0x8].copy_from_slice(&1000_u32.to_le_bytes());
        bytes[0x150] = 1;
        bytes[0x18] = 2;
        bytes[0x248] = 100;
        let superblock = Superblock(bytes);
        assert_eq!(superblock.block_size(), 4096);
        assert_eq!(superblock.blocks(), (1 << 32) + 1000);
        assert_eq!(superblock.usable(), ((1_u64 << 32) + 900) * 4096);
        let mut made = bytes;
        made[0x150] = 0;
        made[0x248] = 0;
        made[0x20..0x24].copy_from_slice(&32_768_u32.to_le_bytes());
        made[0x28..0x2c].copy_from_slice(&8192_u32.to_le_bytes());
        let made = Superblock(made);
        assert_eq!(made.length_for(400 * 4096), 1000 * 4096);
        let long = made.length_for(1 << 30);
        assert!(long > 1 << 30 && long < (1 << 30) / 100 * 103, "{long}");
        let exact = ((1_u64 << 32) + 1000) * 4096;
        assert!(!superblock.is_smaller_than(exact + 4095) && superblock.is_smaller_than(exact + 4096));
    }
}
