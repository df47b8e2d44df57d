//! What operators tell: the banner on every page, and their page of all of it.

use askama::Template;

use crate::format::{Field, When};
use crate::shell::Shell;

/// Something that is told on every page until it is put away.
#[derive(Clone, Debug)]
pub struct Banner {
    /// Its id.
    pub id: i64,
    /// In a few words.
    pub title: String,
    /// In more, some lines.
    pub text: String,
    /// `info`, `warning` or `maintenance`.
    pub kind: &'static str,
    /// The location that it is about.
    pub location: Option<String>,
}

impl Banner {
    pub(crate) fn tone(&self) -> &'static str {
        if self.kind == "info" { "" } else { "warn" }
    }
}

/// An announcement, as operators see it.
#[derive(Clone, Debug)]
pub struct AnnouncementRow {
    /// Its id.
    pub id: i64,
    /// In a few words.
    pub title: String,
    /// In more.
    pub text: String,
    /// What sort of news it is.
    pub kind: &'static str,
    /// The location that it is about.
    pub location: Option<String>,
    /// Whether it is shown now.
    pub state: &'static str,
    /// From when.
    pub from: When,
    /// Until when.
    pub until: When,
}

/// What was typed to tell something.
#[derive(Clone, Debug, Default)]
pub struct AnnouncementForm {
    /// In a few words.
    pub title: Field,
    /// In more.
    pub text: Field,
    /// What sort of news it is.
    pub kind: Field,
    /// From when; empty: from now.
    pub from: Field,
    /// Until when.
    pub until: Field,
    /// Name of the location; empty: everywhere.
    pub location: Field,
}

/// The operators' page.
#[derive(Clone, Debug, Template)]
#[template(path = "announcements.html")]
pub struct AnnouncementsPage {
    /// What stands around it.
    pub shell: Shell,
    /// The newest, those that are over included.
    pub rows: Vec<AnnouncementRow>,
    /// Kinds to choose from.
    pub kinds: Vec<&'static str>,
    /// Locations to choose from.
    pub locations: Vec<String>,
    /// What was typed.
    pub form: AnnouncementForm,
}
