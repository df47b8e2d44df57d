//! A page that says one thing: not found, not allowed, our fault.

use askama::Template;

use crate::shell::{Acting, Theme};

/// The page.
#[derive(Clone, Debug, Template)]
#[template(path = "message.html")]
pub struct MessagePage {
    /// Light or dark.
    pub theme: Theme,
    /// HTTP status.
    pub status: u16,
    /// What it is, in a few words.
    pub title: String,
    /// What it means and what to do.
    pub text: String,
    /// Who it is really and whose pages they see, if an operator in somebody's stead.
    pub acting: Option<(Acting, String)>,
    /// By which an operator finds the request in the log.
    pub correlation_id: String,
}
