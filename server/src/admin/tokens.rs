//! API tokens, of projects and of the operators' API. A token is shown once, when it is made.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{projects, reference::Reference};
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db;
use crate::domain::names::Title;
use crate::domain::reach::{Reach, parse_end, parse_sources};
use crate::domain::scopes::Scopes;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, TokenId};

/// An API token, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Token)]
pub(super) struct Token {
    id: i64,
    /// Its project; none for the operators' API.
    project_id: Option<i64>,
    name: String,
    writable: bool,
    created_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    /// What it may do and nothing else, as `servers:write`; null: what `writable` says.
    scopes: Option<Vec<String>>,
    /// Until when it is good; null: until it is deleted.
    expires_at: Option<DateTime<Utc>>,
    /// Networks that it may be used from; none: from anywhere.
    sources: Vec<String>,
}

impl From<db::tokens::Token> for Token {
    fn from(t: db::tokens::Token) -> Self {
        Self {
            id: t.id.0,
            project_id: t.project_id.map(|p| p.0),
            name: t.name,
            writable: t.writable,
            created_at: t.created_at,
            last_used_at: t.last_used_at,
            scopes: t.reach.scopes.map(|scopes| scopes.names()),
            expires_at: t.reach.expires_at,
            sources: t.reach.sources.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A new token.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewToken)]
pub(super) struct NewToken {
    #[command(flatten)]
    #[serde(flatten)]
    of: Of,
    /// What it is for.
    #[arg(long, default_value = "unnamed")]
    name: String,
    /// Whether it may change things; true unless said otherwise.
    #[arg(skip)]
    writable: Option<bool>,
    /// It may only read.
    #[serde(skip)]
    #[schema(ignore)]
    #[arg(long)]
    read_only: bool,
    /// It may do this and nothing else, as servers:write; may be given several times. Who may write may read.
    #[arg(long = "scope", conflicts_with_all = ["read_only", "read_write"])]
    #[serde(default)]
    scopes: Option<Vec<String>>,
    /// Until when it is good, such as 2027-02-09T12:00:00Z; without it until it is deleted.
    #[arg(long)]
    #[serde(default)]
    expires_at: Option<String>,
    /// A network or an address that it may be used from; may be given several times, without it from anywhere.
    #[arg(long = "source")]
    #[serde(default)]
    sources: Vec<String>,
    /// It may change things, too (the default).
    #[serde(skip)]
    #[schema(ignore)]
    #[arg(long = "rw", conflicts_with = "read_only")]
    read_write: bool,
}

/// Whose tokens are meant.
#[derive(Clone, Debug, Default, Deserialize, ToSchema, IntoParams, clap::Args)]
#[schema(as = operators::Of)]
#[group(required = true, multiple = false)]
#[into_params(parameter_in = Query)]
pub(super) struct Of {
    /// Those of this project, by id or name. Without it, those of the operators' API.
    #[schema(value_type = Option<String>)]
    #[param(value_type = Option<String>)]
    #[arg(long)]
    #[serde(default)]
    project: Option<Reference>,
    /// Those of the operators' API.
    #[serde(skip)]
    #[schema(ignore)]
    #[param(ignore)]
    #[arg(long, alias = "admin")]
    operator: bool,
}

/// A token that was just made.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = operators::MadeToken)]
pub(super) struct MadeToken {
    pub(super) token: Token,
    /// The token itself: shown now and never again.
    pub(super) secret: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::TokensResponse)]
struct TokensResponse {
    tokens: Vec<Token>,
}

async fn owner(app: &App, of: &Of) -> Result<Option<ProjectId>> {
    match &of.project {
        Some(project) => Ok(Some(projects::find(app, project).await?.id)),
        None => Ok(None),
    }
}

/// The tokens of a project or of the operators' API.
pub(super) async fn list(app: &App, of: &Of) -> Result<Vec<Token>> {
    let owner = owner(app, of).await?;
    Ok(db::tokens::list(&app.db, owner).await?.into_iter().map(Token::from).collect())
}

/// Makes a token.
pub(super) async fn create(app: &App, new: NewToken) -> Result<MadeToken> {
    let owner = owner(app, &new.of).await?;
    if new.scopes.is_some() && owner.is_none() {
        return Err(Error::invalid(
            "scopes",
            "are for tokens of projects; this one is of the operators' API",
        ));
    }
    if new.scopes.is_some() && new.writable.is_some() {
        return Err(Error::invalid(
            "writable",
            "cannot be given together with scopes, which say it themselves",
        ));
    }
    let name = Title::parse("name", &new.name)?;
    let writable = new.writable.unwrap_or(!new.read_only);
    let reach = Reach {
        scopes: new.scopes.map(|names| Scopes::parse("scopes", &names)).transpose()?,
        expires_at: new.expires_at.map(|end| parse_end("expires_at", &end, Utc::now())).transpose()?,
        sources: parse_sources("sources", &new.sources)?,
    };
    let (token, secret) = db::tokens::create_bounded(&app.db, owner, &name, writable, &reach).await?;
    Ok(MadeToken { token: token.into(), secret: secret.expose().to_owned() })
}

/// Makes a token stop working.
pub(super) async fn delete(app: &App, of: &Of, id: TokenId) -> Result<()> {
    db::tokens::delete(&app.db, owner(app, of).await?, id).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_all, post)).routes(routes!(delete_one))
}

/// Lists tokens.
#[utoipa::path(get, path = "/tokens", tag = "Operators: tokens", security(("operator" = [])), params(Of),
    responses((status = 200, body = TokensResponse), Problems))]
async fn get_all(State(app): State<App>, _: Operator, Query(of): Query<Of>) -> Result<Json<TokensResponse>> {
    Ok(Json(TokensResponse { tokens: list(&app, &of).await? }))
}

/// Makes a token.
#[utoipa::path(post, path = "/tokens", tag = "Operators: tokens", security(("operator" = [])),
    request_body = NewToken, responses((status = 201, body = MadeToken), Problems))]
async fn post(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>)> {
    Ok((StatusCode::CREATED, Json(create(&app, new).await?)))
}

/// Makes a token stop working.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "Operators: tokens", security(("operator" = [])),
    params(("id" = i64, Path), Of), responses((status = 204), Problems))]
async fn delete_one(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<TokenId>,
    Query(of): Query<Of>,
) -> Result<StatusCode> {
    delete(&app, &of, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
