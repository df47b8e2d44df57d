//! Names of primary and floating IPs. One that nobody has named is called `primary_ip-<id>` or `floating_ip-<id>`;
//! nothing else may have a name of that form, or a tenant's own choice could stand in the way of their next server.

use super::names::Title;
use crate::error::{Error, Result};

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A primary IP.
    Primary,
    /// A floating IP.
    Floating,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Primary => "primary_ip-",
            Self::Floating => "floating_ip-",
        }
    }

    /// The name of one that nobody has named.
    #[must_use]
    pub fn automatic(self, id: i64) -> String {
        format!("{}{id}", self.prefix())
    }

    /// Checks a name that a tenant has chosen; `own` is the id of one that has a name already.
    pub fn chosen(self, raw: &str, own: Option<i64>) -> Result<Title> {
        let name = Title::parse("name", raw)?;
        let number = name.as_str().strip_prefix(self.prefix()).and_then(|rest| rest.parse::<u64>().ok());
        if number.is_some() && own.map(|id| self.automatic(id)).as_deref() != Some(name.as_str()) {
            let why =
                format!("must not be '{}' and a number: such names are made by the system", self.prefix());
            return Err(Error::invalid("name", why));
        }
        Ok(name)
    }
}

/// Characters that a description may have.
const MAX_DESCRIPTION: usize = 255;

/// Checks what a tenant says about a floating IP; the error names the field `description`.
pub fn description(text: String) -> Result<String> {
    if text.chars().count() > MAX_DESCRIPTION || text.contains('\0') {
        let why = format!("must be at most {MAX_DESCRIPTION} characters, and no NUL");
        return Err(Error::invalid("description", why));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_names_are_left_to_automatic_ones() {
        for (raw, own, fine) in [
            ("web", None, true),
            ("primary_ip-", None, true),
            ("primary_ip-x", None, true),
            ("floating_ip-7", None, true),
            ("primary_ip-7", None, false),
            ("  primary_ip-7 ", None, false),
            ("primary_ip-7", Some(8), false),
            ("primary_ip-7", Some(7), true),
            ("", None, false),
        ] {
            assert_eq!(Kind::Primary.chosen(raw, own).is_ok(), fine, "{raw:?} {own:?}");
        }
        assert!(Kind::Floating.chosen("floating_ip-7", None).is_err());
    }
}
