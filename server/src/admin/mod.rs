//! What operators do: the API `/admin/v1` and the commands `berth-server admin`.
//!
//! A file a resource. Each command is one function that takes the shared state and a request type; the API reads that
//! type from JSON and the command line from flags, so both can do the same and neither has a rule of its own.
//!
//! The API needs a token that belongs to no project ([`Operator`](crate::auth::Operator)); every handler takes it as an
//! argument, also those for paths and methods that are not there. The command line is for whoever may read the data directory or knows the database's URL.

#[expect(unused_qualifications, reason = "the expansion of IntoParams for a skipped field")]
pub(crate) mod addresses;
mod announcements;
mod audit;
pub mod cli;
mod closing;
mod encryption;
mod gateways;
mod hosts;
pub(crate) mod images;
pub(crate) mod members;
pub(crate) mod name_servers;
mod places;
mod plans;
pub(crate) mod policies;
pub(crate) mod pools;
pub(crate) mod ports;
mod projects;
mod quotas;
pub(crate) mod reference;
mod server_limits;
mod servers;
mod streams;
mod tasks;
#[expect(unused_qualifications, reason = "the expansion of IntoParams for a skipped field")]
mod tokens;
mod upload;
mod users;

pub(crate) use hosts::enrolment;

use axum::{Extension, Router};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

use crate::api::{method_not_allowed, not_found, shell, traced};
use crate::app::App;
use crate::auth::Operator;
use crate::tasks::Tasks;

/// The operators' API below `/admin/v1`, and its description.
pub fn router(app: &App, tasks: &Tasks) -> (Router, OpenApi) {
    let (router, description) = OpenApiRouter::<App>::new()
        .merge(audit::router())
        .merge(hosts::router())
        .merge(plans::router())
        .merge(policies::router())
        .merge(encryption::router())
        .merge(images::router())
        .merge(streams::router())
        .merge(pools::router())
        .merge(ports::router())
        .merge(gateways::router())
        .merge(name_servers::router())
        .merge(addresses::router())
        .merge(places::router())
        .merge(projects::router())
        .merge(quotas::router())
        .merge(members::router())
        .merge(servers::router())
        .merge(tokens::router())
        .merge(users::router())
        .merge(closing::router())
        .merge(tasks::router())
        .merge(announcements::router())
        .merge(server_limits::router())
        .split_for_parts();
    let (uploads, upload_description) = OpenApiRouter::<App>::new().merge(upload::router()).split_for_parts();
    let router = router
        .fallback(async |_: Operator| not_found().await)
        .method_not_allowed_fallback(async |_: Operator| method_not_allowed().await)
        .layer(Extension(tasks.clone()))
        .with_state(app.clone());
    // An archive is larger than any other body, so its route stands outside the shell that limits them.
    let all = shell(Router::new().nest(PREFIX, router))
        .merge(traced(Router::new().nest(PREFIX, uploads.with_state(app.clone()))));
    let mut described = describe().nest(PREFIX, description);
    described.merge(OpenApi::default().nest(PREFIX, upload_description));
    (all, described)
}

const PREFIX: &str = "/admin/v1";

fn describe() -> OpenApi {
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of the operators' API, 64 characters. Read-only tokens may only GET."))
        .build();
    let components =
        ComponentsBuilder::new().security_scheme("operator", SecurityScheme::Http(token)).build();
    OpenApiBuilder::new().components(Some(components)).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two schemas of one name would be merged into one, silently.
    #[test]
    fn no_schema_has_the_name_of_a_tenants_one() {
        let description = OpenApiRouter::<App>::new()
            .merge(audit::router())
            .merge(hosts::router())
            .merge(plans::router())
            .merge(policies::router())
            .merge(encryption::router())
            .merge(images::router())
            .merge(streams::router())
            .merge(pools::router())
            .merge(ports::router())
            .merge(gateways::router())
            .merge(name_servers::router())
            .merge(addresses::router())
            .merge(places::router())
            .merge(projects::router())
            .merge(quotas::router())
            .merge(members::router())
            .merge(servers::router())
            .merge(tokens::router())
            .merge(users::router())
            .merge(closing::router())
            .merge(upload::router())
            .merge(announcements::router())
            .merge(server_limits::router())
            .split_for_parts()
            .1;
        let names: Vec<String> =
            description.components.expect("there are schemas").schemas.into_keys().collect();
        let shared = [
            "Pagination",
            "berth.Announcement",
            "berth.AnnouncementKind",
            "berth.AuditEntry",
            "Role",
            "Meta",
            "ActionStatus",
            "Status",
            "Suite",
            "berth.Limit",
            "berth.LimitChange",
            "berth.Limits",
            "berth.Quota",
            "berth.Quotas",
        ]; // types that really are the same
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            assert!(name.starts_with("operators.") || shared.contains(&name.as_str()), "{name}");
        }
    }
}
