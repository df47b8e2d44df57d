//! Text from agents, made fit to be kept and shown: an agent is not trusted, and Postgres takes no NUL.

/// One line of at most `most` characters, without control characters.
pub(crate) fn line(s: &str, most: usize) -> String {
    s.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect::<String>().trim().to_owned()
}

/// A name that somebody hostile has chosen, of at most `most` characters: what cannot be seen, or would change how the
/// text around it is read, becomes a question mark.
pub(super) fn name(s: &str, most: usize) -> String {
    let harmless = |c: char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1;
    s.chars().take(most).map(|c| if harmless(c) { c } else { '?' }).collect()
}

/// [`line`] for every string inside a JSON value, keys included.
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
    fn names_have_no_tricks() {
        assert_eq!(name("caf\u{e9} \u{202e}\u{0}\n\u{200b}\"'\\<b>", 99), "café ????\"'\\<b>");
        assert_eq!(name("0123456789", 4), "0123");
    }

    #[test]
    fn what_postgres_refuses_is_gone() {
        let value = serde_json::json!({"a\u{0}": ["x\u{0}\ny", 1, null]});
        assert_eq!(clean(value, 3), serde_json::json!({"a": ["x", 1, null]}));
    }
}
