//! Signing in, and what else is before the dashboard: making an account, confirming it, a new password, an invitation.

use askama::Template;

use crate::format::Field;
use crate::passkeys::PasskeyAsk;
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
    /// Whether strangers may make accounts.
    pub open: bool,
    /// Whether mail leaves, so that a forgotten password can be replaced.
    pub mails: bool,
    /// Signing in by a passkey, where there are any.
    pub passkey: Option<PasskeyAsk>,
    /// Where to sign in besides: its name, and a path of this site that leads there.
    pub provider: Option<(String, String)>,
}

/// A field of a [`GatePage`].
#[derive(Clone, Debug)]
pub struct GateField {
    /// Its name, and its id.
    pub name: &'static str,
    /// What people read.
    pub label: &'static str,
    /// `text`, `email` or `password`.
    pub kind: &'static str,
    /// What browsers fill in.
    pub autocomplete: &'static str,
    /// Whether it must be filled in.
    pub required: bool,
    /// What was typed; never a password.
    pub field: Field,
}

/// A page before the dashboard: a few fields and a button.
#[derive(Clone, Debug, Template)]
#[template(path = "gate.html")]
pub struct GatePage {
    /// Light or dark.
    pub theme: Theme,
    /// What it is about.
    pub title: String,
    /// What to know or to do.
    pub lead: String,
    /// Why it did not work.
    pub error: Option<String>,
    /// Where the form goes.
    pub action: &'static str,
    /// What goes with it.
    pub hidden: Vec<(&'static str, String)>,
    /// What is to be filled in.
    pub fields: Vec<GateField>,
    /// What the button says; none when there is nothing to do.
    pub button: Option<&'static str>,
    /// Other ways to go: text and path.
    pub links: Vec<(&'static str, String)>,
    /// A passkey instead.
    pub passkey: Option<PasskeyAsk>,
}
