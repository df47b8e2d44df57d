//! Inodes: what a name stands for. Each kind has a short form and a long one.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;

use super::blocks::Blocks;
use super::table::{Cursor, Image, NONE, damaged, u16_at, u32_at, u64_at};

/// No fragment, no attributes.
const ABSENT: u32 = u32::MAX;
/// As the kernel has it.
const MAX_TARGET: usize = 4096;
/// Of one file.
const MAX_ATTRIBUTES: u32 = 64;

/// An inode.
pub(super) struct Inode {
    pub(super) mode: u32,
    /// Index of the owner.
    pub(super) uid: u16,
    /// Index of the group.
    pub(super) gid: u16,
    /// Seconds since 1970.
    pub(super) modified: u32,
    pub(super) number: u32,
    pub(super) links: u32,
    attributes: u32,
    pub(super) content: Content,
}

/// What is in it.
pub(super) enum Content {
    Directory {
        block: u32,
        offset: u16,
        size: u32,
    },
    File(Data),
    Link(OsString),
    /// A device, pipe or socket.
    Other,
}

/// Where a file's bytes are.
pub(super) struct Data {
    pub(super) size: u64,
    start: u64,
    /// Number of a fragment block that holds the end of the file, and where in it.
    fragment: Option<(u32, u32)>,
    /// Where the blocks' sizes are: the list may be long, so it is read along the way.
    sizes: (u64, usize),
}

/// A name in a directory.
pub(super) struct Entry {
    pub(super) name: OsString,
    /// Where its inode is.
    pub(super) inode: u64,
}

impl Inode {
    /// Reads the one at this place.
    pub(super) fn read(image: &mut Image, reference: u64) -> io::Result<Self> {
        let inodes = image.inodes;
        let mut cursor = image.cursor(inodes, reference)?;
        let head = cursor.take(image, 16)?;
        let kind = u16_at(&head, 0);
        let (mut links, mut attributes) = (1, ABSENT);
        let content = match kind {
            1 => {
                let b = cursor.take(image, 16)?;
                Content::Directory {
                    block: u32_at(&b, 0),
                    size: u16_at(&b, 8).into(),
                    offset: u16_at(&b, 10),
                }
            }
            8 => {
                let b = cursor.take(image, 24)?;
                attributes = u32_at(&b, 20);
                Content::Directory { block: u32_at(&b, 8), size: u32_at(&b, 4), offset: u16_at(&b, 18) }
            }
            2 => {
                let b = cursor.take(image, 16)?;
                let fragment = (u32_at(&b, 4), u32_at(&b, 8));
                Content::File(Data::new(u32_at(&b, 12).into(), u32_at(&b, 0).into(), fragment, &cursor))
            }
            9 => {
                let b = cursor.take(image, 40)?;
                (links, attributes) = (u32_at(&b, 24), u32_at(&b, 36));
                let fragment = (u32_at(&b, 28), u32_at(&b, 32));
                Content::File(Data::new(u64_at(&b, 8), u64_at(&b, 0), fragment, &cursor))
            }
            3 | 10 => {
                let length = u32_at(&cursor.take(image, 8)?, 4) as usize;
                if length > MAX_TARGET {
                    return Err(damaged("a link of absurd length"));
                }
                Content::Link(OsString::from_vec(cursor.take(image, length)?))
            }
            4..=7 | 11..=14 => Content::Other,
            _ => return Err(damaged("an unknown kind of file")),
        };
        Ok(Self {
            mode: u32::from(u16_at(&head, 2)) & 0o7777,
            uid: u16_at(&head, 4),
            gid: u16_at(&head, 6),
            modified: u32_at(&head, 8),
            number: u32_at(&head, 12),
            links,
            attributes,
            content,
        })
    }

    /// The names in a directory.
    pub(super) fn entries(&self, image: &mut Image) -> io::Result<Vec<Entry>> {
        let Content::Directory { block, offset, size } = self.content else {
            return Err(damaged("its root is no directory"));
        };
        // Sizes count three bytes for the dots, which are not stored.
        let mut left = (size as usize).saturating_sub(3);
        let directories = image.directories;
        let mut entries = Vec::new();
        if left == 0 {
            return Ok(entries);
        }
        let mut cursor = image.cursor(directories, u64::from(block) << 16 | u64::from(offset))?;
        let mut take = |image: &mut Image, length: usize| {
            left = left.checked_sub(length).ok_or_else(|| damaged("a directory is cut off"))?;
            Ok::<_, io::Error>((cursor.take(image, length)?, left))
        };
        loop {
            let (head, _) = take(image, 12)?;
            let count = u32_at(&head, 0);
            if count >= 256 {
                return Err(damaged("a directory's list of names"));
            }
            let mut rest = 0;
            for _ in 0..=count {
                let (fixed, _) = take(image, 8)?;
                let (name, more) = take(image, usize::from(u16_at(&fixed, 6)) + 1)?;
                rest = more;
                if name.len() > 255
                    || name == b"."
                    || name == b".."
                    || name.contains(&b'/')
                    || name.contains(&0)
                {
                    return Err(damaged("a name that no file can have"));
                }
                let inode = u64::from(u32_at(&head, 4)) << 16 | u64::from(u16_at(&fixed, 0));
                entries.push(Entry { name: OsString::from_vec(name), inode });
            }
            if rest == 0 {
                return Ok(entries);
            }
        }
    }

    /// Extended attributes that mean something in a guest: those of users, and file capabilities. The overlay's own
    /// could hide what lies below, labels of security modules and `trusted` ones are the host's.
    pub(super) fn attributes(&self, image: &mut Image) -> io::Result<Vec<(String, Vec<u8>)>> {
        if self.attributes == ABSENT || image.attributes == NONE {
            return Ok(Vec::new());
        }
        let at = image.attributes;
        let table = u64_at(&image.read(at, 16)?, 0);
        let list = at.checked_add(16).ok_or_else(|| damaged("its attributes"))?;
        let entry = image.element(list, self.attributes.into(), 16)?;
        let count = u32_at(&entry, 8);
        if count > MAX_ATTRIBUTES {
            return Err(damaged("a file with too many attributes"));
        }
        let mut cursor = image.cursor(table, u64_at(&entry, 0))?;
        let mut found = Vec::new();
        for _ in 0..count {
            let head = cursor.take(image, 4)?;
            let name = cursor.take(image, u16_at(&head, 2).into())?;
            let value = value(image, &mut cursor)?;
            let elsewhere = u16_at(&head, 0) & 0x100 != 0;
            let prefix = match u16_at(&head, 0) & 0xff {
                0 => "user.",
                2 => "security.",
                _ => continue,
            };
            let Ok(name) = String::from_utf8(name) else { continue };
            let name = format!("{prefix}{name}");
            if name.starts_with("user.overlay.") || prefix == "security." && name != "security.capability" {
                continue;
            }
            let value = match (elsewhere, value.len()) {
                (false, _) => value,
                (true, 8) => {
                    let mut there = image.cursor(table, u64_at(&value, 0))?;
                    self::value(image, &mut there)?
                }
                (true, _) => return Err(damaged("an attribute")),
            };
            found.push((name, value));
        }
        Ok(found)
    }
}

fn value(image: &mut Image, cursor: &mut Cursor) -> io::Result<Vec<u8>> {
    let length = u32_at(&cursor.take(image, 4)?, 0) as usize;
    cursor.take(image, length)
}

impl Data {
    fn new(size: u64, start: u64, fragment: (u32, u32), cursor: &Cursor) -> Self {
        let fragment = Some(fragment).filter(|(number, _)| *number != ABSENT);
        Self { size, start, fragment, sizes: cursor.place() }
    }

    /// Its blocks, from the first.
    pub(super) fn blocks(&self, image: &mut Image) -> io::Result<Blocks> {
        Ok(Blocks::new(image.cursor_at(self.sizes)?, self.start, self.fragment))
    }
}
