//! The fleet's own certificate authority.
//!
//! Its key lives in Postgres, so that every replica signs with the same one and a restored backup keeps the fleet. It
//! is made once: the first insert wins and everybody reads that back. Certificates are built here from nothing but the
//! public key of the request; a request cannot ask for a name, a date or a use.
//!
//! The CA is believed by agents only, and it signs two things: the agents' listener, and hosts' client certificates.
//! Which client certificate speaks for which host is *not* read from the certificate but looked up by fingerprint (see
//! `peer`), so an old one is dead the moment the database says so.

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use chrono::{DateTime, Duration, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;

use crate::db;
use crate::error::{Error, Result};

/// How long a host's certificate is good. Agents renew when a third of it is left.
pub(super) const CLIENT_DAYS: i32 = 90;
/// How long the listener's certificate is good; a new one is made every day and at every start.
const LISTENER_DAYS: i64 = 30;
const CA_DAYS: i64 = 20 * 365;

/// What is kept in `settings`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stored {
    certificate_pem: String,
    key_pem: String,
}

/// The authority, ready to sign.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Its certificate, for agents.
    pub certificate_pem: String,
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").field("sha256", &self.sha256()).finish_non_exhaustive()
    }
}

/// A request for a certificate: only its public key is left of it, and that it was signed with the key that belongs to it.
#[derive(Debug)]
pub struct Request {
    key: rcgen::PublicKey,
    /// SHA-256 of the public key; tells whether a repeated request comes from the same agent.
    pub key_sha256: [u8; 32],
}

impl Request {
    /// Reads a PKCS#10 request in PEM.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is none, or is not signed with its own key.
    pub fn parse(pem: &str) -> Result<Self> {
        let request = CertificateSigningRequestParams::from_pem(pem)
            .map_err(|e| Error::invalid("csr_pem", format!("not a PKCS#10 request in PEM: {e}")))?;
        let key = request.public_key;
        let key_sha256 = Sha256::digest(key.der_bytes()).into();
        Ok(Self { key, key_sha256 })
    }
}

impl Ca {
    /// The installation's authority; makes it when there is none yet.
    ///
    /// # Errors
    /// When the database fails or holds something else under that name.
    pub async fn load(db: &PgPool) -> anyhow::Result<Arc<Self>> {
        let stored = match db::settings::get(db, db::settings::CA).await? {
            Some(stored) => stored,
            None => {
                let made = Self::generate().context("cannot make the fleet's certificate authority")?;
                db::settings::get_or_insert(db, db::settings::CA, made).await?
            }
        };
        Ok(Arc::new(
            Self::parse(stored).context("the fleet's certificate authority in the database is damaged")?,
        ))
    }

    fn generate() -> Result<Stored, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = params("Berth fleet CA", CA_DAYS, Utc::now());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Stored { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    fn parse(stored: Stored) -> anyhow::Result<Self> {
        let issuer = Issuer::from_ca_cert_pem(&stored.certificate_pem, KeyPair::from_pem(&stored.key_pem)?)?;
        let certificate = CertificateDer::from_pem_slice(stored.certificate_pem.as_bytes())?;
        Ok(Self { issuer, certificate, certificate_pem: stored.certificate_pem })
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Lower-case hex SHA-256 of its certificate; enrolment tokens carry it.
    #[must_use]
    pub fn sha256(&self) -> String {
        fingerprint(&self.certificate)
    }

    /// Signs a client certificate for a host. Returns it in PEM, and its fingerprint.
    ///
    /// # Errors
    /// When signing fails, which no request can cause.
    pub fn sign_host(&self, host: i64, request: &Request) -> anyhow::Result<(String, String)> {
        let mut params = params(&format!("host-{host}"), CLIENT_DAYS.into(), Utc::now());
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName(format!("host-{host}.berth.internal").try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&request.key, &self.issuer)?;
        Ok((certificate.pem(), fingerprint(certificate.der())))
    }

    /// Makes a key and a certificate for the agents' listener.
    ///
    /// # Errors
    /// When one of `names` is neither a DNS name nor an address.
    pub fn sign_listener(&self, names: &[String]) -> anyhow::Result<rustls::sign::CertifiedKey> {
        let key = KeyPair::generate()?;
        let mut params = params("Berth control plane", LISTENER_DAYS, Utc::now());
        params.subject_alt_names = CertificateParams::new(names)
            .with_context(|| format!("impossible name for the agents' listener among {names:?}"))?
            .subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
        Ok(rustls::sign::CertifiedKey::new(vec![certificate.der().clone(), self.certificate.clone()], key))
    }
}

/// Lower-case hex SHA-256 of a certificate.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(certificate.as_ref()))
}

/// What all certificates have in common. They are good from yesterday on: clocks differ.
fn params(name: &str, days: i64, now: DateTime<Utc>) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = SystemTime::from(now - Duration::days(1)).into();
    params.not_after = SystemTime::from(now + Duration::days(days)).into();
    params.use_authority_key_identifier_extension = true;
    params
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    fn ca() -> Ca {
        Ca::parse(Ca::generate().unwrap()).unwrap()
    }

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn nothing_but_the_key_of_a_request_comes_into_the_certificate() {
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(vec!["control.example".into(), "host-1".into()]).unwrap();
        wish.distinguished_name.push(DnType::CommonName, "host-1");
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let request = Request::parse(&wish.serialize_request(&key).unwrap().pem().unwrap()).unwrap();

        let ca = ca();
        let (pem, fingerprint) = ca.sign_host(7, &request).unwrap();
        let der = der(&pem);
        assert_eq!(fingerprint, super::fingerprint(&der));
        let (_, made) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(made.subject().to_string(), "CN=host-7");
        assert!(!made.is_ca());
        let names = made.subject_alternative_name().unwrap().unwrap().value.general_names.len();
        let uses = made.extended_key_usage().unwrap().unwrap().value;
        assert_eq!((names, uses.client_auth, uses.server_auth), (1, true, false));
        assert_eq!(made.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
        let (_, issuer) = X509Certificate::from_der(ca.certificate()).unwrap();
        made.verify_signature(Some(issuer.public_key())).unwrap();
        let days = (made.validity().not_after.timestamp() - Utc::now().timestamp()) / 86_400;
        let most = i64::from(CLIENT_DAYS);
        assert!((most - 1..=most).contains(&days), "{days}");
    }

    #[test]
    fn a_request_that_somebody_else_signed_is_none() {
        let (mine, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let pem = |key| CertificateParams::default().serialize_request(key).unwrap();
        let (mut forged, honest) = (pem(&mine).der().to_vec(), pem(&other));
        let signature = forged.len() - 20;
        forged[signature] ^= 1;
        let forged = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, forged)
        );
        assert_eq!(Request::parse(&forged).unwrap_err().code(), "invalid_input");
        assert_eq!(Request::parse("hello").unwrap_err().code(), "invalid_input");
        Request::parse(&honest.pem().unwrap()).unwrap();
    }

    #[test]
    fn the_ca_survives_its_way_through_the_database() {
        let stored = Ca::generate().unwrap();
        let json = serde_json::to_value(&stored).unwrap();
        let again = Ca::parse(serde_json::from_value(json).unwrap()).unwrap();
        assert_eq!(again.sha256(), Ca::parse(stored).unwrap().sha256());
        assert_eq!(again.sha256().len(), 64);
        let listener = again.sign_listener(&["localhost".into(), "127.0.0.1".into()]).unwrap();
        assert_eq!(
            listener.cert.last(),
            Some(again.certificate()),
            "a new host finds the CA in the handshake"
        );
        assert!(!format!("{again:?}").contains("PRIVATE"));
    }
}
