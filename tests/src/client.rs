//! An HTTP client that trusts no answer: everything under `/v1` is validated against the hcloud API's description, and
//! everything under `/berth` against the one that the server gives of itself.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::{openapi, wait};

/// How long anything may take that needs a host to act. Generous: a test machine can be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A client with one token (or none).
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `GET /v1/servers`, for messages.
    pub request: String,
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Null when there was none.
    pub body: Value,
}

impl Api {
    /// A client of the server at `base` (`http://127.0.0.1:1234`), without a token.
    ///
    /// # Panics
    /// When no client can be made.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        // Another test of this process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(DEADLINE).redirect(reqwest::redirect::Policy::none());
        // Servers restart under these tests: a connection that was kept would be a dead one.
        let http = http.pool_max_idle_per_host(0);
        Self { http: http.build().expect("plain HTTP needs nothing"), base: base.into(), token: None }
    }

    /// The same server with this token.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// The same server without a token.
    #[must_use]
    pub fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The same token at another server.
    #[must_use]
    pub fn at(&self, base: impl Into<String>) -> Self {
        Self { base: base.into(), ..self.clone() }
    }

    /// URL of the server.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The token in use.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.as_deref().expect("this client has a token")
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Sends JSON.
    pub async fn post(&self, path: &str, body: impl Into<Value>) -> Answer {
        self.send(Method::POST, path, Some(body.into().to_string())).await
    }

    /// Changes.
    pub async fn put(&self, path: &str, body: impl Into<Value>) -> Answer {
        self.send(Method::PUT, path, Some(body.into().to_string())).await
    }

    /// Changes a part.
    pub async fn patch(&self, path: &str, body: impl Into<Value>) -> Answer {
        self.send(Method::PATCH, path, Some(body.into().to_string())).await
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Sends exactly this text as JSON, whether it is or not.
    ///
    /// # Panics
    /// When no answer comes, or one that hcloud's clients would not understand.
    pub async fn send(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        self.try_send(method, path, body).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// As [`Self::send`], for tests in which a lost connection is an answer too.
    ///
    /// # Errors
    /// When no answer comes.
    ///
    /// # Panics
    /// When one comes that hcloud's clients would not understand.
    pub async fn try_send(&self, method: Method, path: &str, body: Option<String>) -> Result<Answer, String> {
        let request = format!("{method} {path}");
        let mut sending = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            sending = sending.bearer_auth(token);
        }
        if let Some(body) = body {
            sending = sending.header("content-type", "application/json").body(body);
        }
        let answer = sending.send().await.map_err(|e| format!("{request}: {e:?}"))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.map_err(|e| format!("{request}: {e:?}"))?;
        if let (Some(path), Some(spec)) = (path.strip_prefix("/v1"), openapi::spec())
            && let Err(wrong) = spec.check(method.as_str(), path, status, &body)
        {
            let text = String::from_utf8_lossy(&body);
            panic!(
                "{request} answers {status} with what the hcloud API does not describe:\n{wrong}\nin {text}"
            );
        }
        if path.starts_with("/berth/")
            && let Err(wrong) = self.own_description().await?.check(method.as_str(), path, status, &body)
        {
            let text = String::from_utf8_lossy(&body);
            panic!(
                "{request} answers {status} with what our own description does not describe:\n{wrong}\nin {text}"
            );
        }
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { request, status, headers, body })
    }

    /// The description that the server gives of itself.
    async fn own_description(&self) -> Result<&'static openapi::Spec, String> {
        static OWN: tokio::sync::OnceCell<openapi::Spec> = tokio::sync::OnceCell::const_new();
        let load = async || {
            let answer = self.http.get(format!("{}/openapi.json", self.base)).send().await;
            let text = answer.map_err(|e| format!("/openapi.json: {e:?}"))?.text().await;
            let text = text.map_err(|e| format!("/openapi.json: {e:?}"))?;
            openapi::Spec::parse(&text).map_err(|e| format!("/openapi.json: {e}"))
        };
        OWN.get_or_try_init(load).await
    }

    /// Waits until an action has ended and returns it.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn ended(&self, action: &Value) -> Value {
        let path = format!("/v1/actions/{}", action["id"]);
        wait::until(&format!("the end of {action}"), DEADLINE, async || {
            let action = self.get(&path).await.expect(200)["action"].take();
            if action["status"] == "running" { Err(action.to_string()) } else { Ok(action) }
        })
        .await
    }

    /// Waits until an action has succeeded.
    ///
    /// # Panics
    /// When it fails, or does not end in time.
    pub async fn succeeded(&self, action: &Value) -> Value {
        let action = self.ended(action).await;
        assert_eq!(action["status"], "success", "{action}");
        action
    }

    /// Waits until a server has this status and returns it.
    ///
    /// # Panics
    /// When it does not come to that in time.
    pub async fn server_is(&self, id: i64, status: &str) -> Value {
        wait::until(&format!("server {id} to be {status}"), DEADLINE, async || {
            let answer = self.get(&format!("/v1/servers/{id}")).await;
            let server = answer.body["server"].clone();
            if server["status"] == status { Ok(server) } else { Err(answer.body.to_string()) }
        })
        .await
    }

    /// Waits until there is no such server any more.
    ///
    /// # Panics
    /// When it does not go in time.
    pub async fn server_is_gone(&self, id: i64) {
        wait::until(&format!("server {id} to be gone"), DEADLINE, async || {
            let answer = self.get(&format!("/v1/servers/{id}")).await;
            if answer.status == 404 { Ok(()) } else { Err(answer.body.to_string()) }
        })
        .await;
    }
}

impl Answer {
    /// The body, if this is the status.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{} answered {}", self.request, self.body);
        self.body
    }

    /// The error, if it has this status and code.
    ///
    /// # Panics
    /// When it is another, or none.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        let error = &self.body["error"];
        let found = (self.status, error["code"].as_str());
        assert_eq!(found, (status, Some(code)), "{} answered {}", self.request, self.body);
        assert!(
            error["message"].as_str().is_some_and(|m| !m.is_empty()),
            "an error says what is wrong: {error}"
        );
        error.clone()
    }

    /// The names of the fields that an `invalid_input` complains about.
    ///
    /// # Panics
    /// When it is not `invalid_input`.
    #[track_caller]
    pub fn wrong_fields(self) -> Vec<String> {
        let error = self.refused(422, "invalid_input");
        let fields = error["details"]["fields"].as_array().cloned().unwrap_or_default();
        fields.iter().map(|field| field["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
