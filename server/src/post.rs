//! Posts news to webhooks: one request each, signed, to no address that a tenant should not reach from in here.
//!
//! Names are resolved for each connection, and what is not public is left out ([`may_call`]), so a name that changes its
//! mind in between gains nothing. No redirect is followed and no proxy of the environment is used. Of the answer only
//! the status is looked at.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::json;

use crate::app::App;
use crate::db::feed::{self, News};
use crate::db::webhooks::{self, Delivery, Outcome, Webhook};
use crate::domain::webhook::{Target, may_call, signature};
use crate::error::{Error, Result};
use crate::ids::{ProjectId, WebhookId};

/// A receiver has this long to answer.
const WITHIN: Duration = Duration::from_secs(10);

/// Posts.
#[derive(Clone, Debug)]
pub struct Poster {
    http: reqwest::Client,
    besides: Arc<[IpNet]>,
}

impl Poster {
    /// One that reaches the public internet, and these networks besides.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(besides: &[IpNet]) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // done already but in tests of parts
        let besides: Arc<[IpNet]> = besides.into();
        let http = reqwest::Client::builder()
            .user_agent(concat!("Berth/", env!("CARGO_PKG_VERSION")))
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(Outside(Arc::clone(&besides))));
        Ok(Self { http: http.build()?, besides })
    }

    /// Networks beside the public internet.
    #[must_use]
    pub fn besides(&self) -> &[IpNet] {
        &self.besides
    }

    /// Posts one thing, once.
    pub(crate) async fn post(&self, hook: &Webhook, id: &str, news: &News) -> Outcome {
        let clock = Instant::now();
        let answer = self.send(hook, id, news).await;
        let took_ms = i32::try_from(clock.elapsed().as_millis()).unwrap_or(i32::MAX);
        match answer {
            Ok(status) if (200..300).contains(&status) => {
                Outcome { took_ms, status: Some(status), error: None }
            }
            Ok(status) => Outcome {
                took_ms,
                status: Some(status),
                error: Some(format!("answered with {status}, not 2xx")),
            },
            Err(why) => Outcome { took_ms, status: None, error: Some(why) },
        }
    }

    async fn send(&self, hook: &Webhook, id: &str, news: &News) -> Result<i32, String> {
        // What was right when it was written may be wrong with today's settings.
        let target = Target::parse(&hook.url, &self.besides).map_err(|e| e.to_string())?;
        let (now, body) = (Utc::now().timestamp(), body(news));
        let signed = signature(&hook.secret, id, now, &body)
            .ok_or("the webhook's secret is damaged: make a new webhook")?;
        let request = self
            .http
            .post(target.url().clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signed)
            .body(body);
        let answer = request.send().await.map_err(|e| why(&e))?;
        Ok(i32::from(answer.status().as_u16()))
    }
}

/// Posts something made up, so that a tenant sees whether the receiver works.
pub(crate) async fn test(app: &App, project: ProjectId, id: WebhookId) -> Result<Delivery> {
    let hook = webhooks::get(&app.db, project, id).await?;
    let news = News {
        seq: 0,
        at: Utc::now(),
        kind: "webhook.test".to_owned(),
        target_id: Some(hook.id.0),
        target: hook.name.clone(),
        body: json!({}),
    };
    now(app, &hook, &format!("berth_test_{}", uuid::Uuid::now_v7()), &news).await
}

/// Posts something again, whatever came of it before. The webhook's place in the feed stays.
pub(crate) async fn again(app: &App, project: ProjectId, id: WebhookId, seq: i64) -> Result<Delivery> {
    let hook = webhooks::get(&app.db, project, id).await?;
    let news = feed::one(&app.db, project, seq).await?;
    now(app, &hook, &message(&hook, seq), &news).await
}

async fn now(app: &App, hook: &Webhook, message: &str, news: &News) -> Result<Delivery> {
    let outcome = app.poster.post(hook, message, news).await;
    let noted = webhooks::log(&app.db, hook.id, news.seq, &news.kind, &outcome).await?;
    noted.ok_or(Error::NotFound("webhook"))
}

/// The id by which a receiver knows what it has had: the same for each try.
pub(crate) fn message(hook: &Webhook, seq: i64) -> String {
    format!("berth_{}_{seq}", hook.id)
}

/// What is posted.
fn body(news: &News) -> String {
    json!({
        "type": news.kind,
        "timestamp": news.at,
        "data": {"id": news.seq, "target_id": news.target_id, "target": news.target, "detail": news.body},
    })
    .to_string()
}

/// The innermost reason: the outer ones say that something failed, not what.
fn why(e: &reqwest::Error) -> String {
    if e.is_timeout() {
        return format!("no answer within {} seconds", WITHIN.as_secs());
    }
    let mut inner: &dyn std::error::Error = e;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string().chars().take(300).collect()
}

/// Resolves names to addresses that may be called.
#[derive(Debug)]
struct Outside(Arc<[IpNet]>);

impl Resolve for Outside {
    fn resolve(&self, name: Name) -> Resolving {
        let besides = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| may_call(address.ip(), &besides)).collect();
            if allowed.is_empty() {
                return Err(format!("{} has no address of the public internet", name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
