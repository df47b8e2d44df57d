//! Signing in by a provider of the operator's: OpenID Connect, authorisation code with PKCE.
//!
//! What the provider says is believed only with its signature, for this client, for the nonce that this browser was sent
//! away with. Its description is asked for when it is needed and kept for a while, so the server starts while the provider
//! is down. No redirect is followed, answers are bounded, and nothing waits for long.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims};
use openidconnect::{
    AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse,
    IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, TokenResponse as _,
};

use crate::config::Config;

/// Where the provider sends browsers back to.
pub const BACK: &str = "/sign-in/provider/back";
/// How long a request to the provider may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How long its description is believed.
const FRESH: Duration = Duration::from_secs(600);
/// The largest answer that is read.
const LARGEST: usize = 1 << 20;

/// What a browser is sent away with.
#[derive(Debug)]
pub struct Begun {
    /// Where to.
    pub url: String,
    /// What must come back.
    pub state: String,
    /// What the token must hold.
    pub nonce: String,
    /// What shows that it is us who ask for the token.
    pub verifier: String,
}

/// Who somebody is at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The provider.
    pub issuer: String,
    /// Who, for ever.
    pub subject: String,
    /// Their address there, if they have one.
    pub email: Option<String>,
    /// Whether the provider knows that it is theirs.
    pub verified: bool,
    /// What they are called.
    pub name: String,
}

/// Why a sign-in by the provider did not work.
#[derive(Debug)]
pub enum Trouble {
    /// It does not answer, or not as providers do; for the log.
    Down(anyhow::Error),
    /// It does not take the code: it was used already, or is too old.
    Code,
    /// Its token is not for this sign-in.
    Nonce,
    /// Its token cannot be believed; for the log.
    Token(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(e: anyhow::Error) -> Self {
        Self::Down(e)
    }
}

/// The provider that the settings name.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What people know it as.
    pub name: String,
    issuer: IssuerUrl,
    id: ClientId,
    secret: Option<ClientSecret>,
    back: RedirectUrl,
    http: reqwest::Client,
    known: Arc<Mutex<Option<(Instant, CoreProviderMetadata)>>>,
}

impl Provider {
    /// The provider of the settings, if there is one.
    ///
    /// # Errors
    /// When the settings do not fit together. The provider itself is not asked.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(issuer) = &config.oidc_issuer else { return Ok(None) };
        let url =
            reqwest::Url::parse(issuer).with_context(|| format!("the OIDC issuer {issuer} is no URL"))?;
        let here = url.host_str().is_some_and(|h| matches!(h, "localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !here {
            bail!(
                "the OIDC issuer {issuer} is to be an https:// URL: without TLS anybody between could be anybody"
            );
        }
        let id = config
            .oidc_client_id
            .clone()
            .context("an OIDC issuer is set, and no client id (BERTH_OIDC_CLIENT_ID)")?;
        let secret = match (&config.oidc_client_secret, &config.oidc_client_secret_file) {
            (Some(_), Some(_)) => bail!("the OIDC client secret is given twice, as value and as file"),
            (Some(secret), None) => Some(secret.clone()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file);
                let text = text.with_context(|| format!("the OIDC client secret in {}", file.display()))?;
                Some(text.trim().to_owned())
            }
            (None, None) => None,
        };
        let _ = rustls::crypto::ring::default_provider().install_default(); // done already but in tests of parts
        let http = reqwest::Client::builder()
            .user_agent(concat!("Berth/", env!("CARGO_PKG_VERSION")))
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let back = format!("{}{BACK}", config.base());
        Ok(Some(Self {
            name: config.oidc_name.clone(),
            issuer: IssuerUrl::new(issuer.clone()).context("the OIDC issuer")?,
            id: ClientId::new(id),
            secret: secret.map(ClientSecret::new),
            back: RedirectUrl::new(back).context("the URL of this Berth")?,
            http,
            known: Arc::default(),
        }))
    }

    /// The provider's own name for itself.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// What a browser is sent to the provider with.
    ///
    /// # Errors
    /// When the provider does not say where.
    pub async fn begin(&self) -> Result<Begun, Trouble> {
        let about = self.about(false).await?;
        let client = CoreClient::from_provider_metadata(about, self.id.clone(), self.secret.clone())
            .set_redirect_uri(self.back.clone());
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scope(Scope::new("email".into()))
            .add_scope(Scope::new("profile".into()))
            .set_pkce_challenge(challenge)
            .url();
        Ok(Begun {
            url: url.into(),
            state: state.secret().clone(),
            nonce: nonce.secret().clone(),
            verifier: verifier.secret().clone(),
        })
    }

    /// Who came back with this code.
    ///
    /// # Errors
    /// When the provider does not say so, or not believably.
    pub async fn finish(&self, code: &str, nonce: &str, verifier: &str) -> Result<Known, Trouble> {
        let ask = |request| ask(self.http.clone(), request);
        let client = |about| {
            CoreClient::from_provider_metadata(about, self.id.clone(), self.secret.clone())
                .set_redirect_uri(self.back.clone())
        };
        let first = client(self.about(false).await?);
        let tokens = first
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .context("the provider has no token endpoint")?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()))
            .request_async(&ask)
            .await
            .map_err(|e| match e {
                RequestTokenError::ServerResponse(_) => Trouble::Code,
                e => Trouble::Down(anyhow::Error::new(e).context("asking the provider for a token")),
            })?;
        let token = tokens.id_token().context("the provider gave no ID token")?;
        let nonce = Nonce::new(nonce.to_owned());
        let believed = token.claims(&first.id_token_verifier(), &nonce);
        let asked = if matches!(believed, Err(ClaimsVerificationError::SignatureVerification(_))) {
            client(self.about(true).await?) // its keys may be others by now
        } else {
            first
        };
        let claims = token.claims(&asked.id_token_verifier(), &nonce).map_err(|e| match e {
            ClaimsVerificationError::InvalidNonce(_) => Trouble::Nonce,
            e => Trouble::Token(e.into()),
        })?;
        let mut known = Known {
            issuer: self.issuer.to_string(),
            subject: claims.subject().to_string(),
            email: claims.email().map(|email| email.to_string()),
            verified: claims.email_verified().unwrap_or(false),
            name: claims.name().and_then(|n| n.get(None)).map(|n| n.to_string()).unwrap_or_default(),
        };
        // Many providers tell addresses only when they are asked once more.
        if known.email.is_none()
            && let Ok(request) =
                asked.user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
        {
            let told: CoreUserInfoClaims = request
                .request_async(&ask)
                .await
                .map_err(|e| Trouble::Down(anyhow::Error::new(e).context("asking the provider who it is")))?;
            known.email = told.email().map(|email| email.to_string());
            known.verified = told.email_verified().unwrap_or(false);
            if let Some(name) = told.name().and_then(|n| n.get(None)) {
                known.name = name.to_string();
            }
        }
        Ok(known)
    }

    /// What the provider says of itself.
    async fn about(&self, anew: bool) -> anyhow::Result<CoreProviderMetadata> {
        let kept = self.known.lock().expect("no code panics while holding this lock").clone();
        if let Some((_, about)) = kept.filter(|(at, _)| !anew && at.elapsed() < FRESH) {
            return Ok(about);
        }
        let request = |request| ask(self.http.clone(), request);
        let about = CoreProviderMetadata::discover_async(self.issuer.clone(), &request)
            .await
            .context("asking the provider about itself")?;
        *self.known.lock().expect("no code panics while holding this lock") =
            Some((Instant::now(), about.clone()));
        Ok(about)
    }
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Unanswered(anyhow::Error);

async fn ask(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
    send(http, request).await.map_err(Unanswered)
}

async fn send(http: reqwest::Client, request: HttpRequest) -> anyhow::Result<HttpResponse> {
    let mut answer = http.execute(request.try_into()?).await?;
    let mut response = HttpResponse::new(Vec::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    while let Some(piece) = answer.chunk().await? {
        if response.body().len() + piece.len() > LARGEST {
            bail!("the answer is larger than {LARGEST} bytes");
        }
        response.body_mut().extend_from_slice(&piece);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(issuer: &str) -> Config {
        let id = Some("berth".to_owned());
        Config { oidc_issuer: Some(issuer.into()), oidc_client_id: id, ..Config::default() }
    }

    #[test]
    fn settings_fit_together() {
        assert!(Provider::new(&Config::default()).unwrap().is_none());
        let good = Provider::new(&settings("https://id.example/realms/a")).unwrap().expect("a provider");
        assert_eq!(good.issuer(), "https://id.example/realms/a");
        assert!(Provider::new(&settings("http://127.0.0.1:9000")).is_ok(), "on this machine");
        for bad in ["http://id.example", "id.example", ""] {
            assert!(Provider::new(&settings(bad)).is_err(), "{bad}");
        }
        let twice = Config {
            oidc_client_secret: Some("x".into()),
            oidc_client_secret_file: Some("/x".into()),
            ..settings("https://id.example")
        };
        assert!(Provider::new(&twice).unwrap_err().to_string().contains("twice"));
        let lost = Config {
            oidc_client_secret_file: Some("/does/not/exist".into()),
            ..settings("https://id.example")
        };
        assert!(Provider::new(&lost).is_err());
        assert!(Provider::new(&Config { oidc_client_id: None, ..settings("https://id.example") }).is_err());
    }
}
