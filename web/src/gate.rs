//! Signing in.

use askama::Template;

use crate::format::Field;
use crate::shell::Theme;

/// The page to sign in.
#[derive(Clone, Debug, Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    /// Light or dark.
    pub theme: Theme,
    /// The address typed; the password is never shown again.
    pub email: Field,
    /// Why it did not work.
    pub error: Option<String>,
    /// Where to go afterwards: a path of this site, checked.
    pub next: String,
}
