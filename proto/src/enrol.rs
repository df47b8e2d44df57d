//! Enrolment: a one-time token and a certificate request become a client certificate.

use serde::{Deserialize, Serialize};

use crate::HostId;

/// `POST /agent/v1/enrol`. The only call of the agents' listener that needs no client certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The one-time token that an operator made for this host.
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
