//! Parts of lists: which page, in which order, and of how many in all.

use std::cmp::Ordering;

use sqlx::{Postgres, QueryBuilder};

/// A page of a list, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Which page.
    pub number: i64,
    /// How many things on a page.
    pub size: i64,
}

impl Page {
    /// Everything that fits into one page of `size`.
    #[must_use]
    pub fn first(size: i64) -> Self {
        Self { number: 1, size }
    }

    /// How many things come before this page.
    #[must_use]
    pub fn offset(self) -> i64 {
        (self.number - 1).saturating_mul(self.size)
    }

    /// This page of a list that is wholly in memory.
    #[must_use]
    pub fn cut<T>(self, all: Vec<T>) -> Listed<T> {
        let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let skip = usize::try_from(self.offset()).unwrap_or(usize::MAX);
        let take = usize::try_from(self.size).unwrap_or(usize::MAX);
        Listed { items: all.into_iter().skip(skip).take(take).collect(), total }
    }
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// This page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: i64,
}

/// One key of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The column; part of the program, never of the request.
    pub column: &'static str,
    /// Whether the greatest comes first.
    pub descending: bool,
}

impl Sort {
    /// Writes `order by`, with the id as the last key, so that pages never overlap.
    pub(crate) fn push(sorts: &[Self], query: &mut QueryBuilder<Postgres>) {
        query.push(" order by ");
        for sort in sorts {
            query.push(sort.column).push(if sort.descending { " desc nulls last, " } else { " asc, " });
        }
        query.push("id asc");
    }

    /// Sorts a list that is wholly in memory; `compare` compares by a column.
    pub fn apply<T>(sorts: &[Self], all: &mut [T], compare: impl Fn(&str, &T, &T) -> Ordering) {
        let one = |sort: &Self, a: &T, b: &T| {
            let order = compare(sort.column, a, b);
            if sort.descending { order.reverse() } else { order }
        };
        all.sort_by(|a, b| {
            sorts.iter().fold(Ordering::Equal, |order, sort| order.then_with(|| one(sort, a, b)))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_list() {
        let cut = |number| Page { number, size: 2 }.cut(vec![1, 2, 3]);
        assert_eq!((cut(1).items, cut(2).items, cut(3).items), (vec![1, 2], vec![3], vec![]));
        assert_eq!(cut(9).total, 3);
        let by = |column, descending| Sort { column, descending };
        let mut pairs = vec![(1, 'b'), (2, 'a'), (3, 'b')];
        Sort::apply(&[by("letter", true), by("number", true)], &mut pairs, |column, a, b| match column {
            "letter" => a.1.cmp(&b.1),
            _ => a.0.cmp(&b.0),
        });
        assert_eq!(pairs, [(3, 'b'), (1, 'b'), (2, 'a')]);
        assert_eq!(Page { number: i64::MAX, size: 50 }.cut(vec![1]).items.len(), 0);
    }
}
