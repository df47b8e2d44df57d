//! Text from agents, made fit to be kept and shown: an agent is not trusted, and Postgres takes no NUL.

/// One line of at most `most` characters, without control characters.
pub(crate) fn line(s: &str, most: usize) -> String {
    s.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect::<String>().trim().to_owned()
}

/// The same for every string inside a JSON value, keys included.
pub(super) fn clean(value: serde_json::Value, most: usize) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(s) => Value::String(line(&s, most)),
        Value::Array(items) => items.into_iter().map(|v| clean(v, most)).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (line(&k, most), clean(v, most))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_refuses_is_gone() {
        let value = serde_json::json!({"a\u{0}": ["x\u{0}\ny", 1, null]});
        assert_eq!(clean(value, 3), serde_json::json!({"a": ["x", 1, null]}));
    }
}
