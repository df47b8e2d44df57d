//! Event streams that are open at once are bounded: each holds a task and asks the database again and again.
//!
//! Whoever opens one takes a seat and gives it back by dropping it, however the stream ends. A seat counts for all that it
//! is taken for (a token and its project, or a person), and is refused whole when one of them has none left. Per replica
//! and in memory: a replica that starts anew has no streams, and an exact count over replicas would cost a write per stream.
//! Keys are of tokens, projects and people that were found in the database, and go with their last seat.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::ids::{ProjectId, TokenId, UserId};

/// Whose streams are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Those of an API token.
    Token(TokenId),
    /// Those of all tokens of a project.
    Project(ProjectId),
    /// Those of a person's pages.
    Person(UserId),
}

impl Whose {
    /// How many may be open at once, at one replica.
    #[must_use]
    pub fn most(self) -> u32 {
        match self {
            Self::Token(_) => 16,
            Self::Project(_) => 64,
            Self::Person(_) => 48,
        }
    }

    fn full(self) -> Error {
        let (most, whose) = match self {
            Self::Token(_) => (self.most(), "with this token"),
            Self::Project(_) => (self.most(), "with the tokens of this project"),
            Self::Person(_) => (self.most(), "by your pages"),
        };
        Error::TooManyStreams(format!(
            "{most} event streams are open {whose}, which is the limit: close one before opening another"
        ))
    }
}

/// Counts streams. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Seats(Arc<Mutex<HashMap<Whose, u32>>>);

/// The right to keep one stream open, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    of: Seats,
    whose: Vec<Whose>,
}

impl Seats {
    /// Takes a seat that counts for each of these.
    ///
    /// # Errors
    /// When one of them has no seat left; then none is taken.
    pub fn take(&self, whose: &[Whose]) -> Result<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |one: &&Whose| taken.get(*one).is_some_and(|count| *count >= one.most());
        if let Some(full) = whose.iter().find(full) {
            return Err(full.full());
        }
        for one in whose {
            *taken.entry(*one).or_insert(0) += 1;
        }
        drop(taken);
        Ok(Seat { of: self.clone(), whose: whose.to_vec() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        for one in &self.whose {
            if let Some(count) = taken.get_mut(one) {
                *count = count.saturating_sub(1);
            }
        }
        taken.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_come_back_and_the_refusal_tells_the_limit() {
        let seats = Seats::default();
        let anna = Whose::Person(UserId(1));
        let mut held: Vec<Seat> = (0..anna.most()).map(|_| seats.take(&[anna]).unwrap()).collect();
        let refused = seats.take(&[anna]).unwrap_err();
        assert_eq!((refused.status(), refused.code()), (429, "rate_limit_exceeded"));
        assert!(refused.to_string().starts_with("48 event streams are open by your pages"), "{refused}");
        seats.take(&[Whose::Person(UserId(2))]).unwrap();
        held.pop();
        held.push(seats.take(&[anna]).unwrap());
        drop(held);
        assert!(seats.0.lock().unwrap().is_empty(), "nothing is remembered of who has left");
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let seats = Seats::default();
        let project = Whose::Project(ProjectId(1));
        let of = |token| [Whose::Token(TokenId(token)), project];
        let held: Vec<Seat> =
            (0..i64::from(project.most())).map(|n| seats.take(&of(n / 16)).unwrap()).collect();
        assert!(seats.take(&of(100)).unwrap_err().to_string().contains("64 event streams"));
        assert!(
            seats.take(&of(0)).unwrap_err().to_string().contains("16 event streams are open with this token")
        );
        drop(held);
        assert!(seats.0.lock().unwrap().is_empty());
    }
}
