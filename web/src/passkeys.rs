//! Passkeys: one's own, and being asked for one.

use askama::Template;

use crate::format::When;
use crate::shell::Shell;

/// A form that asks a device for a passkey (`assets/js/passkeys.js`); without script it is not shown.
#[derive(Clone, Debug)]
pub struct PasskeyAsk {
    /// Where the answer goes.
    pub action: &'static str,
    /// Who tells what is to be asked.
    pub options: &'static str,
    /// Where passkeys of this Berth work.
    pub origin: String,
    /// Where to go afterwards: a path of this site, checked.
    pub next: String,
    /// What the button says.
    pub text: &'static str,
}

/// A passkey.
#[derive(Clone, Debug)]
pub struct PasskeyRow {
    /// Its id.
    pub id: i64,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub created: When,
    /// When it was used last.
    pub used: Option<When>,
}

/// The page of one's passkeys.
#[derive(Clone, Debug, Template)]
#[template(path = "passkeys.html")]
pub struct PasskeysPage {
    /// What stands around it.
    pub shell: Shell,
    /// Why there can be none here.
    pub unavailable: Option<String>,
    /// Where passkeys of this Berth work.
    pub origin: String,
    /// The passkeys.
    pub rows: Vec<PasskeyRow>,
    /// Recovery codes that are left.
    pub left: i64,
    /// Why something did not work.
    pub error: Option<String>,
    /// Recovery codes just made, shown this once.
    pub codes: Vec<String>,
}
