//! The last bytes of the console, and where in them each viewer stands.
//!
//! Bytes are counted from the start of the guest. A viewer remembers up to where it has seen them; one that falls
//! further behind than the buffer reaches has missed what lies between, and goes on with the oldest that is left.

/// A buffer of fixed size that forgets its oldest bytes. Nothing is allocated after it was made.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Box<[u8]>,
    next: usize,
    full: bool,
    total: u64,
}

impl Ring {
    pub(crate) fn new(size: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), next: 0, full: false, total: 0 }
    }

    pub(crate) fn push(&mut self, input: &[u8]) {
        let size = self.bytes.len();
        let kept = &input[input.len().saturating_sub(size)..];
        let first = kept.len().min(size - self.next);
        self.bytes[self.next..self.next + first].copy_from_slice(&kept[..first]);
        self.bytes[..kept.len() - first].copy_from_slice(&kept[first..]);
        self.full |= self.next + kept.len() >= size;
        self.next = (self.next + kept.len()) % size;
        self.total += input.len() as u64;
    }

    /// What is remembered, oldest first, in two pieces.
    pub(crate) fn history(&self) -> [&[u8]; 2] {
        let (new, old) = self.bytes.split_at(self.next);
        if self.full { [old, new] } else { [new, &[]] }
    }

    /// How many bytes there have been in all.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The next piece for somebody who has seen `seen` bytes, and the count at which it begins. Empty when there is
    /// nothing new.
    pub(crate) fn after(&self, seen: u64) -> (u64, &[u8]) {
        let [old, new] = self.history();
        let first = self.total - (old.len() + new.len()) as u64;
        let from = seen.clamp(first, self.total);
        let skip = usize::try_from(from - first).expect("no more than the buffer holds");
        let piece = if skip < old.len() { &old[skip..] } else { &new[skip - old.len()..] };
        (from, piece)
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

        #[test]
        fn a_viewer_sees_everything_that_is_still_there_once_and_in_order(
            size in 1_usize..20,
            steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..30), 0_usize..15), 0..20),
        ) {
            let (mut ring, mut all, mut seen) = (Ring::new(size), Vec::new(), 0_u64);
            for (piece, appetite) in steps {
                ring.push(&piece);
                all.extend_from_slice(&piece);
                let (from, next) = ring.after(seen);
                let from = usize::try_from(from).unwrap();
                let oldest = all.len().saturating_sub(size);
                prop_assert_eq!(from, usize::try_from(seen).unwrap().max(oldest), "skips only what is gone");
                prop_assert_eq!(next, &all[from..from + next.len()]);
                prop_assert_eq!(next.is_empty(), from == all.len());
                seen = (from + next.len().min(appetite)) as u64;
            }
            prop_assert_eq!(ring.total(), all.len() as u64);
        }
    }
}
