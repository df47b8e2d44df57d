//! Who asks for what is being done, for the trail.
//!
//! The trail itself is written by the database (`migrations/0020_audit.sql`), in the transaction of each change, so that
//! none is missed and none is told that was not made. What the database cannot know is who asked. A request that may change
//! something runs inside [`scope`]; whoever finds out who it is says so by [`is`]; and every connection that the request
//! takes from the pool is told ([`tell`]) before it is used and made to forget ([`forget`]) when it is given back. What
//! runs outside of a scope, as background tasks and hosts' reports do, is the system's own doing.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::{ConnectInfo, Request};
use axum::http::Method;
use serde_json::{Value, json};
use sqlx::{PgConnection, query, query_scalar};

use crate::ids::{TokenId, UserId};

tokio::task_local! {
    static ASKED: Arc<Asked>;
}

/// Connections that were told and have not forgotten yet; while there are none, giving one back costs nothing.
static TOLD: AtomicUsize = AtomicUsize::new(0);

/// A request that may change something.
#[derive(Debug)]
pub struct Asked {
    source: Option<IpAddr>,
    request: String,
    correlation_id: String,
    actor: OnceLock<Actor>,
}

/// Who asked.
#[derive(Clone, Debug)]
pub enum Actor {
    /// Somebody who signed in, or tries to.
    User(UserId, String),
    /// An operator in the stead of somebody else, by both their addresses.
    Acting(UserId, String, String),
    /// A program with a project's token, by its name.
    Token(TokenId, String),
    /// A program with a token of the operators' API.
    OperatorToken(TokenId, String),
    /// Whoever typed `berth-server admin`, by the operating system's name.
    Command(String),
}

impl Asked {
    /// A command of the command line.
    #[must_use]
    pub fn command(request: &str) -> Self {
        let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|v| std::env::var(v).ok());
        let actor = OnceLock::from(Actor::Command(name.unwrap_or_else(|| "unknown".into())));
        Self { source: None, request: request.into(), correlation_id: String::new(), actor }
    }

    /// What connections are told; read by the trigger function `audited`.
    fn context(&self) -> Value {
        let both;
        let (kind, id, name) = match self.actor.get() {
            Some(Actor::User(id, email)) => ("user", Some(id.0), email.as_str()),
            Some(Actor::Acting(id, email, stead)) => {
                both = format!("{email} as {stead}");
                ("user", Some(id.0), both.as_str())
            }
            Some(Actor::Token(id, name)) => ("token", Some(id.0), name.as_str()),
            Some(Actor::OperatorToken(id, name)) => ("operator_token", Some(id.0), name.as_str()),
            Some(Actor::Command(name)) => ("command", None, name.as_str()),
            None => ("nobody", None, ""),
        };
        json!({"kind": kind, "id": id, "name": name, "source": self.source, "request": self.request,
               "correlation_id": self.correlation_id})
    }
}

/// Runs what answers a request; those that only read need no scope.
pub async fn answer<T>(request: Request, correlation_id: &str, run: impl AsyncFnOnce(Request) -> T) -> T {
    // Who comes back from the provider is sent here by GET, and signs in.
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads && request.uri().path() != crate::auth::provider::BACK {
        return run(request).await;
    }
    let source = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let asked = Asked {
        source,
        // Paths hold ids and no secrets; queries are left out.
        request: format!("{} {}", request.method(), request.uri().path()).chars().take(200).collect(),
        correlation_id: correlation_id.to_owned(),
        actor: OnceLock::new(),
    };
    scope(asked, run(request)).await
}

/// Runs something that was asked for.
pub async fn scope<F: Future>(asked: Asked, run: F) -> F::Output {
    ASKED.scope(Arc::new(asked), run).await
}

/// Says who asks, as soon as it is known. Outside of a scope nothing happens.
pub fn is(actor: Actor) {
    let _ = ASKED.try_with(|asked| asked.actor.set(actor)); // the first one stays
}

/// Before a connection is used: tells it who asks.
pub(crate) async fn tell(connection: &mut PgConnection) -> sqlx::Result<()> {
    let Ok(context) = ASKED.try_with(|asked| asked.context()) else {
        return Ok(());
    };
    TOLD.fetch_add(1, Ordering::Relaxed);
    query("select set_config('berth.actor', $1, false)")
        .bind(context.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// After a connection was used: makes it forget.
pub(crate) async fn forget(connection: &mut PgConnection) -> sqlx::Result<()> {
    if TOLD.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    let was = query_scalar("select coalesce(current_setting('berth.actor', true), '')");
    let was: String = was.fetch_one(&mut *connection).await?;
    if !was.is_empty() {
        query("select set_config('berth.actor', '', false)").execute(connection).await?;
        TOLD.fetch_sub(1, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_who_is_known_stays() {
        let context = scope(Asked::command("hosts cordon"), async {
            is(Actor::User(UserId(7), "a@b.example".into()));
            ASKED.with(|asked| asked.context())
        });
        let context = context.await;
        assert_eq!((&context["kind"], &context["request"]), (&json!("command"), &json!("hosts cordon")));
        is(Actor::User(UserId(7), "outside".into()));
        assert!(ASKED.try_with(|_| ()).is_err());
    }

    #[tokio::test]
    async fn reading_has_no_scope_and_queries_are_not_told() {
        let inside = async |_: Request| ASKED.try_with(|asked| asked.request.clone()).ok();
        let get = Request::get("/v1/servers").body(axum::body::Body::empty()).unwrap();
        assert_eq!(answer(get, "x", inside).await, None);
        let post = Request::post("/v1/servers?secret=1").body(axum::body::Body::empty()).unwrap();
        assert_eq!(answer(post, "x", inside).await, Some("POST /v1/servers".into()));
    }
}
