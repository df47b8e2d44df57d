//! `POST /agent/v1/enrol` and `/renew`: a public key becomes a certificate that speaks for one host.
//!
//! Enrolment replaces the host's certificate: a machine that was built anew takes its old name, and the old machine is
//! out. A renewal is gentler, because its answer may be lost: the old certificate stays good until the new one is used.

use axum::Json;
use axum::extract::State;
use berth_proto::{EnrolRequest, EnrolResponse, HostId};

use super::Fleet;
use super::ca::{CLIENT_DAYS, Request};
use super::peer::Caller;
use crate::auth::secret;
use crate::db;
use crate::error::{Error, Result};
use crate::wake::Changed;

/// One-time token and certificate request → certificate.
pub(super) async fn enrol(
    State(fleet): State<Fleet>,
    Json(body): Json<EnrolRequest>,
) -> Result<Json<EnrolResponse>> {
    let request = Request::parse(&body.csr_pem)?;
    let hash = secret::hash(&body.token);
    let used = db::enrol::use_token(&fleet.app.db, &hash, &request.key_sha256).await?;
    let (id, name) = used.ok_or_else(|| {
        Error::Forbidden(
            "this enrolment token is unknown, too old or used up; make a new one with `berth-server admin hosts token`"
                .into(),
        )
    })?;
    let (certificate_pem, fingerprint) = fleet.ca.sign_host(id, &request)?;
    let version = super::text::line(&body.agent_version, 64);
    db::enrol::set_certificate(&fleet.app.db, id, &fingerprint, &version, CLIENT_DAYS).await?;
    fleet.app.wake.changed(Changed::Fleet);
    tracing::info!(host = name, "host enrolled");
    Ok(Json(answer(&fleet, id, name, certificate_pem)))
}

/// Current certificate and certificate request → next certificate.
pub(super) async fn renew(
    State(fleet): State<Fleet>,
    caller: Caller,
    Json(body): Json<EnrolRequest>,
) -> Result<Json<EnrolResponse>> {
    let request = Request::parse(&body.csr_pem)?;
    let (certificate_pem, fingerprint) = fleet.ca.sign_host(caller.id, &request)?;
    db::enrol::set_next_certificate(&fleet.app.db, caller.id, &fingerprint, CLIENT_DAYS).await?;
    tracing::info!(host = caller.name, "host's certificate renewed");
    Ok(Json(answer(&fleet, caller.id, caller.name, certificate_pem)))
}

fn answer(fleet: &Fleet, id: i64, host_name: String, certificate_pem: String) -> EnrolResponse {
    EnrolResponse {
        host_id: HostId(id),
        host_name,
        certificate_pem,
        ca_pem: fleet.ca.certificate_pem.clone(),
    }
}
