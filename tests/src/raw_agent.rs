//! An agent that says exactly what a test tells it to: late, wrong or hostile words that a real one would not say.

use std::time::Duration;

use berth_proto::{AGENT_API, EnrolRequest, EnrolResponse, EnrolToken, Report, ReportAck, Watch};
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Client, Identity};

/// A certificate with its key, or none.
#[derive(Clone, Debug)]
pub struct RawAgent {
    http: Client,
    /// HTTP/1.1 only: that is what upgrades.
    old: Client,
    base: String,
}

/// A key and a request for a certificate.
pub struct Request {
    key: KeyPair,
    csr_pem: String,
}

impl Request {
    /// A fresh key.
    ///
    /// # Panics
    /// When none can be made.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("keys can be made");
        // Whatever an agent asks to be called is ignored; say something that would be bad if it were not.
        let params = CertificateParams::new(vec!["localhost".into()]).expect("a plain name");
        let csr_pem =
            params.serialize_request(&key).and_then(|csr| csr.pem()).expect("a request can be signed");
        Self { key, csr_pem }
    }
}

impl Default for Request {
    fn default() -> Self {
        Self::new()
    }
}

/// Trades a one-time token for a certificate.
///
/// # Errors
/// When the server refuses: status and body.
///
/// # Panics
/// When it cannot be reached.
pub async fn enrol(token: &EnrolToken, request: &Request) -> Result<EnrolResponse, (u16, String)> {
    // The real agent pins the CA's digest from the token; here only the answer matters.
    let http = builder().tls_danger_accept_invalid_certs(true).build().expect("a client");
    let body = EnrolRequest {
        token: token.secret.clone(),
        csr_pem: request.csr_pem.clone(),
        agent_version: "raw".into(),
    };
    let answer = http.post(format!("{}{AGENT_API}/enrol", token.url)).json(&body).send().await;
    let answer = answer.expect("the agents' listener answers");
    let status = answer.status().as_u16();
    if status == 200 {
        return Ok(answer.json().await.expect("an enrolment answer"));
    }
    Err((status, answer.text().await.unwrap_or_default()))
}

impl RawAgent {
    /// With the certificate that enrolment gave.
    ///
    /// # Panics
    /// When it cannot be used.
    #[must_use]
    pub fn new(url: &str, request: &Request, given: &EnrolResponse) -> Self {
        Self::with_identity(url, &given.certificate_pem, &request.key.serialize_pem())
    }

    /// With any certificate.
    ///
    /// # Panics
    /// When it cannot be used.
    #[must_use]
    pub fn with_identity(url: &str, certificate_pem: &str, key_pem: &str) -> Self {
        let identity = Identity::from_pem(format!("{key_pem}{certificate_pem}").as_bytes()).expect("PEM");
        Self::with_builder(url, || builder().identity(identity.clone()))
    }

    fn with_builder(url: &str, builder: impl Fn() -> reqwest::ClientBuilder) -> Self {
        let builder = || builder().tls_danger_accept_invalid_certs(true);
        let http = builder().build().expect("a client");
        let old = builder().http1_only().build().expect("a client");
        Self { http, old, base: format!("{url}{AGENT_API}") }
    }

    /// Without a certificate.
    ///
    /// # Panics
    /// When no client can be made.
    #[must_use]
    pub fn nobody(url: &str) -> Self {
        Self::with_builder(url, builder)
    }

    /// With a certificate that some other CA has signed, for the same name.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn foreign(url: &str, name: &str) -> Self {
        let ca_key = KeyPair::generate().expect("keys can be made");
        let mut ca = CertificateParams::default();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a plain name");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).expect("it can be signed");
        Self::with_identity(url, &certificate.pem(), &key.serialize_pem())
    }

    /// Asks what the host should hold.
    ///
    /// # Errors
    /// The status of a refusal; none when the connection itself was refused.
    pub async fn watch(&self, since: i64) -> Result<Watch, Option<u16>> {
        self.watch_for(since, 0).await
    }

    /// Asks what the host should hold, and lets the server wait this many seconds for something new.
    ///
    /// # Errors
    /// The status of a refusal; none when the connection itself was refused.
    pub async fn watch_for(&self, since: i64, wait: u64) -> Result<Watch, Option<u16>> {
        let url = format!("{}/watch?since={since}&wait={wait}", self.base);
        accepted(self.http.get(url).send().await).await
    }

    /// Asks for the next certificate.
    ///
    /// # Errors
    /// The status of a refusal; none when the connection itself was refused.
    pub async fn renew(&self, request: &Request) -> Result<EnrolResponse, Option<u16>> {
        let csr_pem = request.csr_pem.clone();
        let body = EnrolRequest { token: String::new(), csr_pem, agent_version: "raw".into() };
        accepted(self.http.post(format!("{}/renew", self.base)).json(&body).send().await).await
    }

    /// Fetches an image from this byte on.
    ///
    /// # Errors
    /// The status of a refusal; none when the connection itself was refused.
    pub async fn image_from(&self, sha256: &str, first: usize) -> Result<(u16, Vec<u8>), Option<u16>> {
        let request = self.http.get(format!("{}/images/{sha256}", self.base));
        let answer = request.header("range", format!("bytes={first}-")).send().await.map_err(|_| None)?;
        let status = answer.status().as_u16();
        Ok((status, answer.bytes().await.map_err(|_| None)?.to_vec()))
    }

    /// Reports.
    ///
    /// # Errors
    /// The status of a refusal; none when the connection itself was refused.
    pub async fn report(&self, report: &Report) -> Result<ReportAck, Option<u16>> {
        accepted(self.http.post(format!("{}/report", self.base)).json(report).send().await).await
    }

    /// Opens a stream; the status of the answer, 101 when it is open.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn open_stream(&self, offer: &str) -> u16 {
        let request = self.old.get(format!("{}/streams/{offer}", self.base));
        let request = request.header("connection", "upgrade").header("upgrade", "websocket");
        let request = request.header("sec-websocket-version", "13");
        let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        request.send().await.expect("the agents' listener answers").status().as_u16()
    }

    /// Fetches anything else.
    ///
    /// # Errors
    /// The status of a refusal; none when the connection itself was refused.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>, Option<u16>> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.map_err(|_| None)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|_| None)?;
        if status.is_success() { Ok(body.to_vec()) } else { Err(Some(status.as_u16())) }
    }
}

/// A report of an agent that sees nothing.
#[must_use]
pub fn empty_report(started_us: i64, seq: i64) -> Report {
    Report {
        agent_version: "raw".into(),
        seq,
        agent_started_us: started_us,
        watch_seq: 0,
        capacity: berth_proto::Capacity { cpu_milli: 4000, memory_bytes: 8 << 30, disk_bytes: 100 << 30 },
        facts: None,
        metrics: None,
        images: Vec::new(),
        vpses: Vec::new(),
        partial: false,
    }
}

async fn accepted<T: serde::de::DeserializeOwned>(
    answer: reqwest::Result<reqwest::Response>,
) -> Result<T, Option<u16>> {
    let answer = answer.map_err(|_| None)?;
    if !answer.status().is_success() {
        return Err(Some(answer.status().as_u16()));
    }
    answer.json().await.map_err(|_| None)
}

fn builder() -> reqwest::ClientBuilder {
    // Another test of this process may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(Duration::from_secs(20))
}
