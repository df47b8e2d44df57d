//! Label selectors: `k`, `!k`, `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`; a comma means "and".
//!
//! As in Kubernetes, `!=` and `notin` are also true for resources that do not carry the key at all. [`Selector::matches`]
//! is the meaning; `db::selector` says the same in SQL, and a test holds the two together.

use std::fmt;

use super::labels::{Labels, is_key, is_value};
use crate::error::{Error, Result};

/// Longest selector that is read, and the most requirements it may have.
const MAX_LENGTH: usize = 4096;

/// A valid selector; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

/// One condition on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label key.
    pub key: String,
    /// What must hold for it.
    pub condition: Condition,
}

/// What must hold for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key is there.
    Exists,
    /// The key is not there.
    Absent,
    /// The key has one of these values.
    In(Vec<String>),
    /// The key has none of these values, or is not there.
    NotIn(Vec<String>),
}

impl Selector {
    /// Reads a selector; the error names the field `label_selector`.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text).map_err(|why| Error::invalid("label_selector", why))
    }

    /// Whether these labels satisfy every requirement.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|r| {
            let value = labels.get(&r.key);
            match &r.condition {
                Condition::Exists => value.is_some(),
                Condition::Absent => value.is_none(),
                Condition::In(values) => value.is_some_and(|v| values.iter().any(|x| x == v)),
                Condition::NotIn(values) => value.is_none_or(|v| values.iter().all(|x| x != v)),
            }
        })
    }
}

fn parse(text: &str) -> Result<Selector, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("a selector has at most {MAX_LENGTH} characters"));
    }
    if text.trim().is_empty() {
        return Ok(Selector::default());
    }
    let mut requirements = Vec::new();
    for part in split_outside_parentheses(text)? {
        requirements.push(requirement(part.trim())?);
    }
    Ok(Selector(requirements))
}

/// Splits at the commas that are not inside a list of values.
fn split_outside_parentheses(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' if inside => return Err("a '(' inside of a list".into()),
            '(' => inside = true,
            ')' if !inside => return Err("a ')' without a '('".into()),
            ')' => inside = false,
            ',' if !inside => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err("a '(' without a ')'".into());
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn requirement(text: &str) -> Result<Requirement, String> {
    if text.is_empty() {
        return Err("an empty requirement".into());
    }
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Requirement { key: key_of(key)?, condition: Condition::Absent });
    }
    if let Some(list) = text.strip_suffix(')') {
        let (head, list) = list.split_once('(').ok_or_else(|| format!("'{text}' has a ')' without a '('"))?;
        let (key, operator) = head
            .trim()
            .rsplit_once(char::is_whitespace)
            .ok_or_else(|| format!("no key or operator in '{text}'"))?;
        let values = list.split(',').map(value_of).collect::<Result<Vec<_>, _>>()?;
        let condition = match operator {
            "in" => Condition::In(values),
            "notin" => Condition::NotIn(values),
            other => return Err(format!("'{other}' is not an operator, use 'in' or 'notin'")),
        };
        return Ok(Requirement { key: key_of(key)?, condition });
    }
    let Some(at) = text.find('=') else {
        return Ok(Requirement { key: key_of(text)?, condition: Condition::Exists });
    };
    let (key, value) = (&text[..at], &text[at + 1..]);
    if let Some(key) = key.strip_suffix('!') {
        return Ok(Requirement { key: key_of(key)?, condition: Condition::NotIn(vec![value_of(value)?]) });
    }
    let value = value.strip_prefix('=').unwrap_or(value);
    Ok(Requirement { key: key_of(key)?, condition: Condition::In(vec![value_of(value)?]) })
}

fn key_of(text: &str) -> Result<String, String> {
    let key = text.trim();
    if is_key(key) { Ok(key.into()) } else { Err(format!("'{key}' is not a label key")) }
}

fn value_of(text: &str) -> Result<String, String> {
    let value = text.trim();
    if is_value(value) { Ok(value.into()) } else { Err(format!("'{value}' is not a label value")) }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Requirement { key, condition }) in self.0.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "," })?;
            match condition {
                Condition::Exists => write!(f, "{key}"),
                Condition::Absent => write!(f, "!{key}"),
                Condition::In(values) => write!(f, "{key} in ({})", values.join(",")),
                Condition::NotIn(values) => write!(f, "{key} notin ({})", values.join(",")),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::parse(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()).unwrap()
    }

    #[test]
    fn the_whole_grammar() {
        let prod = labels(&[("env", "prod"), ("tier", "web"), ("example.com/x", "")]);
        for (selector, expected) in [
            ("", true),
            ("env", true),
            ("none", false),
            ("!none", true),
            ("!env", false),
            ("env=prod", true),
            ("env==prod", true),
            ("env = prod", true),
            ("env=dev", false),
            ("env!=prod", false),
            ("env!=dev", true),
            ("none!=dev", true),
            ("env in (dev,prod)", true),
            ("env in (dev, test)", false),
            ("env in(prod)", true),
            ("none in (prod)", false),
            ("env notin (dev,test)", true),
            ("env notin ( prod )", false),
            ("none notin (prod)", true),
            ("example.com/x", true),
            ("example.com/x=", true),
            ("env=prod,tier in (web,db),!none", true),
            ("env=prod,tier in (db),!none", false),
        ] {
            let parsed = Selector::parse(selector).expect(selector);
            assert_eq!(parsed.matches(&prod), expected, "{selector}");
        }
    }

    #[test]
    fn bad_grammar_is_refused() {
        for bad in [
            ",",
            "a,",
            ",a",
            "a,,b",
            "=",
            "=v",
            "!",
            "! ",
            "!=v",
            "!a=b",
            "a=b=c",
            "a===b",
            "a b",
            "a in",
            "a in b",
            "a in (b",
            "a in b)",
            "a in ((b))",
            "a within (b)",
            "in (b)",
            "a in (b) c",
            "a=b c",
            "ä=1",
            "a=(b)",
            "a>1",
            &"a,".repeat(4096),
        ] {
            let error = Selector::parse(bad).expect_err(bad);
            assert_eq!(error.code(), "invalid_input");
        }
    }

    fn selector() -> impl Strategy<Value = Selector> {
        let key = prop_oneof!["[a-z]", "[a-z]/[a-z]", "[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?"];
        let values = || proptest::collection::vec("([a-z0-9]([a-z0-9._-]{0,5}[a-z0-9])?)?", 1..4);
        let condition = prop_oneof![
            Just(Condition::Exists),
            Just(Condition::Absent),
            values().prop_map(Condition::In),
            values().prop_map(Condition::NotIn),
        ];
        let requirement = (key, condition).prop_map(|(key, condition)| Requirement { key, condition });
        proptest::collection::vec(requirement, 0..5).prop_map(Selector)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(selector in selector()) {
            prop_assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-z=!(), inot/.-]{0,40}") {
            let _ = Selector::parse(&text);
        }

        #[test]
        fn a_condition_and_its_opposite_never_agree(value in "[a-c]", other in "[a-c]", there: bool) {
            let carried = if there { labels(&[("k", &value)]) } else { Labels::default() };
            for (a, b) in [("k".to_owned(), "!k".to_owned()), (format!("k={other}"), format!("k!={other}"))] {
                let (a, b) = (Selector::parse(&a).unwrap(), Selector::parse(&b).unwrap());
                prop_assert_ne!(a.matches(&carried), b.matches(&carried));
            }
        }
    }
}
