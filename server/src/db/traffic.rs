//! How much passed to and from VPSes, month by month.
//!
//! Hosts tell what their counters stand at, again with every report. `traffic_epochs` holds how far each was taken in,
//! and what is more is added to the month in which it was heard: repeated, overtaken and lost reports change nothing, and
//! neither does a counter that begins at zero, since it is another epoch. Reports of one host follow each other (its
//! row is locked), so nothing is added twice at the same time.
//!
//! Traffic of private networks goes the same way beside it. It is for the tenant to look at, and nothing follows from it.

use berth_proto::{TrafficCount, VpsObserved};
use chrono::NaiveDate;
use sqlx::{PgConnection, PgPool};

use super::page::{Listed, Page};
use crate::error::{Error, Result};
use crate::ids::{ProjectId, VpsId};

/// A month of a VPS's traffic, as the VPS sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// The first day of it.
    pub begins: NaiveDate,
    /// The first day of the next.
    pub ends: NaiveDate,
    /// Bytes that came in.
    pub in_bytes: i64,
    /// Packets that came in.
    pub in_packets: i64,
    /// Bytes that went out.
    pub out_bytes: i64,
    /// Packets that went out.
    pub out_packets: i64,
    /// Bytes that came in by private networks, which are no part of the above.
    pub private_in_bytes: i64,
    /// Packets that came in by them.
    pub private_in_packets: i64,
    /// Bytes that went out by them.
    pub private_out_bytes: i64,
    /// Packets that went out by them.
    pub private_out_packets: i64,
}

/// The months of a VPS of a project, newest first; the present one is always there.
pub async fn months(db: &PgPool, project: ProjectId, id: VpsId, page: Page) -> Result<Listed<Month>> {
    let known = sqlx::query_scalar!(
        "select id from vps where id = $1 and project_id = $2 and deleted_at is null",
        id.0,
        project.0
    );
    known.fetch_optional(db).await?.ok_or(Error::NotFound("server"))?;
    let all = sqlx::query_as!(
        Month,
        r#"select m.period as "begins!", (m.period + interval '1 month')::date as "ends!",
                  coalesce(t.in_bytes, 0) as "in_bytes!", coalesce(t.in_packets, 0) as "in_packets!",
                  coalesce(t.out_bytes, 0) as "out_bytes!", coalesce(t.out_packets, 0) as "out_packets!",
                  coalesce(t.private_in_bytes, 0) as "private_in_bytes!",
                  coalesce(t.private_in_packets, 0) as "private_in_packets!",
                  coalesce(t.private_out_bytes, 0) as "private_out_bytes!",
                  coalesce(t.private_out_packets, 0) as "private_out_packets!"
           from (select period from traffic where vps_id = $1 union select traffic_period(now())) m
                left join traffic t on t.vps_id = $1 and t.period = m.period
           order by m.period desc"#,
        id.0
    );
    Ok(page.cut(all.fetch_all(db).await?))
}

/// Takes in what hosts told; gives the VPSes that have more traffic than was known. All are VPSes of the reporting
/// host whose row is held, and none is deleted.
pub(crate) async fn note(tx: &mut PgConnection, seen: &[&VpsObserved]) -> sqlx::Result<Vec<i64>> {
    let public = seen.iter().flat_map(|s| s.traffic.iter().map(|count| (s.id.0, false, count)));
    let private = seen.iter().flat_map(|s| s.private_traffic.iter().map(|count| (s.id.0, true, count)));
    let all: Vec<(i64, bool, &TrafficCount)> = public.chain(private).collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let column = |f: fn(&TrafficCount) -> i64| all.iter().map(|(.., count)| f(count)).collect::<Vec<i64>>();
    let epochs: Vec<String> = all.iter().map(|(.., count)| count.epoch.clone()).collect();
    let more = sqlx::query_scalar!(
        r#"with told as (
             select u.*, coalesce(e.in_bytes, 0) as ib, coalesce(e.in_packets, 0) as ip,
                    coalesce(e.out_bytes, 0) as ob, coalesce(e.out_packets, 0) as op
             from unnest($1::bigint[], $2::text[], $3::boolean[],
                         $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
                    as u(vps_id, epoch, private, in_bytes, in_packets, out_bytes, out_packets)
                  left join traffic_epochs e
                         on e.vps_id = u.vps_id and e.private = u.private and e.epoch = u.epoch
           ), more as (
             select *, greatest(in_bytes - ib, 0) as ibs, greatest(in_packets - ip, 0) as ips,
                    greatest(out_bytes - ob, 0) as obs, greatest(out_packets - op, 0) as ops
             from told where in_bytes > ib or in_packets > ip or out_bytes > ob or out_packets > op
           ), known as (
             insert into traffic_epochs as e (vps_id, private, epoch, in_bytes, in_packets, out_bytes, out_packets)
             select vps_id, private, epoch, in_bytes, in_packets, out_bytes, out_packets from more
             on conflict (vps_id, private, epoch) do update set
               in_bytes = greatest(e.in_bytes, excluded.in_bytes),
               in_packets = greatest(e.in_packets, excluded.in_packets),
               out_bytes = greatest(e.out_bytes, excluded.out_bytes),
               out_packets = greatest(e.out_packets, excluded.out_packets)
           )
           insert into traffic as t (vps_id, period, project_id, in_bytes, in_packets, out_bytes, out_packets,
                                     private_in_bytes, private_in_packets, private_out_bytes, private_out_packets)
           select m.vps_id, traffic_period(now()), v.project_id,
                  coalesce(sum(ibs) filter (where not private), 0), coalesce(sum(ips) filter (where not private), 0),
                  coalesce(sum(obs) filter (where not private), 0), coalesce(sum(ops) filter (where not private), 0),
                  coalesce(sum(ibs) filter (where private), 0), coalesce(sum(ips) filter (where private), 0),
                  coalesce(sum(obs) filter (where private), 0), coalesce(sum(ops) filter (where private), 0)
           from more m join vps v on v.id = m.vps_id group by m.vps_id, v.project_id order by m.vps_id
           on conflict (vps_id, period) do update set
             in_bytes = least(t.in_bytes::numeric + excluded.in_bytes, 9e18)::bigint,
             in_packets = least(t.in_packets::numeric + excluded.in_packets, 9e18)::bigint,
             out_bytes = least(t.out_bytes::numeric + excluded.out_bytes, 9e18)::bigint,
             out_packets = least(t.out_packets::numeric + excluded.out_packets, 9e18)::bigint,
             private_in_bytes = least(t.private_in_bytes::numeric + excluded.private_in_bytes, 9e18)::bigint,
             private_in_packets = least(t.private_in_packets::numeric + excluded.private_in_packets, 9e18)::bigint,
             private_out_bytes = least(t.private_out_bytes::numeric + excluded.private_out_bytes, 9e18)::bigint,
             private_out_packets = least(t.private_out_packets::numeric + excluded.private_out_packets, 9e18)::bigint
           returning vps_id"#,
        &all.iter().map(|(id, ..)| *id).collect::<Vec<i64>>(),
        &epochs,
        &all.iter().map(|(_, private, _)| *private).collect::<Vec<bool>>(),
        &column(|c| c.in_bytes),
        &column(|c| c.in_packets),
        &column(|c| c.out_bytes),
        &column(|c| c.out_packets),
    );
    more.fetch_all(tx).await
}

/// Forgets how far counters of VPSes that are gone were taken in: no host is believed about them any more.
pub(crate) async fn forget(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from traffic_epochs e using vps v where v.id = e.vps_id and v.deleted_at is not null"
    )
    .execute(db)
    .await?;
    Ok(())
}
