//! The audit trail: who changed what, of a project or of everything.

use askama::Template;

use crate::format::{Field, When};
use crate::shell::Shell;

/// A change of one value.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which value.
    pub name: String,
    /// What it was; none when there was nothing before.
    pub before: Option<String>,
    /// What it is; none when it is gone.
    pub after: Option<String>,
}

/// An entry of the trail.
#[derive(Clone, Debug)]
pub struct AuditRow {
    /// Its id.
    pub id: i64,
    /// When.
    pub at: When,
    /// Who, in words: an address, "token ci", "system".
    pub who: String,
    /// Where the request came from.
    pub source: Option<String>,
    /// What happened, in words: "server changed".
    pub event: String,
    /// To what: its name, or its number.
    pub target: String,
    /// Method and path, or the command.
    pub request: String,
    /// The request's correlation id.
    pub correlation_id: String,
    /// What differs.
    pub changes: Vec<Change>,
}

/// The page of the trail.
#[derive(Clone, Debug, Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    /// What stands around it.
    pub shell: Shell,
    /// The path of this page.
    pub path: String,
    /// Whose trail it is: "harbour", or "everything".
    pub whose: String,
    /// This page's entries, newest first.
    pub rows: Vec<AuditRow>,
    /// What kind of thing is looked for.
    pub event: Field,
    /// Who is looked for.
    pub actor: Field,
    /// How many there are in all.
    pub total: i64,
    /// Where newer ones are.
    pub newer: Option<String>,
    /// Where older ones are.
    pub older: Option<String>,
}
