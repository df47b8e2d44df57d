//! `/servers/{id}/exec`: programs inside a server, with their standard streams.
//!
//! A request makes a session's name and a one-use URL; the program begins when its WebSocket is opened
//! ([`crate::console`]). Whoever loses the connection asks for another URL to the same session: the host keeps the last
//! 32 KiB of each channel, and the end of a program for five minutes. One that nobody is connected to for ten minutes is
//! killed, and all end with the server's guest.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use berth_proto::{ExecSpec, Stream, TerminalSize, close, is_session};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::api::body::{Raw, parse};
use crate::api::{Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::console::{exec_path, fetch};
use crate::db::console::{self, Asker, LIFETIME_SECONDS};
use crate::db::vps;
use crate::domain::console::may_reach;
use crate::error::{Error, Result};
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(exec)).routes(routes!(attach)).routes(routes!(kill))
}

/// A program to run.
#[derive(Deserialize, ToSchema)]
#[schema(as = berth::NewExec)]
struct NewExec {
    /// The program (a path, or a name that is looked for in `PATH`) and its arguments. No shell is involved.
    argv: Vec<String>,
    /// Environment on top of the usual one.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Where it starts; the user's home if absent.
    cwd: Option<String>,
    /// Name or number of a user of the server; root if absent.
    user: Option<String>,
    /// With a terminal of this size, whose output is all on channel 1.
    tty: Option<Tty>,
}

/// Size of a terminal.
#[derive(Deserialize, ToSchema)]
#[schema(as = berth::Tty)]
struct Tty {
    /// Columns.
    #[schema(minimum = 1, maximum = 1000)]
    cols: u16,
    /// Rows.
    #[schema(minimum = 1, maximum = 1000)]
    rows: u16,
}

/// What the caller knows of the output.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = berth::AttachExec)]
#[serde(default)]
struct Known {
    /// Bytes of standard output.
    stdout: u64,
    /// Bytes of standard error.
    stderr: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::ExecResponse)]
struct ExecResponse {
    /// Names the program from now on.
    session: String,
    /// A WebSocket, good once and for a minute. A binary message is a byte that names the channel (0: standard input, 1:
    /// standard output, 2: standard error) and at most 64 KiB. Text messages from the client:
    /// `{"resize":{"cols":80,"rows":24}}`, `{"signal":"TERM"}` (HUP, INT, QUIT, TERM, KILL, USR1, USR2) and
    /// `{"stdin_close":{}}`. Text messages to it: `{"attached":{"stdout":0,"stderr":0}}` when the program runs, with the
    /// numbers of the bytes that come next (larger ones than were asked for: what lies between is lost), and
    /// `{"exit":{"code":0}}` or `{"exit":{"signal":9}}` before the end. Closes tell why.
    url: String,
    /// Seconds until the URL is worth nothing.
    expires_in: i32,
}

/// Runs a program in a running server.
#[utoipa::path(post, path = "/servers/{id}/exec", tag = "Inside servers", security(("token" = [])),
    params(("id" = i64, Path)), request_body = NewExec,
    responses((status = 201, body = ExecResponse), Problems))]
async fn exec(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Raw(body): Raw,
) -> Result<(StatusCode, Json<ExecResponse>)> {
    vps::get(&app.db, tenant.project_id, id).await?; // what is not there is not told what its body lacks
    let NewExec { argv, env, cwd, user, tty } = parse(&body)?;
    let tty = tty.map(|Tty { cols, rows }| TerminalSize { cols, rows });
    let spec = ExecSpec { argv, env, cwd, user, tty };
    spec.check().map_err(|(field, message)| Error::invalid(field, message))?;
    let session = Uuid::new_v4().to_string();
    ticket(&app, tenant, id, session.clone(), Stream::Exec { vps: id, session, spec }).await
}

/// Connects to a program again.
#[utoipa::path(post, path = "/servers/{id}/exec/{session}/attach", tag = "Inside servers",
    security(("token" = [])), params(("id" = i64, Path), ("session" = String, Path)), request_body = Known,
    responses((status = 201, body = ExecResponse), Problems))]
async fn attach(
    State(app): State<App>,
    tenant: Tenant,
    Path((id, session)): Path<(String, String)>,
    Raw(body): Raw,
) -> Result<(StatusCode, Json<ExecResponse>)> {
    let id = named(&app, tenant, &id, &session).await?;
    let Known { stdout, stderr } = if body.is_empty() { Known::default() } else { parse(&body)? };
    ticket(&app, tenant, id, session.clone(), Stream::ExecAttach { vps: id, session, stdout, stderr }).await
}

/// Kills a program and all that it started.
#[utoipa::path(delete, path = "/servers/{id}/exec/{session}", tag = "Inside servers", security(("token" = [])),
    params(("id" = i64, Path), ("session" = String, Path)),
    responses((status = 204, description = "It is killed, or had ended"), Problems))]
async fn kill(
    State(app): State<App>,
    tenant: Tenant,
    Path((id, session)): Path<(String, String)>,
) -> Result<StatusCode> {
    let id = named(&app, tenant, &id, &session).await?;
    let found = vps::get(&app.db, tenant.project_id, id).await?;
    may_reach(found.status())?;
    let what = Stream::ExecKill { vps: id, session };
    let told = match fetch(&app, found.host_id, id, &what).await {
        Ok(mut host) => super::files::told(&mut host).await,
        Err(end) => end,
    };
    match told.code {
        close::ENDED => Ok(StatusCode::NO_CONTENT),
        close::NO_SUCH => Err(Error::NotFound("session")),
        _ => Err(Error::ResourceUnavailable(told.reason)),
    }
}

/// The server of a path that names one and a session; whether the session is there, its host knows.
async fn named(app: &App, tenant: Tenant, id: &str, session: &str) -> Result<VpsId> {
    let id = VpsId(id.parse().map_err(|_| Error::NotFound("server"))?);
    vps::get(&app.db, tenant.project_id, id).await?;
    if is_session(session) { Ok(id) } else { Err(Error::NotFound("session")) }
}

async fn ticket(
    app: &App,
    tenant: Tenant,
    id: VpsId,
    session: String,
    what: Stream,
) -> Result<(StatusCode, Json<ExecResponse>)> {
    let asker = Asker::Token(tenant.token_id);
    let ticket = console::issue_exec(app, tenant.project_id, id, asker, &what).await?;
    let url = format!("{}{}", app.config.public_socket_url(), exec_path(&ticket));
    Ok((StatusCode::CREATED, Json(ExecResponse { session, url, expires_in: LIFETIME_SECONDS })))
}
