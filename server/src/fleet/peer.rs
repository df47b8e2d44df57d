//! Who is calling: a certificate's fingerprint, looked up anew for every request.
//!
//! The handshake proves only that the caller holds the key of a certificate that our CA once signed. Whether that
//! certificate still speaks for a host is asked of the database for each request, also on a connection that has been
//! open for a week, so a revoked or replaced certificate stops working at once.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Fleet;
use crate::db;
use crate::error::Error;
use crate::error::Result;

/// The fingerprint of the certificate that this connection was opened with; none for a caller without one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presented(pub(crate) Option<String>);

/// The host that makes this request. Handlers that take this argument cannot be called without a valid certificate.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Its id.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) name: String,
    fingerprint: String,
}

impl Caller {
    /// Whether its certificate is still good; long requests ask again before they answer.
    pub(crate) async fn still_welcome(&self, fleet: &Fleet) -> Result<()> {
        match db::enrol::peer(&fleet.app.db, &self.fingerprint).await? {
            Some(_) => Ok(()),
            None => Err(Error::Unauthorized),
        }
    }
}

impl FromRequestParts<Fleet> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, fleet: &Fleet) -> Result<Self> {
        let presented = parts.extensions.get::<Presented>().and_then(|p| p.0.clone());
        let fingerprint = presented.ok_or(Error::Unauthorized)?;
        let peer = db::enrol::peer(&fleet.app.db, &fingerprint).await?.ok_or(Error::Unauthorized)?;
        if peer.renewed {
            db::enrol::promote(&fleet.app.db, peer.id, &fingerprint).await?;
        }
        Ok(Self { id: peer.id, name: peer.name, fingerprint })
    }
}
