//! API tokens of a project.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use berth_web::{Field, Notice, Section, TokenForm, TokenRow, TokensPage, When};
use chrono::Utc;

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::keys::sentence;
use super::session::{Manager, Member, ThingId};
use crate::app::App;
use crate::db::tokens::{self, Token};
use crate::domain::names::Title;
use crate::error::{Error, Result};
use crate::ids::TokenId;

/// `GET /projects/{project}/tokens`.
pub(super) async fn page(
    Manager(member): Manager,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let secret = cookies::secret(&headers);
    let shown = secret.is_some().then(|| cookies::secret_shown(&app.config, &member.project.path("tokens")));
    let told = member.who.told(&app);
    Ok((shown, told, show(&app, &member, TokenForm::default(), secret).await?).into_response())
}

/// `POST /projects/{project}/tokens`.
pub(super) async fn make(
    Manager(member): Manager,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let writable = fields.get("access") == "write";
    let name = match Title::parse("name", fields.get("name")) {
        Ok(name) => name,
        Err(Error::InvalidInput { message, .. }) => {
            let name = Field { value: fields.get("name").to_owned(), error: Some(sentence(&message)) };
            let page = show(&app, &member, TokenForm { name, writable }, None).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
        Err(e) => return Err(e.into()),
    };
    let (_, secret) = tokens::create(&app.db, Some(member.id()), &name, writable).await?;
    let to = member.project.path("tokens");
    Ok((cookies::show_secret(&app.config, &to, secret.expose()), Redirect::to(&to)).into_response())
}

/// `POST /projects/{project}/tokens/{id}/delete`.
pub(super) async fn delete(
    Manager(member): Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    tokens::delete(&app.db, Some(member.id()), TokenId(id)).await?;
    let to = member.project.path("tokens");
    Ok((cookies::tell(&app.config, &to, Notice::TokenDeleted), Redirect::to(&to)).into_response())
}

async fn show(
    app: &App,
    member: &Member,
    form: TokenForm,
    secret: Option<String>,
) -> Result<Page<TokensPage>> {
    let now = Utc::now();
    let row = |token: Token| TokenRow {
        id: token.id.0,
        name: token.name,
        writable: token.writable,
        created: When::new(token.created_at, now),
        used: token.last_used_at.map(|at| When::new(at, now)),
    };
    Ok(Page(TokensPage {
        shell: member.shell(Section::Tokens),
        project: member.project.clone(),
        rows: tokens::list(&app.db, Some(member.id())).await?.into_iter().map(row).collect(),
        form,
        secret,
        endpoint: endpoint(app),
    }))
}

/// Where clients of the API are pointed.
pub(super) fn endpoint(app: &App) -> String {
    format!("{}/v1", app.config.public_url.trim_end_matches('/'))
}
