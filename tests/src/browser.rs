//! A browser as the dashboard sees it, without script: it keeps cookies by path, posts forms, and does not follow
//! redirects by itself, so that a test can look at them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};

use crate::client::DEADLINE;

/// Somebody's browser.
#[derive(Debug)]
pub struct Browser {
    http: reqwest::Client,
    base: String,
    /// Value by path and name.
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET /servers`, for messages.
    pub request: String,
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The page.
    pub body: String,
}

impl Browser {
    /// A browser at `base` (`http://127.0.0.1:1234`), with no cookies.
    ///
    /// # Panics
    /// When no client can be made.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default(); // maybe by another test already
        let http = reqwest::Client::builder().timeout(DEADLINE).redirect(reqwest::redirect::Policy::none());
        let http = http.pool_max_idle_per_host(0);
        Self {
            http: http.build().expect("plain HTTP needs nothing"),
            base: base.into(),
            cookies: Mutex::default(),
        }
    }

    /// Signs in.
    ///
    /// # Panics
    /// When that does not work.
    pub async fn sign_in(&self, email: &str, password: &str) {
        self.post("/sign-in", &[("email", email), ("password", password)]).await.leads_to("/");
    }

    /// Looks at a page.
    pub async fn get(&self, path: &str) -> Seen {
        self.send(Method::GET, path, &[], None).await
    }

    /// Sends a form of the dashboard's own.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let own = self.base.clone();
        self.send(Method::POST, path, &[("origin", &own), ("sec-fetch-site", "same-origin")], Some(fields))
            .await
    }

    /// Sends a request with these headers; a form when there are fields.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        fields: Option<&[(&str, &str)]>,
    ) -> Seen {
        let answer = self.ask(method.clone(), path, headers, fields).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.text().await.expect("text");
        Seen { request: format!("{method} {path}"), status, headers, body }
    }

    /// Opens an event stream and reads it until its text so far holds all of `wanted`; that text.
    ///
    /// # Panics
    /// When it does not come, or the stream ends before.
    pub async fn stream_until(&self, path: &str, wanted: &[&str]) -> String {
        let answer = self.ask(Method::GET, path, &[("hx-request", "true")], None).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let (mut chunks, mut text) = (answer.bytes_stream(), String::new());
        while !wanted.iter().all(|w| text.contains(w)) {
            let chunk =
                chunks.next().await.unwrap_or_else(|| panic!("{path} ends before {wanted:?}: {text}"));
            let chunk =
                chunk.unwrap_or_else(|e| panic!("{path} does not tell {wanted:?}, but: {text} ({e})"));
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    }

    /// Opens an event stream. What comes back reads it to its proper end.
    ///
    /// # Panics
    /// When it cannot be opened, or is cut off.
    pub async fn open(&self, path: &str) -> impl Future<Output = String> + use<> {
        let answer = self.ask(Method::GET, path, &[("hx-request", "true")], None).await;
        assert_eq!(answer.status(), 200, "{path}");
        async { answer.text().await.expect("the stream ends by itself") }
    }

    /// The status of the answer to a script, whose body is not read: it may be a stream.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn status(&self, path: &str) -> u16 {
        self.ask(Method::GET, path, &[("hx-request", "true")], None).await.status().as_u16()
    }

    /// The value of a cookie that would be sent to this path.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn cookie(&self, path: &str, name: &str) -> Option<String> {
        let kept = self.cookies.lock().expect("no test panics while holding this lock");
        kept.iter().find(|((at, n), _)| n == name && path.starts_with(at.as_str())).map(|(_, v)| v.clone())
    }

    /// Plants a cookie.
    ///
    /// # Panics
    /// Never.
    pub fn plant(&self, path: &str, name: &str, value: &str) {
        let mut kept = self.cookies.lock().expect("no test panics while holding this lock");
        kept.insert((path.to_owned(), name.to_owned()), value.to_owned());
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        fields: Option<&[(&str, &str)]>,
    ) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).expect("a header's name");
            request = request.header(name, HeaderValue::try_from(*value).expect("a header's value"));
        }
        let sent = self.cookies_for(path);
        if !sent.is_empty() {
            request = request.header("cookie", sent);
        }
        if let Some(fields) = fields {
            let form: Vec<_> = fields.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
            request =
                request.header("content-type", "application/x-www-form-urlencoded").body(form.join("&"));
        }
        let answer = request.send().await.unwrap_or_else(|e| panic!("{path}: {e}"));
        self.keep(answer.headers());
        answer
    }

    fn cookies_for(&self, path: &str) -> String {
        let kept = self.cookies.lock().expect("no test panics while holding this lock");
        let mine = kept.iter().filter(|((at, _), _)| path.starts_with(at.as_str()));
        mine.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&self, headers: &HeaderMap) {
        let mut kept = self.cookies.lock().expect("no test panics while holding this lock");
        for line in headers.get_all("set-cookie") {
            let line = line.to_str().expect("ASCII");
            let (pair, rest) = line.split_once("; ").expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            let path = rest.split("; ").find_map(|a| a.strip_prefix("Path=")).expect("a path");
            let key = (path.to_owned(), name.to_owned());
            if rest.contains("Max-Age=0") {
                kept.remove(&key);
            } else {
                kept.insert(key, value.to_owned());
            }
        }
    }
}

impl Seen {
    /// The page, when it was an answer of this status.
    ///
    /// # Panics
    /// When it was another.
    pub fn expect(self, status: u16) -> String {
        assert_eq!(self.status, status, "{}: {}", self.request, self.body);
        self.body
    }

    /// Where it redirects to.
    ///
    /// # Panics
    /// When it does not.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}: {}", self.request, self.body);
        self.headers["location"].to_str().expect("ASCII")
    }

    /// Checks where it redirects to.
    ///
    /// # Panics
    /// When it is elsewhere.
    pub fn leads_to(&self, path: &str) {
        assert_eq!(self.location(), path, "{}", self.request);
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
