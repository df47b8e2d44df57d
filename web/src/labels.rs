//! Labels as people type them: `env=prod, team=web`, separated by commas or lines.

use std::collections::BTreeMap;

/// Reads labels. Only the shape is checked here; what a key and a value may hold is the domain's business.
///
/// # Errors
/// Says which part cannot be read.
pub fn parse_labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut labels = BTreeMap::new();
    for part in text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() {
            return Err(format!("'{part}' has no key; write key=value"));
        }
        if labels.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("the key '{key}' is there twice"));
        }
    }
    Ok(labels)
}

/// Writes labels so that [`parse_labels`] reads the same again.
#[must_use]
pub fn format_labels(labels: &BTreeMap<String, String>) -> String {
    let parts: Vec<_> =
        labels.iter().map(|(k, v)| if v.is_empty() { k.clone() } else { format!("{k}={v}") }).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let labels = parse_labels("env=prod,\n team = web\nblank").expect("readable");
        assert_eq!(format_labels(&labels), "blank, env=prod, team=web");
        assert_eq!(parse_labels(&format_labels(&labels)), Ok(labels));
        assert_eq!(parse_labels(" , \n"), Ok(BTreeMap::new()));
    }

    #[test]
    fn says_what_it_cannot_read() {
        assert!(parse_labels("=x").is_err_and(|e| e.contains("no key")));
        assert!(parse_labels("a=1,a=2").is_err_and(|e| e.contains("twice")));
    }
}
