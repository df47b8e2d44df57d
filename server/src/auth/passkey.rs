//! Passkeys (WebAuthn): what this Berth is to browsers, what devices are asked, and what can be wrong with what they say.
//!
//! The origin comes from the settings and never from a request, so what a passkey signed for another site is refused
//! whoever passes it on. Devices must have verified their user (a PIN, a fingerprint): a passkey is two factors. What was
//! asked is kept by the caller, on the server, and is good once.

use anyhow::Context as _;
use serde_json::{Value, json};
use uuid::Uuid;
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::error::Result;

/// What is to be signed, for the browser, and what is kept to check it.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// For `navigator.credentials`, with bytes as base64url.
    pub options: Value,
    /// Stays on the server.
    pub state: Value,
}

/// Why what a passkey says is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is not what browsers send.
    Unreadable,
    /// Nothing was asked, or it is too long ago, or it was answered already.
    Over,
    /// It was made for another site.
    Origin,
    /// The device has not verified its user.
    Unverified,
    /// Its counter went back: there may be a copy of it.
    Copied,
    /// Nobody has it here, or it is not of who is asked.
    Unknown,
    /// The signature, or something that it covers, is wrong.
    Wrong,
}

impl Why {
    /// In the trail.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Over => "over",
            Self::Origin => "origin",
            Self::Unverified => "unverified",
            Self::Copied => "copied",
            Self::Unknown => "unknown",
            Self::Wrong => "wrong",
        }
    }

    /// What people are told.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Unreadable => {
                "Your browser sent no passkey. It needs script, and a browser that knows passkeys."
            }
            Self::Over => "This passkey's answer came too late, or was used already. Try again.",
            Self::Origin => {
                "This passkey was used on another site. Look at the address in your browser, and try again from this page."
            }
            Self::Unverified => {
                "Your device did not check that it is you. Set a PIN or a fingerprint on it, and try again."
            }
            Self::Copied => {
                "This passkey counts backwards: there may be a copy of it. Sign in another way, and remove it."
            }
            Self::Unknown => "This passkey is not known here. Perhaps it was removed: sign in another way.",
            Self::Wrong => "This passkey's answer is wrong. Try again.",
        }
    }
}

impl From<WebauthnError> for Why {
    fn from(e: WebauthnError) -> Self {
        match e {
            WebauthnError::MismatchedChallenge | WebauthnError::ChallengeNotFound => Self::Over,
            WebauthnError::InvalidRPOrigin
            | WebauthnError::InvalidRPIDHash
            | WebauthnError::CredentialCrossOrigin => Self::Origin,
            WebauthnError::UserNotPresent | WebauthnError::UserNotVerified => Self::Unverified,
            WebauthnError::CredentialPossibleCompromise => Self::Copied,
            WebauthnError::CredentialNotFound | WebauthnError::InvalidUserUniqueId => Self::Unknown,
            WebauthnError::ParseBase64Failure(_)
            | WebauthnError::ParseCBORFailure(_)
            | WebauthnError::ParseJSONFailure(_)
            | WebauthnError::ParseNOMFailure
            | WebauthnError::ParseInsufficientBytesAvailable => Self::Unreadable,
            _ => Self::Wrong,
        }
    }
}

/// What a passkey answered to being asked, read and not yet believed.
#[derive(Debug)]
pub struct Answer(PublicKeyCredential);

impl Answer {
    /// Reads what the browser sent.
    ///
    /// # Errors
    /// When it is nothing of the kind.
    pub fn parse(text: &str) -> Result<Self, Why> {
        serde_json::from_str(text).map(Self).map_err(|_| Why::Unreadable)
    }

    /// Which passkey it says it is.
    #[must_use]
    pub fn credential_id(&self) -> &[u8] {
        self.0.get_credential_id()
    }

    /// Whose it says it is.
    #[must_use]
    pub fn handle(&self) -> Option<Uuid> {
        self.0.get_user_unique_id().and_then(|bytes| Uuid::from_slice(bytes).ok())
    }
}

/// This Berth, as passkeys know it.
#[derive(Clone, Debug)]
pub struct RelyingParty(Webauthn);

impl RelyingParty {
    /// By the URL of the dashboard.
    ///
    /// # Errors
    /// Says why browsers would have no passkeys there: they want a name, and HTTPS.
    pub fn new(base: &str) -> Result<Self, String> {
        let origin = Url::parse(base).and_then(|url| Url::parse(&url.origin().ascii_serialization()));
        let origin = origin.map_err(|_| format!("the address of this Berth, {base}, is no URL"))?;
        let Some(name) = origin.domain() else {
            return Err(format!("the address of this Berth, {base}, has no name but numbers"));
        };
        let local = name == "localhost" || name.ends_with(".localhost");
        if origin.scheme() != "https" && !local {
            return Err(format!("the address of this Berth, {base}, is without HTTPS"));
        }
        let built = WebauthnBuilder::new(name, &origin).and_then(|builder| builder.rp_name("Berth").build());
        built.map(Self).map_err(|e| format!("the address of this Berth, {base}, does not do: {e}"))
    }

    /// What a device is asked to make a passkey; `known` are those that the person has.
    ///
    /// # Errors
    /// When our own settings do not do.
    pub fn ask_for_new(
        &self,
        handle: Uuid,
        email: &str,
        name: &str,
        known: Vec<Vec<u8>>,
    ) -> Result<Challenge> {
        let name = if name.is_empty() { email } else { name };
        let (options, state) = self
            .0
            .start_passkey_registration(handle, email, name, Some(known))
            .context("asking for a new passkey")?;
        let mut options = serde_json::to_value(options).context("options of a new passkey")?;
        // The device is to keep whose it is, so that it can be used without an address.
        options["publicKey"]["authenticatorSelection"]["residentKey"] = json!("required");
        options["publicKey"]["authenticatorSelection"]["requireResidentKey"] = json!(true);
        Ok(Challenge { options, state: serde_json::to_value(state).context("the state of a new passkey")? })
    }

    /// A new passkey, if this is the answer to what was asked.
    ///
    /// # Errors
    /// Why not.
    pub fn new_one(&self, state: Value, shown: &str) -> Result<Passkey, Why> {
        let state: PasskeyRegistration = serde_json::from_value(state).map_err(|_| Why::Over)?;
        let shown: RegisterPublicKeyCredential = serde_json::from_str(shown).map_err(|_| Why::Unreadable)?;
        Ok(self.0.finish_passkey_registration(&shown, &state)?)
    }

    /// What a device is asked to show a passkey: one of these, or any when there are none.
    ///
    /// # Errors
    /// When our own settings do not do.
    pub fn ask(&self, allowed: &[Vec<u8>]) -> Result<Challenge> {
        let (options, state) = self.0.start_discoverable_authentication().context("asking for a passkey")?;
        let mut options = serde_json::to_value(options).context("options of a passkey")?;
        if let Some(all) = options.as_object_mut() {
            all.remove("mediation"); // a button was pressed: this is no filling in of a field
        }
        let allowed: Vec<Value> =
            allowed.iter().map(|id| json!({"type": "public-key", "id": base64(id)})).collect();
        options["publicKey"]["allowCredentials"] = json!(allowed);
        Ok(Challenge { options, state: serde_json::to_value(state).context("the state of a passkey")? })
    }

    /// Checks an answer by the passkey that it names, whose counter moves on.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check(&self, state: Value, answer: &Answer, passkey: &mut Passkey) -> Result<(), Why> {
        let state: DiscoverableAuthentication = serde_json::from_value(state).map_err(|_| Why::Over)?;
        let told = self.0.finish_discoverable_authentication_v2(&answer.0, state, &*passkey)?;
        if !told.user_verified() {
            return Err(Why::Unverified);
        }
        passkey.update_credential(&told);
        Ok(())
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_want_a_name_and_https() {
        for good in [
            "https://berth.example",
            "https://berth.example:8443/",
            "http://localhost:8080",
            "http://b.localhost",
        ] {
            assert!(RelyingParty::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://127.0.0.1:8080", "numbers"),
            ("https://[::1]", "numbers"),
            ("http://berth.example", "HTTPS"),
            ("berth", "no URL"),
            ("mailto:a@b.example", ""),
        ] {
            let told = RelyingParty::new(bad).expect_err(bad);
            assert!(told.contains(why) && told.contains(bad), "{told}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told_so() {
        for odd in ["", "{}", "null", "[1]", r#"{"id":"x","rawId":"%","response":{},"type":"public-key"}"#] {
            assert_eq!(Answer::parse(odd).expect_err(odd), Why::Unreadable);
        }
        let here = RelyingParty::new("https://berth.example").unwrap();
        let asked = here.ask_for_new(Uuid::new_v4(), "a@b.example", "", vec![vec![1; 16]]).unwrap();
        assert_eq!(asked.options["publicKey"]["authenticatorSelection"]["userVerification"], "required");
        assert_eq!(here.new_one(asked.state, "{}").expect_err("no passkey"), Why::Unreadable);
        assert_eq!(here.new_one(json!({}), "{}").expect_err("no state"), Why::Over);
    }
}
