//! What the agent believes and shows in TLS: its own CA only, never the system's, and one client certificate.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

/// Why no TLS configuration can be made of what is on disk or in a token.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key is not PEM.
    #[error("the agent's {what} is not valid PEM: {source}")]
    Pem {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key do not belong together, or the CA is not one.
    #[error("the agent's certificate, key or CA cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// The certificate's dates cannot be read.
    #[error("the agent's certificate cannot be read")]
    Certificate,
}

/// HTTP/2 first: reports, watches and their pings share one connection.
fn alpn(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Makes ring the process's provider. First thing in `main` and in tests.
pub fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default(); // a second call finds it done
}

/// For everything after enrolment: mutual TLS below one CA.
pub fn mutual(ca_pem: &str, certificate_pem: &str, key_pem: &str) -> Result<ClientConfig, TlsError> {
    let pem = |what| move |source| TlsError::Pem { what, source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.map_err(pem("CA"))?)?;
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(pem("key"))?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.map_err(pem("certificate"))?, key)?;
    Ok(alpn(config))
}

/// For enrolment: no certificate of our own, and of the CA only its fingerprint is known.
pub fn pinned(ca_sha256: &str) -> Result<ClientConfig, TlsError> {
    let verifier = Pinned { ca_sha256: ca_sha256.to_owned(), provider: provider() };
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(alpn(config))
}

/// Lower-case hex SHA-256 of a certificate's DER.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(certificate))
}

/// Fingerprint of the first certificate in a PEM text.
pub fn pem_fingerprint(pem: &str) -> Result<String, TlsError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map(|c| fingerprint(&c))
        .map_err(|source| TlsError::Pem { what: "CA", source })
}

/// From when until when a certificate is valid, seconds since the epoch.
pub fn validity(certificate_pem: &str) -> Result<(i64, i64), TlsError> {
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
        .map_err(|source| TlsError::Pem { what: "certificate", source })?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|_| TlsError::Certificate)?;
    let validity = certificate.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Takes the certificate with the known fingerprint out of the server's chain as the only root, and verifies as usual
/// from there: chain, dates and name.
#[derive(Debug)]
struct Pinned {
    ca_sha256: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let ca = intermediates.iter().find(|c| fingerprint(c) == self.ca_sha256);
        let ca = ca.ok_or(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    fn ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
    }

    fn check(
        pin: &str,
        leaf_of: &CertifiedIssuer<'static, KeyPair>,
        sent: &CertifiedIssuer<'static, KeyPair>,
        name: &str,
    ) -> bool {
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["control.example".into()])
            .and_then(|p| p.signed_by(&key, leaf_of))
            .expect("a leaf");
        let pinned = Pinned { ca_sha256: pin.to_owned(), provider: provider() };
        let name = ServerName::try_from(name).expect("a name");
        pinned.verify_server_cert(leaf.der(), &[sent.der().clone()], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn only_the_pinned_ca_is_believed() {
        let (ours, other) = (ca("ours"), ca("other"));
        let pin = fingerprint(ours.der());
        assert!(check(&pin, &ours, &ours, "control.example"));
        assert!(!check(&pin, &ours, &ours, "elsewhere.example"), "the name must match");
        assert!(!check(&pin, &other, &other, "control.example"), "another CA");
        assert!(!check(&pin, &other, &ours, "control.example"), "our CA beside a leaf of another");
        assert!(!check("", &ours, &ours, "control.example"));
    }

    #[test]
    fn a_certificate_tells_its_dates() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("params");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 3);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let (from, to) = validity(&pem).expect("dates");
        assert_eq!(to - from, 2 * 86_400);
        assert!(validity("nothing").is_err());
    }
}
