//! The bytes of one file: whole blocks of its own, and its end mostly in a block that it shares with other files.

use std::io;
use std::rc::Rc;

use super::table::{Cursor, Image, damaged, u32_at, u64_at};

/// Says that a block is stored as it is.
const PLAIN: u32 = 1 << 24;

/// Reads one file.
pub(super) struct Blocks {
    sizes: Cursor,
    position: u64,
    fragment: Option<(u32, u32)>,
}

impl Blocks {
    pub(super) fn new(sizes: Cursor, position: u64, fragment: Option<(u32, u32)>) -> Self {
        Self { sizes, position, fragment }
    }

    /// The next `wanted` bytes, at most a block; none for a hole.
    pub(super) fn next(&mut self, image: &mut Image, wanted: u64) -> io::Result<Option<Vec<u8>>> {
        let wanted = usize::try_from(wanted).map_err(|_| damaged("a block's size"))?;
        if let Some((number, offset)) = self.fragment.filter(|_| wanted < image.block_size as usize) {
            let shared = fragment(image, number)?;
            let offset = offset as usize;
            let part = offset.checked_add(wanted).and_then(|end| shared.get(offset..end));
            return Ok(Some(part.ok_or_else(|| damaged("the end of a file"))?.to_vec()));
        }
        let size = u32_at(&self.sizes.take(image, 4)?, 0);
        if size == 0 {
            return Ok(None);
        }
        let block = stored(image, self.position, size)?;
        self.position =
            self.position.checked_add(u64::from(size & !PLAIN)).ok_or_else(|| damaged("a block's place"))?;
        if block.len() != wanted {
            return Err(damaged("a block of a wrong size"));
        }
        Ok(Some(block))
    }
}

fn fragment(image: &mut Image, number: u32) -> io::Result<Rc<[u8]>> {
    if let Some((_, block)) = image.fragment.as_ref().filter(|(known, _)| *known == number) {
        return Ok(block.clone());
    }
    let (list, count) = image.fragments;
    if number >= count {
        return Err(damaged("a fragment that it does not have"));
    }
    let entry = image.element(list, number.into(), 16)?;
    let block: Rc<[u8]> = stored(image, u64_at(&entry, 0), u32_at(&entry, 8))?.into();
    image.fragment = Some((number, block.clone()));
    Ok(block)
}

fn stored(image: &Image, position: u64, size: u32) -> io::Result<Vec<u8>> {
    let (plain, size) = (size & PLAIN != 0, size & !PLAIN);
    if size > image.block_size {
        return Err(damaged("a block that is too large"));
    }
    let bytes = image.read(position, size as usize)?;
    if plain { Ok(bytes) } else { image.unpack(&bytes, image.block_size as usize) }
}
