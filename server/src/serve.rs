//! The control plane as one value: [`start`] it, [`Server::stop`] it. Tests start the real thing on port 0.
//!
//! Start: Postgres (embedded, or the one that was given), migrations under a lock, what a first start needs, the
//! fleet's CA, both listeners, background tasks. Stop: no new connections, blocked watches, event streams and
//! consoles end at once, other requests get [`GRACE`], tasks end, and the embedded Postgres stops last. Nothing is lost by a kill
//! instead: all that matters is in committed transactions.

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::Config;
use crate::first_start::{FirstStart, first_start};
use crate::fleet::ca::Ca;
use crate::fleet::{self, Fleet, Listener};
use crate::postgres::Embedded;
use crate::tasks::Tasks;
use crate::{admin, api, console, db, pages};

/// How long requests may go on after the stop.
const GRACE: Duration = Duration::from_secs(5);

/// A running control plane. Dropping it aborts what runs; [`Server::stop`] ends it in order.
#[derive(Debug)]
pub struct Server {
    /// Where listener 1 listens.
    pub api_addr: SocketAddr,
    /// Where listener 2 listens.
    pub agent_addr: SocketAddr,
    /// The shared state.
    pub app: App,
    /// Who may sign in, if this was the first start of the installation.
    pub first_start: Option<FirstStart>,
    /// How the background tasks are doing.
    pub tasks: Tasks,
    stop: CancellationToken,
    running: JoinSet<()>,
    postgres: Option<Embedded>,
}

/// Opens the database that the configuration names, or the embedded one, and brings its schema up to date.
///
/// # Errors
/// When it cannot be reached, started or migrated.
pub async fn open(config: &Config, borrow: bool) -> anyhow::Result<(App, Option<Embedded>)> {
    let (url, postgres) = match &config.database_url {
        Some(url) => (url.clone(), None),
        None => {
            let postgres = match borrow {
                true => Embedded::borrow(&config.data_dir).await?,
                false => Embedded::own(&config.data_dir).await?,
            };
            (sqlx::ConnectOptions::to_url_lossy(&postgres.options()).to_string(), Some(postgres))
        }
    };
    let app = async {
        let db = db::connect(&url).await?;
        db::migrate(&db).await?;
        App::new(db, config.clone())
    };
    match app.await {
        Ok(app) => Ok((app, postgres)),
        Err(e) => {
            close(None, postgres).await;
            Err(e)
        }
    }
}

/// Closes what [`open`] opened.
pub async fn close(app: Option<&App>, postgres: Option<Embedded>) {
    if let Some(app) = app {
        app.db.close().await;
    }
    if let Some(postgres) = postgres
        && let Err(e) = postgres.stop().await
    {
        tracing::error!(error = format!("{e:#}"), "the embedded Postgres did not stop");
    }
}

/// Starts a control plane.
///
/// # Errors
/// When anything that it needs cannot be had; says what, and leaves nothing running.
pub async fn start(config: Config) -> anyhow::Result<Server> {
    let _ = rustls::crypto::ring::default_provider().install_default(); // installed before: the same one
    let (app, postgres) = open(&config, false).await?;
    match launch(app.clone()).await {
        Ok(server) => Ok(Server { postgres, ..server }),
        Err(e) => {
            close(Some(&app), postgres).await;
            Err(e)
        }
    }
}

async fn launch(app: App) -> anyhow::Result<Server> {
    let config = &app.config;
    let bind = async |address: SocketAddr| {
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
    };
    let (api, agents) = (bind(config.listen).await?, bind(config.agent_listen).await?);
    let (api_addr, agent_addr) = (api.local_addr()?, agents.local_addr()?);
    let first_start = first_start(&app).await?;
    let ca = Ca::load(&app.db).await?;
    let listener = Listener::new(agents, ca.clone(), &config.agent_names)?;
    db::settings::set(&app.db, db::settings::AGENT_URL, agent_url(config, agent_addr)).await?;

    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    let tasks = Tasks::start(&app, &mut running, &stop);
    let fleet = Fleet { app: app.clone(), ca, stop: stop.clone() };
    running.spawn(listener.serve(fleet::router(fleet), stop.clone()));
    running.spawn(serve_api(api, router(&app, &tasks), stop.clone()));
    Ok(Server { api_addr, agent_addr, app, first_start, tasks, stop, running, postgres: None })
}

/// Base URL of the agents' listener, as enrolment tokens name it.
fn agent_url(config: &Config, bound: SocketAddr) -> String {
    let name = config.agent_names.first().map_or("localhost", String::as_str);
    let host = match name.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => name.to_owned(),
    };
    format!("https://{host}:{}", bound.port())
}

/// All routes of listener 1.
fn router(app: &App, tasks: &Tasks) -> Router {
    let (tenants, mut description) = api::router(app.clone());
    let (operators, operators_description) = admin::router(app, tasks);
    description.merge(operators_description);
    let description = Arc::new(description);
    let openapi = async move || Json(Arc::clone(&description));
    let own = Router::new().route("/healthz", get(healthz)).route("/openapi.json", get(openapi));
    let own = own.with_state(app.clone()).merge(console::router(app.clone()));
    own.merge(tenants).merge(operators).merge(pages::router(app.clone()))
}

/// Whether this replica can serve: it reaches its database.
async fn healthz(State(app): State<App>) -> (StatusCode, &'static str) {
    match sqlx::query("select 1").execute(&app.db).await {
        Ok(_) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}

async fn serve_api(listener: TcpListener, router: Router, stop: CancellationToken) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serve = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let over = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = serve.into_future() => if let Err(e) = ended {
            tracing::error!(error = %e, "the API's listener ended");
        },
        () = over => {}
    }
}

impl Server {
    /// Base URL of listener 1.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.api_addr)
    }

    /// Ends it in order.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.app.wake.close();
        self.app.consoles.close(GRACE).await;
        while self.running.join_next().await.is_some() {}
        close(Some(&self.app), self.postgres.take()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_told_a_url_that_works() {
        let bound = SocketAddr::from(([0, 0, 0, 0], 9443));
        for (name, url) in [
            ("control.example", "https://control.example:9443"),
            ("192.0.2.7", "https://192.0.2.7:9443"),
            ("2001:db8::7", "https://[2001:db8::7]:9443"),
        ] {
            let config = Config { agent_names: vec![name.into()], ..Config::default() };
            assert_eq!(agent_url(&config, bound), url);
        }
    }
}
