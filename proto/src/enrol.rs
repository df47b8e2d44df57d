//! Enrolment: a one-time token and a certificate request become a client certificate.

use serde::{Deserialize, Serialize};

use crate::HostId;

/// Body of `POST /agent/v1/enrol`, the only call of the agents' listener that needs no client certificate, and of
/// `POST /agent/v1/renew`, which is made with the current client certificate and an empty `token`.
///
/// Both answers can be lost on the way. Therefore the agent keeps its new key on disk *before* it asks and repeats the
/// call with the same key: a token that was used up by the same public key gives a certificate again, and the
/// certificate that asked for a renewal stays good until the new one was used for the first time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// [`crate::EnrolToken::secret`]; empty in a renewal.
    pub token: String,
    /// PKCS#10 request, PEM. Only its public key is used; the server decides every name and date in the certificate.
    pub csr_pem: String,
    /// The agent's version, for the operator's eyes.
    #[serde(default)]
    pub agent_version: String,
}

/// Answer to [`EnrolRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrolResponse {
    /// The host that this certificate speaks for.
    pub host_id: HostId,
    /// The host's name as the operator gave it.
    pub host_name: String,
    /// The client certificate, PEM.
    pub certificate_pem: String,
    /// The CA that signed it and that signs the listener's certificate, PEM.
    pub ca_pem: String,
}
