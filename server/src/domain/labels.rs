//! Labels of a resource: small key/value pairs that belong to the tenant.
//!
//! A key is `[prefix/]name`: the name up to 63 characters of `[A-Za-z0-9._-]`, beginning and ending with a letter or a
//! digit; the prefix a DNS name of up to 253 characters. A value is empty or follows the rule for names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How many labels one resource may carry.
const MAX_LABELS: usize = 64;

/// Valid labels. `Deserialize` is for rows that were valid when they were written; requests go through [`Labels::parse`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Checks every key and value; the error names the field `labels`.
    pub fn parse(raw: BTreeMap<String, String>) -> Result<Self> {
        if raw.len() > MAX_LABELS {
            return Err(Error::invalid("labels", format!("at most {MAX_LABELS} labels are possible")));
        }
        for (key, value) in &raw {
            if !is_key(key) {
                return Err(Error::invalid(
                    "labels",
                    format!("label key '{key}' is not correctly formatted"),
                ));
            }
            if !is_value(value) {
                let message = format!("label value '{value}' (key: '{key}') is not correctly formatted");
                return Err(Error::invalid("labels", message));
            }
        }
        Ok(Self(raw))
    }

    /// The pairs, by key.
    #[must_use]
    pub fn map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

impl From<sqlx::types::Json<Self>> for Labels {
    fn from(json: sqlx::types::Json<Self>) -> Self {
        json.0
    }
}

/// Whether this is a label key.
#[must_use]
pub fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_name(key),
        Some((prefix, name)) => {
            prefix.len() <= 253 && is_name(name) && prefix.split('.').all(|part| is_dns_label(part, false))
        }
    }
}

/// Whether this is a label value.
#[must_use]
pub fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
}

/// Whether this is one part of a DNS name: up to 63 letters, digits and inner hyphens.
#[must_use]
pub fn is_dns_label(part: &str, upper_case: bool) -> bool {
    let good = |c: u8| c.is_ascii_digit() || c.is_ascii_lowercase() || (upper_case && c.is_ascii_uppercase());
    let bytes = part.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(|c| good(*c))
        && bytes.last().is_some_and(|c| good(*c))
        && bytes.iter().all(|c| good(*c) || *c == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let long = "a".repeat(63);
        for good in ["a", "env", "A-b_c.9", "example.com/env", "a.b-c/X", long.as_str()] {
            assert!(is_key(good), "{good}");
        }
        let too_long = "a".repeat(64);
        let long_prefix = format!("{}/a", ["a".repeat(60).as_str(); 5].join("."));
        for bad in [
            "",
            "-a",
            "a-",
            "a b",
            "ä",
            "/a",
            "a/",
            "a/b/c",
            "Ex.com/a",
            "a..b/c",
            "a=b",
            &too_long,
            &long_prefix,
        ] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn values() {
        for good in ["", "a", "v1.2_3-x"] {
            assert!(is_value(good), "{good}");
        }
        for bad in [" ", "a/b", "-", ".x", &"v".repeat(64)] {
            assert!(!is_value(bad), "{bad}");
        }
    }

    #[test]
    fn the_error_names_the_key() {
        let raw = BTreeMap::from([("good".into(), "x".into()), ("bad key".into(), String::new())]);
        let error = Labels::parse(raw).unwrap_err().to_string();
        assert!(error.contains("'labels'") && error.contains("bad key"), "{error}");
        let many = (0..=MAX_LABELS).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(Labels::parse(many).is_err());
    }
}
