//! Validated values that people type: names, e-mail addresses, passwords, user data.
//!
//! The only constructor of each is `parse`; its error names the field.

use std::fmt;

use super::labels::is_dns_label;
use crate::error::{Error, Result};

/// Name of a VPS: a host name by RFC 1123, at most 63 characters in all, because it becomes the guest's host name and
/// Linux keeps 64. Compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpsName(String);

impl VpsName {
    /// Checks a name; the error names the field `name`.
    pub fn parse(raw: &str) -> Result<Self> {
        if !raw.is_empty() && raw.len() <= 63 && raw.split('.').all(|part| is_dns_label(part, true)) {
            Ok(Self(raw.into()))
        } else {
            let rule = "must be a host name: letters, digits, hyphens and dots, at most 63 characters, \
                        each part beginning and ending with a letter or digit";
            Err(Error::invalid("name", rule))
        }
    }
}

/// A name without further meaning: one line of 1 to 128 characters, not only spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    /// Checks a name; the error names `field`.
    pub fn parse(field: &str, raw: &str) -> Result<Self> {
        let name = raw.trim();
        if name.is_empty() || name.chars().count() > 128 || name.chars().any(char::is_control) {
            return Err(Error::invalid(field, "must be one line of 1 to 128 characters"));
        }
        Ok(Self(name.into()))
    }
}

/// A name of something that operators make (location, plan, host, pool …): lower-case letters, digits and inner
/// hyphens, at most 63 characters. Clients put these names into URLs and shell lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slug(String);

impl Slug {
    /// Checks a name; the error names `field`.
    pub fn parse(field: &str, raw: &str) -> Result<Self> {
        if is_dns_label(raw, false) {
            Ok(Self(raw.into()))
        } else {
            Err(Error::invalid(field, "must be lower-case letters, digits and inner hyphens, at most 63"))
        }
    }
}

/// An e-mail address, as far as it matters to tell people apart. Kept as typed, compared in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Checks an address; the error names the field `email`.
    pub fn parse(raw: &str) -> Result<Self> {
        let address = raw.trim();
        let odd = |c: char| c.is_whitespace() || c.is_control();
        match address.rsplit_once('@') {
            Some((local, host))
                if !local.is_empty()
                    && !host.is_empty()
                    && address.len() <= 254
                    && !address.contains(odd) =>
            {
                Ok(Self(address.into()))
            }
            _ => Err(Error::invalid("email", "must be an e-mail address")),
        }
    }

    /// An address that mail can be sent to, which is stricter; the error names the field `email`.
    pub fn mailable(self) -> Result<Self> {
        match self.0.parse::<lettre::Address>() {
            Ok(_) => Ok(self),
            Err(_) => Err(Error::invalid("email", "must be an e-mail address that mail can be sent to")),
        }
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text!(VpsName, Title, Slug, Email);

/// A password that somebody chose for the dashboard. Never shown by `Debug`.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Checks a password; the error names the field `password`. The upper bound keeps hashing cheap.
    pub fn parse(raw: &str) -> Result<Self> {
        match raw.chars().count() {
            10..=256 => Ok(Self(raw.into())),
            _ => Err(Error::invalid("password", "must have 10 to 256 characters")),
        }
    }

    /// The password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Largest user data.
pub const MAX_USER_DATA: usize = 32 * 1024;

/// User data, as the tenant gave it; empty means none. May hold secrets: never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData(String);

impl UserData {
    /// Checks the size; the error names the field `user_data`.
    pub fn parse(raw: &str) -> Result<Option<Self>> {
        if raw.len() > MAX_USER_DATA {
            return Err(Error::invalid("user_data", format!("must be at most {MAX_USER_DATA} bytes")));
        }
        if raw.contains('\0') {
            return Err(Error::invalid("user_data", "must not hold NUL characters"));
        }
        Ok((!raw.is_empty()).then(|| Self(raw.into())))
    }

    /// The data.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserData({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_vpses() {
        for good in ["a", "web-1", "Web.Example.com", "1", &"a".repeat(63)] {
            assert_eq!(VpsName::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", ".", "a.", ".a", "-a", "a-", "a_b", "a b", "ä", "a..b", "a\n", "a/b", &"a".repeat(64)]
        {
            assert!(VpsName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn slugs_and_titles() {
        assert!(Slug::parse("name", "cx-22").is_ok());
        for bad in ["", "CX22", "a_b", "-", "a.b"] {
            assert!(Slug::parse("name", bad).is_err(), "{bad:?}");
        }
        assert_eq!(Title::parse("name", " My key ").unwrap().as_str(), "My key");
        for bad in ["", "  ", "a\nb", &"x".repeat(129)] {
            assert!(Title::parse("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses() {
        for good in ["a@b", "first.last+x@example.com"] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b\n@c"] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let password = Password::parse("correct horse battery").unwrap();
        assert!(!format!("{password:?}").contains("horse"));
        let data = UserData::parse("#cloud-config\nsecret").unwrap();
        assert!(!format!("{data:?}").contains("secret"));
        assert!(Password::parse("short").is_err());
    }

    #[test]
    fn user_data_is_bounded() {
        assert_eq!(UserData::parse("").unwrap(), None);
        assert!(UserData::parse(&"x".repeat(MAX_USER_DATA)).unwrap().is_some());
        assert!(UserData::parse(&"x".repeat(MAX_USER_DATA + 1)).is_err());
        assert!(UserData::parse("a\0b").is_err());
    }
}
