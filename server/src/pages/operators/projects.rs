//! Projects: all of them, one, its suspension, who is let in.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use berth_web::{
    Field, Form, Input, Notice, Section, TenantMember, TenantPage, TenantRow, TenantsPage, When,
};
use chrono::{DateTime, Utc};

use super::{Asked, blame, confirmed, done, fill, read};
use crate::admin;
use crate::app::App;
use crate::db::directory::{self, Tenant};
use crate::db::page::{Page as Part, Sort};
use crate::db::vps::Filter;
use crate::db::{members, projects, suspension, users, vps};
use crate::domain::guard::parse_reason;
use crate::domain::names::{Email, Title};
use crate::domain::roles::Role;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::pages::dress::{Failed, Page};
use crate::pages::fields::Fields;
use crate::pages::fleet;
use crate::pages::session::{Operator, SignedIn, ThingId};

const PATH: &str = "/fleet/projects";
/// Servers on the page of a project.
const MOST: i64 = 50;

fn path(id: i64) -> String {
    format!("{PATH}/{id}")
}

/// `GET /fleet/projects`.
pub(in crate::pages) async fn list(
    Operator(who): Operator,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failed> {
    Ok((who.told(&app), show_all(&app, &who, &asked, make_form()).await?).into_response())
}

fn make_form() -> Form {
    let name = Input::line("name", "Name").hint("One line; whoever works in it may change it later.");
    Form::new("make", PATH, "Make project", vec![name])
}

async fn show_all(app: &App, who: &SignedIn, asked: &Asked, make: Form) -> Result<Page<TenantsPage>> {
    let now = Utc::now();
    let found = directory::tenants(&app.db, asked.text()?, asked.part()).await?;
    Ok(Page(TenantsPage {
        shell: who.shell(Section::Tenants, None),
        rows: found.items.into_iter().map(|tenant| row(tenant, now)).collect(),
        q: Field::new(&asked.q),
        pager: asked.pager(PATH, found.total),
        make,
    }))
}

fn row(tenant: Tenant, now: DateTime<Utc>) -> TenantRow {
    TenantRow {
        id: tenant.id,
        name: tenant.name,
        owner: tenant.owner,
        members: tenant.members,
        servers: tenant.servers,
        suspended: tenant.suspended_reason,
        created: When::new(tenant.created_at, now),
    }
}

/// `POST /fleet/projects`.
pub(in crate::pages) async fn make(
    Operator(who): Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    match create(&app, &fields).await {
        Ok(id) => Ok(done(&app, &path(id), Notice::ProjectMade)),
        Err(e) => {
            let mut form = make_form();
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            Ok((status, show_all(&app, &who, &Asked::default(), form).await?).into_response())
        }
    }
}

async fn create(app: &App, fields: &Fields) -> Result<i64> {
    let name = Title::parse("name", fields.trimmed("name"))?;
    Ok(projects::create(&app.db, &name).await?.id.0)
}

/// `GET /fleet/projects/{id}`.
pub(in crate::pages) async fn page(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let tenant = directory::tenant(&app.db, ProjectId(id)).await?;
    let (hold, admit) = (hold_form(&tenant), admit_form(id));
    Ok((who.told(&app), show(&app, &who, tenant, hold, admit).await?).into_response())
}

/// Suspends, or lifts the suspension of who is suspended.
fn hold_form(tenant: &Tenant) -> Form {
    if tenant.suspended_reason.is_some() {
        return Form::new("hold", format!("{}/resume", path(tenant.id)), "Lift the suspension", vec![]);
    }
    let reason =
        Input::line("reason", "Reason").hint("Its people read this, and their programs are told it.");
    let inputs = vec![reason, Input::confirm(&tenant.name)];
    Form::new("hold", format!("{}/suspend", path(tenant.id)), "Suspend project", inputs).danger()
}

fn admit_form(id: i64) -> Form {
    let roles = Role::ALL.into_iter().map(|role| (role.name().to_owned(), role.words().to_owned())).collect();
    let inputs = vec![Input::email("email", "E-mail address"), Input::choice("role", "As", roles)];
    Form::new("admit", format!("{}/members", path(id)), "Let in", inputs)
}

async fn show(
    app: &App,
    who: &SignedIn,
    tenant: Tenant,
    hold: Form,
    admit: Form,
) -> Result<Page<TenantPage>> {
    let now = Utc::now();
    let project = ProjectId(tenant.id);
    let newest = Filter { sort: vec![Sort { column: "id", descending: true }], ..Filter::default() };
    let found = vps::list(&app.db, project, &newest, Part::first(MOST)).await?;
    let rows = fleet::rows(app, who, &found.items).await?;
    let member = |m: members::Member| TenantMember {
        id: m.user.0,
        email: m.email,
        words: m.role.words().to_owned(),
        since: When::new(m.since, now),
    };
    Ok(Page(TenantPage {
        shell: who.shell(Section::Tenants, None),
        row: row(tenant, now),
        members: members::list(&app.db, project).await?.into_iter().map(member).collect(),
        more: found.total - i64::try_from(rows.len()).unwrap_or(found.total),
        rows,
        hold,
        admit,
    }))
}

/// `POST /fleet/projects/{id}/suspend`.
pub(in crate::pages) async fn suspend(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let tenant = directory::tenant(&app.db, ProjectId(id)).await?;
    let mut form = hold_form(&tenant);
    fill(&mut form, &fields);
    let reason = read(&mut form, parse_reason(fields.trimmed("reason")))?;
    let sure = confirmed(&mut form, &fields, &tenant.name);
    let Some(reason) = reason.filter(|_| sure) else {
        let page = show(&app, &who, tenant, form, admit_form(id)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    suspension::suspend(&app, ProjectId(id), &reason).await?;
    Ok(done(&app, &path(id), Notice::ProjectSuspended))
}

/// `POST /fleet/projects/{id}/resume`.
pub(in crate::pages) async fn resume(
    Operator(_): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    suspension::resume(&app, ProjectId(id)).await?;
    Ok(done(&app, &path(id), Notice::ProjectResumed))
}

/// `POST /fleet/projects/{id}/members`.
pub(in crate::pages) async fn admit(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let tenant = directory::tenant(&app.db, ProjectId(id)).await?;
    match let_in(&app, ProjectId(id), &fields).await {
        Ok(()) => Ok(done(&app, &path(id), Notice::MemberAdmitted)),
        Err(e) => {
            let mut form = admit_form(id);
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            let hold = hold_form(&tenant);
            Ok((status, show(&app, &who, tenant, hold, form).await?).into_response())
        }
    }
}

async fn let_in(app: &App, project: ProjectId, fields: &Fields) -> Result<()> {
    let email = Email::parse(fields.trimmed("email"))?;
    let role = Role::parse(fields.get("role"))?;
    let nobody = || Error::invalid("email", "there is no account with this address");
    let user = users::find(&app.db, email.as_str()).await?.ok_or_else(nobody)?;
    admin::members::put(app, project, user.id, role).await
}
