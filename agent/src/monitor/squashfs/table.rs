//! The superblock, and the tables that everything else points into: metadata in blocks of at most 8 KiB, ids, fragments.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

const MAGIC: u32 = 0x7371_7368;
const METADATA: usize = 8 << 10;
/// Largest block that the format allows.
const MAX_BLOCK: u32 = 1 << 20;
/// Nothing that is read in one piece is larger in a sane image: a directory, an extended attribute.
const MAX_PIECE: usize = 16 << 20;
/// Decompressed blocks of metadata that are kept, and with them 2 MiB.
const CACHED: usize = 256;
/// A table that is not there.
pub(super) const NONE: u64 = u64::MAX;

/// How blocks are packed.
#[derive(Clone, Copy, Debug)]
enum Packing {
    Gzip,
    Xz,
    Zstd,
}

/// An open file system.
pub(super) struct Image {
    file: File,
    packing: Packing,
    pub(super) block_size: u32,
    /// Where the root directory's inode is.
    pub(super) root: u64,
    pub(super) inodes: u64,
    pub(super) directories: u64,
    pub(super) fragments: (u64, u32),
    pub(super) attributes: u64,
    ids: Vec<u32>,
    cache: HashMap<u64, (Rc<[u8]>, u64)>,
    /// The fragment that was read last: files share them, neighbours mostly.
    pub(super) fragment: Option<(u32, Rc<[u8]>)>,
}

/// A place in metadata.
pub(super) struct Cursor {
    block: Rc<[u8]>,
    at: usize,
    position: u64,
    next: u64,
}

/// What is wrong with the file.
pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the squashfs is damaged: {what}"))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Image {
    pub(super) fn open(file: File) -> io::Result<Self> {
        let mut head = [0; 96];
        file.read_exact_at(&mut head, 0).map_err(|_| damaged("it is too short"))?;
        if u32_at(&head, 0) != MAGIC || (u16_at(&head, 28), u16_at(&head, 30)) != (4, 0) {
            return Err(io::Error::other("this is no squashfs 4.0 file system"));
        }
        let packing = match u16_at(&head, 20) {
            1 => Packing::Gzip,
            4 => Packing::Xz,
            6 => Packing::Zstd,
            2 | 3 | 5 => {
                return Err(io::Error::other(
                    "the squashfs is packed with lzma, lzo or lz4; pack it with gzip, xz or zstd",
                ));
            }
            _ => return Err(damaged("an unknown compressor")),
        };
        let block_size = u32_at(&head, 12);
        if !block_size.is_power_of_two() || !(4096..=MAX_BLOCK).contains(&block_size) {
            return Err(damaged("its block size"));
        }
        let mut image = Self {
            file,
            packing,
            block_size,
            root: u64_at(&head, 32),
            inodes: u64_at(&head, 64),
            directories: u64_at(&head, 72),
            fragments: (u64_at(&head, 80), u32_at(&head, 16)),
            attributes: u64_at(&head, 56),
            ids: Vec::new(),
            cache: HashMap::new(),
            fragment: None,
        };
        for index in 0..u64::from(u16_at(&head, 26)) {
            let id = image.element(u64_at(&head, 48), index, 4)?;
            image.ids.push(u32_at(&id, 0));
        }
        Ok(image)
    }

    /// The user or group by its index.
    pub(super) fn id(&self, index: u16) -> io::Result<u32> {
        self.ids.get(usize::from(index)).copied().ok_or_else(|| damaged("an owner that it does not have"))
    }

    pub(super) fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => damaged("it points past its end"),
            _ => e,
        })?;
        Ok(bytes)
    }

    /// An element of a table that is found through a list of its blocks' positions, which begins at `list`.
    pub(super) fn element(&mut self, list: u64, index: u64, size: usize) -> io::Result<Vec<u8>> {
        let per_block = (METADATA / size) as u64;
        let place = list.checked_add(index / per_block * 8).ok_or_else(|| damaged("a table's place"))?;
        let block = u64_at(&self.read(place, 8)?, 0);
        let offset = (index % per_block) * size as u64;
        self.cursor(block, offset)?.take(self, size)
    }

    /// A place in a table of metadata: the block's position in the upper bits, the offset in it in the lower 16.
    pub(super) fn cursor(&mut self, table: u64, reference: u64) -> io::Result<Cursor> {
        let position = table.checked_add(reference >> 16).ok_or_else(|| damaged("a reference"))?;
        let (block, next) = self.metadata(position)?;
        let at = usize::from(reference.to_le_bytes()[0]) | usize::from(reference.to_le_bytes()[1]) << 8;
        if at > block.len() {
            return Err(damaged("a reference into nothing"));
        }
        Ok(Cursor { block, at, position, next })
    }

    /// The place that [`Cursor::place`] told.
    pub(super) fn cursor_at(&mut self, (position, behind): (u64, usize)) -> io::Result<Cursor> {
        let (block, next) = self.metadata(position)?;
        Ok(Cursor { block, at: behind, position, next })
    }

    /// A block of metadata, and where the next one is.
    fn metadata(&mut self, position: u64) -> io::Result<(Rc<[u8]>, u64)> {
        if let Some(known) = self.cache.get(&position) {
            return Ok(known.clone());
        }
        let header = u16_at(&self.read(position, 2)?, 0);
        let length = usize::from(header & 0x7fff);
        let packed = self.read(position + 2, length)?;
        let block: Rc<[u8]> =
            if header & 0x8000 != 0 { packed.into() } else { self.unpack(&packed, METADATA)?.into() };
        let next = position + 2 + length as u64;
        if self.cache.len() >= CACHED {
            self.cache.clear();
        }
        self.cache.insert(position, (block.clone(), next));
        Ok((block, next))
    }

    /// Unpacks one block, which may not become larger than `most`.
    pub(super) fn unpack(&self, packed: &[u8], most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(most);
        let limit = most as u64 + 1;
        match self.packing {
            Packing::Gzip => flate2::read::ZlibDecoder::new(packed).take(limit).read_to_end(&mut bytes),
            Packing::Xz => liblzma::read::XzDecoder::new(packed).take(limit).read_to_end(&mut bytes),
            Packing::Zstd => zstd::stream::read::Decoder::new(packed)?.take(limit).read_to_end(&mut bytes),
        }
        .map_err(|e| damaged(&format!("a block cannot be unpacked: {e}")))?;
        if bytes.len() > most {
            return Err(damaged("a block is larger than it may be"));
        }
        Ok(bytes)
    }
}

impl Cursor {
    /// Where it stands, to come back later.
    pub(super) fn place(&self) -> (u64, usize) {
        (self.position, self.at)
    }

    /// The next bytes.
    pub(super) fn take(&mut self, image: &mut Image, length: usize) -> io::Result<Vec<u8>> {
        if length > MAX_PIECE {
            return Err(damaged("a directory, name or attribute of absurd size"));
        }
        let mut bytes = Vec::with_capacity(length.min(METADATA));
        while bytes.len() < length {
            if self.at == self.block.len() {
                self.position = self.next;
                (self.block, self.next) = image.metadata(self.position)?;
                self.at = 0;
                continue;
            }
            let part = (length - bytes.len()).min(self.block.len() - self.at);
            bytes.extend_from_slice(&self.block[self.at..self.at + part]);
            self.at += part;
        }
        Ok(bytes)
    }
}
