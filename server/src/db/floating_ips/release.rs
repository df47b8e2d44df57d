//! How a VPS that had a floating IP is known to have let go of it, and what that ends (see [`super::assign`]).
//!
//! Where hosts answer for addresses (proxy ARP), some neighbour may have believed the old one last, while both answered.
//! So when it has let go, the new one's host tells them again, and the action goes on until it has.

use ipnet::IpNet;
use sqlx::{PgConnection, PgPool};

use crate::db::vps::next_generation;
use crate::error::Result;
use crate::ids::{HostId, VpsId};

/// Who is to be told after a report.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// Projects whose actions have ended.
    pub(crate) projects: Vec<i64>,
    /// Hosts that have something to do.
    pub(crate) hosts: Vec<i64>,
}

/// Ends what this host's report was the last to be waited for. To be called after that report's transaction: of two
/// reports at once the later one sees both.
pub(crate) async fn finish_moves(db: &PgPool, host: i64) -> Result<Moves> {
    let hosts = let_go(db, host).await?;
    let ended = sqlx::query_scalar!(
        "update actions a set status = 'success', progress = 100, finished_at = now()
         from vps v, addresses ip
         where a.status = 'running' and a.command in ('assign_floating_ip', 'unassign_floating_ip')
           and ip.floating_ip_id = a.floating_ip_id and v.id = a.vps_id
           and v.observed_generation >= a.generation and v.observed_state in ('running', 'stopped')
           and v.observed_fault is null
           and not exists (select from address_releases r where r.ip = ip.ip)
         returning a.project_id"
    );
    Ok(Moves { projects: ended.fetch_all(db).await?, hosts })
}

/// Takes in what VPSes of this host have let go of; gives the hosts that are to tell neighbours again.
async fn let_go(db: &PgPool, host: i64) -> Result<Vec<i64>> {
    let waited_for = sqlx::query_scalar!(
        r#"select exists (select from address_releases r join vps v on v.id = r.vps_id where v.host_id = $1) as "any!""#,
        host
    );
    if !waited_for.fetch_one(db).await? {
        return Ok(Vec::new());
    }
    let mut tx = db.begin().await?;
    let held = sqlx::query_scalar!(
        "select id from hosts where id in (
           select v.host_id from address_releases r join vps old on old.id = r.vps_id join addresses a on a.ip = r.ip
                join pools p on p.id = a.pool_id join vps v on v.id = a.vps_id
           where old.host_id = $1 and p.kind = 'proxy_arp')
         order by id for update",
        host
    );
    let held = held.fetch_all(&mut *tx).await?;
    let free = confirmed(&mut tx, host).await?;
    let holders = sqlx::query!(
        "select v.id, v.host_id from vps v
         where v.host_id = any($2) and v.deleting_at is null and exists (
           select from addresses a join pools p on p.id = a.pool_id
           where a.vps_id = v.id and a.ip = any($1) and p.kind = 'proxy_arp'
             and not exists (select from address_releases r where r.ip = a.ip))
         order by v.id",
        &free,
        &held
    );
    let holders = holders.fetch_all(&mut *tx).await?;
    for holder in &holders {
        tell_again(&mut tx, VpsId(holder.id), HostId(holder.host_id), &free).await?;
    }
    tx.commit().await?;
    Ok(holders.into_iter().map(|holder| holder.host_id).collect())
}

/// Strikes out what is confirmed, and gives those addresses.
///
/// A VPS that is off has no interface, so it has let go, whatever else is wrong with it. Of one that has a fault its host
/// says which addresses lead to it still.
async fn confirmed(tx: &mut PgConnection, host: i64) -> Result<Vec<IpNet>> {
    let done = sqlx::query_scalar!(
        "delete from address_releases r using vps v
         where v.id = r.vps_id and v.host_id = $1
           and (v.deleted_at is not null
                or (v.observed_generation >= r.generation
                    and (v.observed_state = 'stopped'
                         or (v.observed_state = 'running' and v.observed_fault is null)
                         or not v.observed_routed ? host(r.ip))))
         returning r.ip",
        host
    );
    Ok(done.fetch_all(tx).await?)
}

/// Has a VPS's host tell neighbours again; the actions that gave it these addresses wait for that.
async fn tell_again(tx: &mut PgConnection, vps: VpsId, host: HostId, ips: &[IpNet]) -> Result<()> {
    let generation = next_generation(tx, vps, host).await?;
    sqlx::query!("update vps set announce_epoch = announce_epoch + 1 where id = $1", vps.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "update actions a set generation = $2 from addresses ip
         where a.vps_id = $1 and a.status = 'running' and a.command = 'assign_floating_ip'
           and ip.floating_ip_id = a.floating_ip_id and ip.ip = any($3)",
        vps.0,
        generation,
        ips
    )
    .execute(tx)
    .await?;
    Ok(())
}
