//! Who this host is to the control plane: its key, its certificate, the CA, and how it gets and renews them.
//!
//! All of it is one file, `<state>/identity.json` (0600), so it is replaced whole or not at all. A new key is on disk,
//! in `<state>/identity.pending.json`, before it is sent to be signed, and an attempt whose answer was lost is repeated
//! with the same key (see [`EnrolRequest`]): neither a token nor a renewal is wasted by a crash.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_proto::{EnrolRequest, EnrolResponse, EnrolToken, HostId};
use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};

use crate::link::tls::{self, TlsError};
use crate::link::{Link, LinkError};
use crate::store::{sync_dir, write_private};

/// What an enrolled host has.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Base URL of the agents' listener.
    pub url: String,
    /// The host that the certificate speaks for.
    pub host_id: HostId,
    /// The host's name as the operator gave it.
    pub host_name: String,
    /// The client certificate, PEM.
    pub certificate_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
    /// The only CA that is believed, PEM.
    pub ca_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("url", &self.url)
            .field("host", &self.host_name)
            .finish_non_exhaustive()
    }
}

/// Why a host has no (new) certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The state directory cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The control plane did not answer, or refused.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Key or certificate are unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No key or request could be made.
    #[error("cannot make a certificate request: {0}")]
    Request(#[from] rcgen::Error),
    /// The answer's CA is not the one that the token names.
    #[error("the control plane answered with another CA than the enrolment token names; nothing was kept")]
    OtherCa,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("identity.json")
}

/// The identity that is on disk, if the host is enrolled.
pub fn load(state_dir: &Path) -> Result<Option<Identity>, EnrolError> {
    let path = path(state_dir);
    let parsed = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => Err(e),
    };
    parsed.map(Some).map_err(|source| EnrolError::Io { path, source })
}

/// Enrols this host with a one-time token and keeps what it gets.
pub async fn enrol(state_dir: &Path, token: &EnrolToken) -> Result<Identity, EnrolError> {
    let pending = Pending::prepare(state_dir)?;
    let client = Link::client(tls::pinned(&token.ca_sha256)?)?;
    let request = pending.request(token.secret.clone())?;
    let answer: EnrolResponse =
        crate::link::post(&client, &token.url, "/enrol", &request, Duration::from_secs(30)).await?;
    if tls::pem_fingerprint(&answer.ca_pem)? != token.ca_sha256 {
        return Err(EnrolError::OtherCa);
    }
    pending.keep(state_dir, token.url.clone(), answer)
}

/// Gets the next certificate, for a new key, with the current one.
pub async fn renew(state_dir: &Path, link: &Link) -> Result<Identity, EnrolError> {
    let pending = Pending::prepare(state_dir)?;
    let answer: EnrolResponse = link.renew(&pending.request(String::new())?).await?;
    pending.keep(state_dir, link.url(), answer)
}

/// Whether less than a third of a certificate's life is left at `now` (seconds since the epoch).
pub fn should_renew(certificate_pem: &str, now: i64) -> Result<bool, TlsError> {
    let (from, to) = tls::validity(certificate_pem)?;
    Ok((to - now).saturating_mul(3) < to - from)
}

/// A key that has no certificate yet.
#[derive(Serialize, Deserialize)]
struct Pending {
    key_pem: String,
}

impl Pending {
    fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("identity.pending.json")
    }

    /// The key of an attempt whose answer did not arrive, or a new one, which is on disk when this returns.
    fn prepare(state_dir: &Path) -> Result<Self, EnrolError> {
        let path = Self::path(state_dir);
        let io = |source| EnrolError::Io { path: path.clone(), source };
        std::fs::create_dir_all(state_dir).map_err(io)?;
        let old = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        if let Some(old) = old.filter(|p| KeyPair::from_pem(&p.key_pem).is_ok()) {
            return Ok(old);
        }
        let new = Self { key_pem: KeyPair::generate()?.serialize_pem() };
        let json = serde_json::to_vec(&new).map_err(|e| io(e.into()))?;
        write_private(&path, &json).and_then(|()| sync_dir(state_dir)).map_err(io)?;
        Ok(new)
    }

    fn request(&self, token: String) -> Result<EnrolRequest, EnrolError> {
        let key = KeyPair::from_pem(&self.key_pem)?;
        // The server decides names and dates; only the public key of the request counts.
        let csr_pem = CertificateParams::new(Vec::<String>::new())?.serialize_request(&key)?.pem()?;
        Ok(EnrolRequest { token, csr_pem, agent_version: crate::VERSION.into() })
    }

    fn keep(self, state_dir: &Path, url: String, answer: EnrolResponse) -> Result<Identity, EnrolError> {
        let EnrolResponse { host_id, host_name, certificate_pem, ca_pem } = answer;
        let identity = Identity { url, host_id, host_name, certificate_pem, key_pem: self.key_pem, ca_pem };
        // Refuses a certificate for another key, before the good one is replaced.
        tls::mutual(&identity.ca_pem, &identity.certificate_pem, &identity.key_pem)?;
        let path = path(state_dir);
        let io = |source| EnrolError::Io { path: path.clone(), source };
        let json = serde_json::to_vec_pretty(&identity).map_err(|e| io(e.into()))?;
        write_private(&path, &json).and_then(|()| sync_dir(state_dir)).map_err(io)?;
        // Left behind by a crash it would be used for the next renewal, which is fine but for its age.
        let _ = std::fs::remove_file(Self::path(state_dir));
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateSigningRequestParams, CertifiedIssuer, IsCa};

    fn sign(csr_pem: &str) -> EnrolResponse {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        let csr = CertificateSigningRequestParams::from_pem(csr_pem).expect("a request");
        EnrolResponse {
            host_id: HostId(4),
            host_name: "host-4".into(),
            certificate_pem: csr.signed_by(&ca).expect("signed").pem(),
            ca_pem: ca.pem(),
        }
    }

    #[test]
    fn a_lost_answer_wastes_no_key() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = Pending::prepare(dir.path()).expect("prepared");
        let again = Pending::prepare(dir.path()).expect("prepared");
        assert_eq!(first.key_pem, again.key_pem);
        assert_eq!(load(dir.path()).expect("readable"), None);

        let answer = sign(&again.request("secret".into()).expect("a request").csr_pem);
        let kept = again.keep(dir.path(), "https://control.example".into(), answer).expect("kept");
        assert_eq!(load(dir.path()).expect("readable"), Some(kept));
        let next = Pending::prepare(dir.path()).expect("prepared");
        assert_ne!(first.key_pem, next.key_pem, "a key is certified once");
    }

    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ours = Pending::prepare(dir.path()).expect("prepared");
        let other = Pending { key_pem: KeyPair::generate().expect("a key").serialize_pem() };
        let answer = sign(&other.request(String::new()).expect("a request").csr_pem);
        assert!(matches!(ours.keep(dir.path(), String::new(), answer), Err(EnrolError::Tls(_))));
        assert_eq!(load(dir.path()).expect("readable"), None);
    }

    #[test]
    fn a_certificate_is_renewed_in_its_last_third() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("params");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 31);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let (from, to) = tls::validity(&pem).expect("dates");
        let day = 86_400;
        assert_eq!(should_renew(&pem, from + 19 * day).ok(), Some(false));
        assert_eq!(should_renew(&pem, from + 21 * day).ok(), Some(true));
        assert_eq!(should_renew(&pem, to + day).ok(), Some(true));
    }

    #[test]
    fn debug_keeps_the_key() {
        let identity = Identity {
            url: "https://control.example".into(),
            host_id: HostId(1),
            host_name: "a".into(),
            certificate_pem: String::new(),
            key_pem: "PRIVATE".into(),
            ca_pem: String::new(),
        };
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }
}
