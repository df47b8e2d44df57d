//! What a project may have, and what it has.

use askama::Template;

use crate::format::Load;
use crate::shell::Shell;

/// One thing that is counted.
#[derive(Clone, Debug)]
pub struct UsageRow {
    /// What: `Servers`.
    pub name: &'static str,
    /// What there is.
    pub used: String,
    /// What there may be; none: no limit.
    pub most: Option<String>,
    /// The same as a bar, where there is a limit.
    pub load: Option<Load>,
    /// Whether nothing more can be had.
    pub full: bool,
}

/// The page.
#[derive(Clone, Debug, Template)]
#[template(path = "usage.html")]
pub struct UsagePage {
    /// What stands around it.
    pub shell: Shell,
    /// All that is counted.
    pub rows: Vec<UsageRow>,
}

impl UsagePage {
    fn any_full(&self) -> bool {
        self.rows.iter().any(|row| row.full)
    }
}
