//! Webhooks of a project and the log of their deliveries.

use askama::Template;

use crate::format::{Field, When};
use crate::shell::{ProjectLink, Shell};

/// A webhook.
#[derive(Clone, Debug)]
pub struct WebhookRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Where it leads.
    pub url: String,
    /// What it hears, for people; empty: everything.
    pub kinds: Vec<String>,
    /// Whether it is called.
    pub enabled: bool,
    /// Since when it fails.
    pub failing: Option<When>,
}

/// What was typed to make or change a webhook.
#[derive(Clone, Debug, Default)]
pub struct WebhookForm {
    /// Name.
    pub name: Field,
    /// Where it is to lead.
    pub url: Field,
    /// What it is to hear, separated by spaces or commas.
    pub kinds: Field,
}

/// The page of a project's webhooks.
#[derive(Clone, Debug, Template)]
#[template(path = "webhooks.html")]
pub struct WebhooksPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The webhooks.
    pub rows: Vec<WebhookRow>,
    /// What was typed.
    pub form: WebhookForm,
}

/// A try to deliver.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    /// The event's number; none of a test.
    pub event: Option<i64>,
    /// What happened.
    pub kind: String,
    /// When it was tried.
    pub at: When,
    /// How long it took, for people.
    pub took: String,
    /// The answer's status.
    pub status: Option<i32>,
    /// Why it does not count.
    pub error: Option<String>,
}

/// The page of one webhook.
#[derive(Clone, Debug, Template)]
#[template(path = "webhook.html")]
pub struct WebhookPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The webhook.
    pub hook: WebhookRow,
    /// What signs its requests.
    pub secret: String,
    /// What was typed to change it.
    pub form: WebhookForm,
    /// The newest tries.
    pub deliveries: Vec<DeliveryRow>,
}
