//! The last bytes of the console.

/// A buffer of fixed size that forgets its oldest bytes. Nothing is allocated after it was made.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Box<[u8]>,
    next: usize,
    full: bool,
}

impl Ring {
    pub(crate) fn new(size: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), next: 0, full: false }
    }

    pub(crate) fn push(&mut self, input: &[u8]) {
        let size = self.bytes.len();
        let kept = &input[input.len().saturating_sub(size)..];
        let first = kept.len().min(size - self.next);
        self.bytes[self.next..self.next + first].copy_from_slice(&kept[..first]);
        self.bytes[..kept.len() - first].copy_from_slice(&kept[first..]);
        self.full |= self.next + kept.len() >= size;
        self.next = (self.next + kept.len()) % size;
    }

    /// What is remembered, oldest first, in two pieces.
    pub(crate) fn history(&self) -> [&[u8]; 2] {
        let (new, old) = self.bytes.split_at(self.next);
        if self.full { [old, new] } else { [new, &[]] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn remembers_exactly_the_last_bytes(
            size in 1_usize..20,
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10),
        ) {
            let mut ring = Ring::new(size);
            for piece in &pieces {
                ring.push(piece);
            }
            let all = pieces.concat();
            prop_assert_eq!(ring.history().concat(), &all[all.len().saturating_sub(size)..]);
        }
    }
}
