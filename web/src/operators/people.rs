//! People who sign in, as operators see them.

use askama::Template;

use crate::form::{Form, Pager};
use crate::format::{Field, When};
use crate::shell::Shell;

/// Somebody who signs in.
#[derive(Clone, Debug)]
pub struct PersonRow {
    /// Their id.
    pub id: i64,
    /// Their address.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// Whether they run this installation.
    pub operator: bool,
    /// Whether their address is known to be theirs.
    pub verified: bool,
    /// Whether a second factor is asked for.
    pub factor: bool,
    /// In how many projects they work.
    pub projects: i64,
    /// In how many browsers they are signed in.
    pub sessions: i64,
    /// When they signed in last.
    pub signed_in: Option<When>,
    /// When their account was made.
    pub created: When,
}

impl PersonRow {
    fn state(&self) -> (&'static str, crate::Icon, &'static str) {
        if self.verified {
            ("ok", crate::icon("circle-check"), "Confirmed")
        } else {
            ("idle", crate::icon("circle-dashed"), "Not confirmed")
        }
    }
}

/// The page of all people.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_people.html")]
pub struct PeoplePage {
    /// What stands around it.
    pub shell: Shell,
    /// This page's people, newest first.
    pub rows: Vec<PersonRow>,
    /// What is looked for.
    pub q: Field,
    /// Where the others are.
    pub pager: Pager,
}

/// The page of one person.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_person.html")]
pub struct PersonPage {
    /// What stands around it.
    pub shell: Shell,
    /// The person.
    pub row: PersonRow,
    /// Where they work: id, name, and what they are there.
    pub projects: Vec<(i64, String, String)>,
    /// Where the trail of what they did is.
    pub trail: String,
    /// Turns their second factor off; none where there is none, and for oneself.
    pub factor_off: Option<Form>,
    /// Looks at their pages in their stead; none for those who run this, too.
    pub act: Option<Form>,
}
