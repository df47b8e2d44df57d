//! The audit trail, of a project and of everything.

use std::collections::BTreeSet;

use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use berth_web::{AuditPage, AuditRow, Change, Field, Section, Shell, When};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::dress::{Failed, Page};
use super::session::{Member, Operator};
use crate::api::audit_lines;
use crate::app::App;
use crate::db::audit::{self, Entry, Filter};
use crate::db::page;
use crate::error::{Error, Result};
use crate::ids::ProjectId;

const PER_PAGE: i64 = 50;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    event: String,
    #[serde(default)]
    actor: String,
    page: Option<i64>,
}

/// `GET /projects/{project}/audit`.
pub(super) async fn of_project(
    member: Member,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failed> {
    let path = member.project.path("audit");
    let whose = format!("the project {}", member.project.name);
    let page = show(&app, member.shell(Section::Audit), Some(member.id()), path, whose, asked).await?;
    Ok(page.into_response())
}

/// `GET /projects/{project}/audit/export`.
pub(super) async fn export_project(member: Member, State(app): State<App>) -> Response {
    audit_lines(&app, Some(member.id()))
}

/// `GET /fleet/audit`.
pub(super) async fn of_everything(
    Operator(who): Operator,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failed> {
    let shell = who.shell(Section::FleetAudit, None);
    let page = show(&app, shell, None, "/fleet/audit".into(), "this installation".into(), asked).await?;
    Ok(page.into_response())
}

/// `GET /fleet/audit/export`.
pub(super) async fn export_everything(_: Operator, State(app): State<App>) -> Response {
    audit_lines(&app, None)
}

async fn show(
    app: &App,
    shell: Shell,
    project: Option<ProjectId>,
    path: String,
    whose: String,
    asked: Asked,
) -> Result<Page<AuditPage>> {
    if asked.event.contains('\0') || asked.actor.contains('\0') {
        return Err(Error::invalid("event", "must not hold NUL characters"));
    }
    let number = asked.page.unwrap_or(1).clamp(1, 1 << 40);
    let text = |text: &str| Some(text.trim().to_owned()).filter(|t| !t.is_empty());
    let filter =
        Filter { project, event: text(&asked.event), actor: text(&asked.actor), ..Filter::default() };
    let part = audit::list(&app.db, &filter, page::Page { number, size: PER_PAGE }).await?;
    let now = Utc::now();
    let turn = |to: i64| {
        let pairs = [("event", asked.event.as_str()), ("actor", &asked.actor), ("page", &to.to_string())];
        let query = pairs.map(|(name, value)| format!("{name}={}", super::dress::encode(value))).join("&");
        format!("{path}?{query}")
    };
    Ok(Page(AuditPage {
        newer: (number > 1).then(|| turn(number - 1)),
        older: (number * PER_PAGE < part.total).then(|| turn(number + 1)),
        rows: part.items.into_iter().map(|entry| row(entry, now)).collect(),
        shell,
        whose,
        event: Field::new(&asked.event),
        actor: Field::new(&asked.actor),
        total: part.total,
        path,
    }))
}

fn row(entry: Entry, now: DateTime<Utc>) -> AuditRow {
    let who = match entry.actor_kind.as_str() {
        "user" => entry.actor.clone(),
        "token" => format!("token {}", entry.actor),
        "operator_token" => format!("operator's token {}", entry.actor),
        "command" => format!("command by {}", entry.actor),
        "nobody" => "nobody signed in".into(),
        _ => "system".into(),
    };
    let number = entry.target_id.map(|id| format!("#{id}")).unwrap_or_default();
    AuditRow {
        id: entry.id,
        at: When::new(entry.at, now),
        who,
        source: entry.source,
        event: entry.event.replace(['.', '_'], " "),
        target: [entry.target, number].join(" ").trim().to_owned(),
        request: entry.request,
        correlation_id: entry.correlation_id,
        changes: changes(entry.before.as_ref(), entry.after.as_ref()),
    }
}

/// Value by value, by name.
fn changes(before: Option<&Value>, after: Option<&Value>) -> Vec<Change> {
    let keys = |side: Option<&Value>| {
        side.and_then(Value::as_object).map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
    };
    let names: BTreeSet<String> = keys(before).into_iter().chain(keys(after)).collect();
    let text = |side: Option<&Value>, name: &str| match side?.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let change = |name: String| Change { before: text(before, &name), after: text(after, &name), name };
    names.into_iter().map(change).filter(|c| c.before.is_some() || c.after.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_told_value_by_value() {
        let (before, after) = (json!({"name": "a", "limit": null}), json!({"name": "b", "limit": 3}));
        let told: Vec<_> =
            changes(Some(&before), Some(&after)).into_iter().map(|c| (c.name, c.before, c.after)).collect();
        assert_eq!(
            told,
            [
                ("limit".to_owned(), None, Some("3".to_owned())),
                ("name".to_owned(), Some("a".to_owned()), Some("b".to_owned()))
            ]
        );
        assert!(changes(None, None).is_empty());
    }
}
