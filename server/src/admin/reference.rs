//! Something that a request names by its id or by its name.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// An id or a name. In JSON a number or a string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reference(String);

impl Reference {
    /// Whether a thing with this id and name is meant.
    pub(super) fn is(&self, id: i64, name: &str) -> bool {
        self.0 == name || self.id() == Some(id)
    }

    /// The id, if it can be one.
    pub(super) fn id(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The one of `all` that is meant. A name goes before an id: a name can be made of digits, and then only the name
    /// can have been meant by whoever gave it.
    pub(super) fn find<T>(&self, all: Vec<T>, key: impl Fn(&T) -> (i64, String)) -> Option<T> {
        let by_name = all.iter().position(|item| key(item).1 == self.0);
        let at = by_name.or_else(|| all.iter().position(|item| self.is(key(item).0, &key(item).1)))?;
        all.into_iter().nth(at)
    }
}

impl FromStr for Reference {
    type Err = Infallible;

    fn from_str(s: &str) -> Result<Self, Infallible> {
        Ok(Self(s.to_owned()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "must be an id or a name")]
        enum Either {
            Id(i64),
            Name(String),
        }
        Ok(Self(match Either::deserialize(from)? {
            Either::Id(id) => id.to_string(),
            Either::Name(name) => name,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_told_apart() {
        let all = vec![(1, "two".to_owned()), (2, "1".to_owned()), (3, "three".to_owned())];
        for (json, found) in
            [("3", Some(3)), ("\"three\"", Some(3)), ("\"3\"", Some(3)), ("1", Some(2)), ("9", None)]
        {
            let reference: Reference = serde_json::from_str(json).unwrap();
            assert_eq!(reference.find(all.clone(), Clone::clone).map(|t| t.0), found, "{json}");
        }
        assert!(serde_json::from_str::<Reference>("[]").is_err());
    }
}
