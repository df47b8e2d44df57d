//! Offers of streams: what a replica waits for, where the replica that the agent talks to sees it.
//!
//! An offer is told in the host's watch, again and again with a pause, until the stream is opened or the offer expires.
//! Opening takes the row, so a stream is opened once; and only by the host that the offer was for, which still holds the
//! VPS at that moment.

use berth_proto::{Stream, StreamOffer};
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::Result;
use crate::ids::{HostId, VpsId};

/// How long an offer stands, in seconds.
pub const LIFETIME_SECONDS: i32 = 30;
/// Offers in one answer; the rest comes with the next.
const MOST: i64 = 64;

/// Offers a stream of a VPS to its host.
///
/// # Errors
/// When the database fails.
pub async fn offer(
    db: &PgPool,
    id: Uuid,
    host: HostId,
    vps: VpsId,
    what: &Stream,
    agent_url: Option<&str>,
) -> Result<()> {
    let (kind, what) = match what {
        Stream::Console { .. } => ("console", None),
        what => ("other", Some(Json(what))),
    };
    let offer = sqlx::query!(
        "insert into stream_offers (id, host_id, kind, vps_id, what, agent_url, expires_at)
         values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))",
        id,
        host.0,
        kind,
        vps.0,
        what as _,
        agent_url,
        f64::from(LIFETIME_SECONDS)
    );
    offer.execute(db).await?;
    Ok(())
}

/// What a host is to be told now: offers that it was not told yet, or some time ago.
///
/// # Errors
/// When the database fails.
pub async fn tell(db: &PgPool, host: i64) -> Result<Vec<StreamOffer>> {
    let told = sqlx::query!(
        r#"update stream_offers set told_at = now()
         where id in (select id from stream_offers
                      where host_id = $1 and expires_at > now()
                        and (told_at is null or told_at < now() - interval '2 seconds')
                      limit $2 for update skip locked)
         returning id, vps_id, what as "what: Json<Stream>", agent_url"#,
        host,
        MOST
    );
    let offer = |id: Uuid, vps, what: Option<Json<Stream>>, url| StreamOffer {
        id: id.to_string(),
        what: what.map_or(Stream::Console { vps: VpsId(vps) }, |what| what.0),
        url,
    };
    let told = told.fetch_all(db).await?.into_iter();
    Ok(told.map(|row| offer(row.id, row.vps_id, row.what, row.agent_url)).collect())
}

/// Takes an offer for the host that opens its stream. None when there is no such offer to this host, or the VPS is not
/// there any more.
///
/// # Errors
/// When the database fails.
pub async fn take(db: &PgPool, id: Uuid, host: i64) -> Result<Option<VpsId>> {
    let taken = sqlx::query_scalar!(
        "delete from stream_offers o using vps v
         where o.id = $1 and o.host_id = $2 and o.expires_at > now()
           and v.id = o.vps_id and v.host_id = $2 and v.deleted_at is null
         returning o.vps_id",
        id,
        host
    );
    Ok(taken.fetch_optional(db).await?.map(VpsId))
}

/// Takes an offer back.
///
/// # Errors
/// When the database fails.
pub async fn withdraw(db: &PgPool, id: Uuid) -> Result<()> {
    sqlx::query!("delete from stream_offers where id = $1", id).execute(db).await?;
    Ok(())
}

/// Removes offers that have expired.
///
/// # Errors
/// When the database fails.
pub async fn forget(db: &PgPool) -> sqlx::Result<u64> {
    let gone = sqlx::query!("delete from stream_offers where expires_at < now()").execute(db).await?;
    Ok(gone.rows_affected())
}
