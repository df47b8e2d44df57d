//! The line to the control plane: calls, and what their failure means.
//!
//! Mutual TLS with our own CA as the only root. The agent always dials, so hosts need no open port. One HTTP/2
//! connection carries watches and reports, with pings so that a dead peer is noticed; images and streams ([`socket`])
//! have connections of their own, so that a long transfer holds up no report. Nothing here retries: the loops ([`watch`], [`report`],
//! [`renew`]) do, each in its own task, and nothing that a VPS needs waits for any of them.

use std::error::Error as _;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use berth_proto::{AGENT_API, EnrolRequest, EnrolResponse, Report, ReportAck, Watch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::enrol::Identity;

pub mod renew;
pub mod report;
pub mod socket;
pub mod tls;
mod trouble;
pub mod watch;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection, or it broke, or it took too long.
    #[error("the control plane cannot be reached: {0}")]
    Unreachable(String),
    /// The control plane does not accept this host, or this token.
    #[error("the control plane refuses this host: {0}")]
    Refused(String),
    /// It answered with an error.
    #[error("the control plane answered {status}: {message}")]
    Status {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It answered with something else than the protocol says.
    #[error("the control plane's answer cannot be read: {0}")]
    Answer(String),
    /// The client could not be made.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

impl From<reqwest::Error> for LinkError {
    fn from(e: reqwest::Error) -> Self {
        let mut text = e.to_string();
        let mut refused = false;
        let mut source = e.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            refused |= is_refusal(cause);
            source = cause.source();
        }
        match (refused, e.is_decode()) {
            (true, _) => Self::Refused(text),
            (_, true) => Self::Answer(text),
            _ => Self::Unreachable(text),
        }
    }
}

/// Whether this cause is the peer's TLS alert about our certificate.
fn is_refusal(cause: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::AlertDescription as Alert;
    let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let tls = inner.and_then(|e| e.downcast_ref()).or_else(|| cause.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::AlertReceived(alert)) = tls else { return false };
    matches!(
        alert,
        Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRequired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::DecryptError
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate
    )
}

#[derive(Debug)]
struct Inner {
    url: String,
    certificate_pem: String,
    calls: reqwest::Client,
    bulk: reqwest::Client,
    /// None in tests that talk without TLS.
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// The line of one host.
#[derive(Debug)]
pub struct Link {
    inner: RwLock<Inner>,
    again: Notify,
}

impl Link {
    /// A line with this identity. Connects when it is first used.
    pub fn new(identity: &Identity) -> Result<Self, LinkError> {
        Ok(Self { inner: RwLock::new(Inner::new(identity)?), again: Notify::new() })
    }

    /// Goes on with another certificate. Calls that run are not disturbed.
    pub fn change(&self, identity: &Identity) -> Result<(), LinkError> {
        let new = Inner::new(identity)?;
        *self.inner.write().expect("no code panics while holding this lock") = new;
        Ok(())
    }

    fn with<T>(&self, get: impl FnOnce(&Inner) -> T) -> T {
        get(&self.inner.read().expect("no code panics while holding this lock"))
    }

    /// Resolves when another loop hears from the control plane again.
    fn answers(&self) -> impl Future<Output = ()> {
        self.again.notified()
    }

    fn answered_again(&self) {
        self.again.notify_waiters();
    }

    /// Base URL of the control plane's listener.
    #[must_use]
    pub fn url(&self) -> String {
        self.with(|i| i.url.clone())
    }

    /// The certificate in use, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.with(|i| i.certificate_pem.clone())
    }

    /// An HTTP client over this TLS configuration.
    pub(crate) fn client(tls: rustls::ClientConfig) -> Result<reqwest::Client, LinkError> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_keep_alive_while_idle(true)
            .http2_adaptive_window(true)
            .build()
            .map_err(|e| LinkError::Setup(e.to_string()))
    }

    /// What the host should hold. Blocks at the server's side until there is news after `since`, or for `wait`.
    /// `networks` is the version of private networks that is known.
    pub async fn watch(&self, since: i64, wait: Duration, networks: &str) -> Result<Watch, LinkError> {
        let (client, url) = self.with(|i| (i.calls.clone(), i.url.clone()));
        let url = format!("{url}{AGENT_API}/watch?since={since}&wait={}&networks={networks}", wait.as_secs());
        let response = client.get(url).timeout(wait + Duration::from_secs(15)).send().await?;
        Ok(checked(response).await?.json().await?)
    }

    /// What the host has.
    pub async fn report(&self, report: &Report) -> Result<ReportAck, LinkError> {
        let (client, url) = self.with(|i| (i.calls.clone(), i.url.clone()));
        post(&client, &url, "/report", report, Duration::from_secs(15)).await
    }

    /// The next certificate.
    pub async fn renew(&self, request: &EnrolRequest) -> Result<EnrolResponse, LinkError> {
        let (client, url) = self.with(|i| (i.calls.clone(), i.url.clone()));
        post(&client, &url, "/renew", request, Duration::from_secs(30)).await
    }

    /// Opens the stream of an offer, at the server that made it or at the one that is called anyway.
    pub async fn stream(&self, at: Option<&str>, id: &str) -> Result<socket::Socket, LinkError> {
        let (tls, own) = self.with(|i| (i.tls.clone(), i.url.clone()));
        let tls = tls.ok_or_else(|| LinkError::Setup("streams need TLS".into()))?;
        socket::open(&tls, at.unwrap_or(&own), id).await
    }

    /// An image's archive from byte `from` on. The response's status says whether the server took `from` to heart.
    pub async fn image(&self, sha256: &str, from: u64) -> Result<reqwest::Response, LinkError> {
        let (client, url) = self.with(|i| (i.bulk.clone(), i.url.clone()));
        let request = client.get(format!("{url}{AGENT_API}/images/{sha256}"));
        let request = if from > 0 { request.header("range", format!("bytes={from}-")) } else { request };
        let response = tokio::time::timeout(Duration::from_secs(30), request.send()).await;
        let response = response.map_err(|_| LinkError::Unreachable("no answer in 30 s".into()))??;
        if response.status() == reqwest::StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        checked(response).await
    }
}

#[cfg(test)]
impl Link {
    /// A line without TLS to a server that a test made.
    pub(crate) fn plain(url: String) -> Self {
        tls::install_provider();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let inner =
            Inner { url, certificate_pem: String::new(), calls: client.clone(), bulk: client, tls: None };
        Self { inner: RwLock::new(inner), again: Notify::new() }
    }
}

impl Inner {
    fn new(identity: &Identity) -> Result<Self, LinkError> {
        let Identity { url, certificate_pem, key_pem, ca_pem, .. } = identity;
        let tls =
            tls::mutual(ca_pem, certificate_pem, key_pem).map_err(|e| LinkError::Setup(e.to_string()))?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            certificate_pem: certificate_pem.clone(),
            calls: Link::client(tls.clone())?,
            bulk: Link::client(tls.clone())?,
            tls: Some(Arc::new(tls)),
        })
    }
}

/// A JSON call.
pub(crate) async fn post<Q: Serialize + Sync, A: DeserializeOwned>(
    client: &reqwest::Client,
    url: &str,
    path: &str,
    body: &Q,
    timeout: Duration,
) -> Result<A, LinkError> {
    let url = format!("{}{AGENT_API}{path}", url.trim_end_matches('/'));
    let response = client.post(url).json(body).timeout(timeout).send().await?;
    Ok(checked(response).await?.json().await?)
}

async fn checked(response: reqwest::Response) -> Result<reqwest::Response, LinkError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.text().await.unwrap_or_default();
    let message = error_message(&body);
    match status.as_u16() {
        401 | 403 => Err(LinkError::Refused(message)),
        status => Err(LinkError::Status { status, message }),
    }
}

/// The words of an error body: `{"error": {"message": …}}`, or the first line of something else.
fn error_message(body: &str) -> String {
    let json = serde_json::from_str::<serde_json::Value>(body).ok();
    let message = json.as_ref().and_then(|j| j["error"]["message"].as_str());
    let message = message.unwrap_or_else(|| body.lines().next().unwrap_or_default());
    message.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_error_are_found() {
        assert_eq!(error_message(r#"{"error":{"code":"forbidden","message":"used up"}}"#), "used up");
        assert_eq!(error_message("Bad Gateway\n<html>"), "Bad Gateway");
        assert_eq!(error_message(""), "");
        assert_eq!(error_message(&"x".repeat(9999)).len(), 300);
    }

    #[test]
    fn an_alert_about_our_certificate_is_a_refusal() {
        let alert = |a| rustls::Error::AlertReceived(a);
        assert!(is_refusal(&alert(rustls::AlertDescription::CertificateRevoked)));
        assert!(is_refusal(&std::io::Error::other(alert(rustls::AlertDescription::UnknownCA))));
        assert!(!is_refusal(&alert(rustls::AlertDescription::InternalError)));
        assert!(!is_refusal(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
    }
}
