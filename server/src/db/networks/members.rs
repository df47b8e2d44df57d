//! Who is in a network: attaching, detaching, alias addresses, and what becomes of them with a VPS's birth and end.
//!
//! A member that leaves keeps its addresses until its host has observed that it left ([`settle`]), so that nobody else
//! gets them while packets for it still reach the old owner.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use sqlx::{PgConnection, PgPool};

use super::{Held, hold};
use crate::app::App;
use crate::db::Tx;
use crate::db::actions::{self, Action, NewAction, Subject};
use crate::db::vps::{lock, next_seq};
use crate::domain::network::{MAX_MEMBERS, MAX_OF_VPS, Wish, overlap};
use crate::error::{Error, Result};
use crate::ids::{HostId, NetworkId, ProjectId, VpsId};
use crate::wake::Changed;

/// A VPS in a network.
#[derive(Clone, Debug)]
pub struct Member {
    /// The network.
    pub network_id: i64,
    /// The VPS's address.
    pub ip: IpAddr,
    /// More addresses that are routed to it.
    pub aliases: Vec<IpAddr>,
    /// Of its interface.
    pub mac: String,
}

/// How a VPS should be attached.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Its address.
    pub wish: Wish,
    /// More addresses.
    pub aliases: Vec<IpAddr>,
}

/// The networks of these VPSes, in the order in which they came.
pub async fn of_vpses(db: &PgPool, vpses: &[i64]) -> Result<BTreeMap<i64, Vec<Member>>> {
    let rows = sqlx::query!(
        r#"select m.vps_id, m.network_id, m.mac, a.ip,
                  array(select ip from network_addresses x where x.network_id = m.network_id and x.vps_id = m.vps_id
                        and x.alias and x.leaving_generation is null order by ip) as "aliases!"
           from vps_networks m
                join network_addresses a on a.network_id = m.network_id and a.vps_id = m.vps_id and not a.alias
           where m.vps_id = any($1) and m.leaving_generation is null order by m.joined_at, m.network_id"#,
        vpses
    );
    let mut found = BTreeMap::<i64, Vec<Member>>::new();
    for row in rows.fetch_all(db).await? {
        found.entry(row.vps_id).or_default().push(Member {
            network_id: row.network_id,
            ip: row.ip.addr(),
            aliases: row.aliases.iter().map(IpNet::addr).collect(),
            mac: row.mac,
        });
    }
    Ok(found)
}

/// Puts a VPS into a network.
///
/// # Errors
/// `server_already_attached`, `networks_overlap`, `resource_limit_exceeded`, `locked` while it still leaves it, and what
/// [`crate::domain::network::Layout::pick`] says.
pub async fn attach(
    app: &App,
    project: ProjectId,
    id: VpsId,
    network: NetworkId,
    order: &Order,
) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let held = hold(&mut tx, project, network).await?;
    let vps = lock(&mut tx, project, id).await?.at_rest()?;
    join(&mut tx, &held, id, order).await?;
    let generation = tell(&mut tx, id, vps.host).await?;
    finish(app, tx, project, "attach_to_network", id, network, generation).await
}

/// Takes a VPS out of a network.
///
/// # Errors
/// `invalid_input` when it is not in it.
pub async fn detach(app: &App, project: ProjectId, id: VpsId, network: NetworkId) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    hold(&mut tx, project, network).await?;
    let vps = lock(&mut tx, project, id).await?.at_rest()?;
    is_member(&mut tx, id, network).await?;
    let generation = tell(&mut tx, id, vps.host).await?;
    leave(&mut tx, id, network, generation).await?;
    finish(app, tx, project, "detach_from_network", id, network, generation).await
}

/// Gives a VPS other alias addresses in a network, all of them.
///
/// # Errors
/// `invalid_input` when it is not in it or an address cannot be one, `ip_not_available`.
pub async fn change_aliases(
    app: &App,
    project: ProjectId,
    id: VpsId,
    network: NetworkId,
    aliases: &[IpAddr],
) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let held = hold(&mut tx, project, network).await?;
    let vps = lock(&mut tx, project, id).await?.at_rest()?;
    is_member(&mut tx, id, network).await?;
    let generation = tell(&mut tx, id, vps.host).await?;
    let wanted: Vec<IpNet> = aliases.iter().copied().map(IpNet::from).collect();
    let gone = sqlx::query!(
        "update network_addresses set leaving_generation = case when ip = any($4) then null
                                                                else coalesce(leaving_generation, $3) end
         where network_id = $1 and vps_id = $2 and alias",
        network.0,
        id.0,
        generation,
        &wanted
    );
    gone.execute(&mut *tx).await?;
    let mine = sqlx::query_scalar!(
        "select ip from network_addresses where network_id = $1 and vps_id = $2 and alias",
        network.0,
        id.0
    );
    let mine: Vec<IpAddr> = mine.fetch_all(&mut *tx).await?.iter().map(IpNet::addr).collect();
    add_aliases(&mut tx, &held, id, aliases, &mine).await?;
    finish(app, tx, project, "change_alias_ips", id, network, generation).await
}

/// Takes the rows of these networks, in their order, before any host's.
pub(in crate::db) async fn hold_all(
    tx: &mut PgConnection,
    project: ProjectId,
    networks: &[NetworkId],
) -> Result<()> {
    let mut sorted = networks.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid("networks", "names a network twice"));
    }
    for id in sorted {
        named(hold(&mut *tx, project, id).await, id)?;
    }
    Ok(())
}

/// Puts a VPS that is being made into networks. The caller holds their rows by [`hold_all`] and has just written the
/// VPS's row.
pub(in crate::db) async fn at_birth(
    tx: &mut PgConnection,
    project: ProjectId,
    vps: VpsId,
    networks: &[NetworkId],
) -> Result<()> {
    for id in networks {
        let held = named(hold(&mut *tx, project, *id).await, *id)?;
        join(tx, &held, vps, &Order::default()).await?;
    }
    Ok(())
}

fn named<T>(held: Result<T>, id: NetworkId) -> Result<T> {
    held.map_err(|e| match e {
        Error::NotFound(_) => Error::invalid("networks", format!("network {id} not found")),
        other => other,
    })
}

/// Forgets a VPS that is gone. The caller holds its host's row.
pub(in crate::db) async fn forget(tx: &mut PgConnection, vps: VpsId) -> Result<()> {
    sqlx::query!("delete from vps_networks where vps_id = $1", vps.0).execute(tx).await?;
    Ok(())
}

/// Forgets what the VPSes of a host have left, as far as the host has observed it. What could not be done was not left.
pub(crate) async fn settle(tx: &mut PgConnection, host: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with seen as (
             select id, observed_generation from vps
             where host_id = $1 and (observed_fault -> 'terminal' = 'true') is not true
           ), members as (
             delete from vps_networks m using seen
             where m.vps_id = seen.id and m.leaving_generation <= seen.observed_generation
           )
           delete from network_addresses a using seen
           where a.vps_id = seen.id and a.leaving_generation <= seen.observed_generation"#,
        host
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes everybody leave a network that is held, and raises the sequences of their hosts; gives the hosts.
pub(super) async fn all_leave(tx: &mut PgConnection, network: NetworkId) -> Result<Vec<i64>> {
    let (hosts, told) = tell_members(tx, network).await?;
    for (vps, generation) in told {
        leave(tx, vps, network, generation).await?;
    }
    Ok(hosts)
}

/// Tells everybody in a network that is held that something of it has changed; gives their hosts.
pub(super) async fn tell_all(tx: &mut PgConnection, network: NetworkId) -> Result<Vec<i64>> {
    Ok(tell_members(tx, network).await?.0)
}

/// The addresses of a network that cannot be given out.
pub(super) async fn taken(tx: &mut PgConnection, network: NetworkId) -> Result<BTreeSet<IpAddr>> {
    let rows = sqlx::query_scalar!("select ip from network_addresses where network_id = $1", network.0);
    Ok(rows.fetch_all(tx).await?.iter().map(IpNet::addr).collect())
}

async fn tell_members(tx: &mut PgConnection, network: NetworkId) -> Result<(Vec<i64>, Vec<(VpsId, i64)>)> {
    let hosts = sqlx::query_scalar!(
        "select id from hosts where id in (select v.host_id from vps_networks m join vps v on v.id = m.vps_id
                                           where m.network_id = $1 and m.leaving_generation is null)
         order by id for update",
        network.0
    );
    let hosts = hosts.fetch_all(&mut *tx).await?;
    sqlx::query!("update hosts set seq = seq + 1 where id = any($1)", &hosts).execute(&mut *tx).await?;
    // what is on its way out is taken out of everything anyway
    let told = sqlx::query!(
        "update vps v set generation = generation + 1, host_seq = h.seq from hosts h
         where h.id = v.host_id and v.deleting_at is null and v.deleted_at is null
           and v.id in (select vps_id from vps_networks where network_id = $1 and leaving_generation is null)
         returning v.id, v.generation",
        network.0
    );
    let told = told.fetch_all(tx).await?.into_iter().map(|row| (VpsId(row.id), row.generation));
    Ok((hosts, told.collect()))
}

/// Writes a VPS into a network that is held.
async fn join(tx: &mut PgConnection, held: &Held, vps: VpsId, order: &Order) -> Result<()> {
    let networks = sqlx::query!(
        r#"select n.id, n.name, n.ip_range as "ip_range: IpNet", m.leaving_generation is not null as "leaving!"
           from vps_networks m join networks n on n.id = m.network_id where m.vps_id = $1"#,
        vps.0
    );
    let networks = networks.fetch_all(&mut *tx).await?;
    if let Some(same) = networks.iter().find(|other| other.id == held.id.0) {
        return Err(if same.leaving {
            Error::Locked("the server is being detached from this network".into())
        } else {
            let message = "the server is attached to this network already".into();
            Error::Refused { code: "server_already_attached", message }
        });
    }
    if let Some(other) = networks.iter().find(|other| overlap(other.ip_range, held.layout.range)) {
        let message =
            format!("the server is in the network '{}' with the range {}", other.name, other.ip_range);
        return Err(Error::Refused { code: "networks_overlap", message });
    }
    if networks.len() >= MAX_OF_VPS {
        return Err(Error::LimitExceeded(format!("a server can be in at most {MAX_OF_VPS} networks")));
    }
    let lost = sqlx::query_scalar!(
        "select h.name from vps w join hosts h on h.id = w.host_id
         where w.id = $2
           and (not host_joins(h)
                or exists (select from vps_networks m join vps v on v.id = m.vps_id join hosts o on o.id = v.host_id
                           where m.network_id = $1 and m.leaving_generation is null and o.id <> h.id
                             and not hosts_meet(h, o)))",
        held.id.0,
        vps.0
    );
    if let Some(host) = lost.fetch_optional(&mut *tx).await? {
        return Err(Error::ResourceUnavailable(format!(
            "the host {host} of this server cannot reach the hosts of the network's other servers: hosts need VXLAN \
             and an address among hosts for that, and WireGuard where the location encrypts"
        )));
    }
    let members = sqlx::query_scalar!(
        r#"select count(*) as "count!" from vps_networks where network_id = $1"#,
        held.id.0
    );
    if members.fetch_one(&mut *tx).await? >= MAX_MEMBERS {
        return Err(Error::LimitExceeded(format!("at most {MAX_MEMBERS} servers can be in a network")));
    }
    let zone = sqlx::query_scalar!(
        "select l.network_zone from vps v join hosts h on h.id = v.host_id
                join datacenters d on d.id = h.datacenter_id join locations l on l.id = d.location_id
         where v.id = $1",
        vps.0
    );
    let zone = zone.fetch_one(&mut *tx).await?;
    let ip = held.layout.pick(&zone, order.wish, &taken(&mut *tx, held.id).await?)?;
    let member = sqlx::query!(
        "insert into vps_networks (vps_id, network_id, mac) values ($1, $2, $3)",
        vps.0,
        held.id.0,
        crate::db::vps::random_mac()
    );
    member.execute(&mut *tx).await?;
    insert(&mut *tx, held.id, vps, ip, false).await?;
    add_aliases(tx, held, vps, &order.aliases, &[]).await
}

/// Adds aliases but those that the VPS has.
async fn add_aliases(
    tx: &mut PgConnection,
    held: &Held,
    vps: VpsId,
    aliases: &[IpAddr],
    mine: &[IpAddr],
) -> Result<()> {
    for (n, ip) in aliases.iter().enumerate().filter(|(_, ip)| !mine.contains(ip)) {
        held.layout.check_alias(n, *ip, &taken(&mut *tx, held.id).await?)?;
        insert(&mut *tx, held.id, vps, *ip, true).await?;
    }
    Ok(())
}

async fn insert(
    tx: &mut PgConnection,
    network: NetworkId,
    vps: VpsId,
    ip: IpAddr,
    alias: bool,
) -> Result<()> {
    let written = sqlx::query!(
        "insert into network_addresses (network_id, ip, vps_id, alias) values ($1, $2, $3, $4)",
        network.0,
        IpNet::from(ip),
        vps.0,
        alias
    );
    written.execute(tx).await?;
    Ok(())
}

async fn is_member(tx: &mut PgConnection, vps: VpsId, network: NetworkId) -> Result<()> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from vps_networks where vps_id = $1 and network_id = $2
                                                     and leaving_generation is null) as "found!""#,
        vps.0,
        network.0
    );
    if found.fetch_one(tx).await? {
        return Ok(());
    }
    Err(Error::invalid("network", "the server is not attached to this network"))
}

async fn leave(tx: &mut PgConnection, vps: VpsId, network: NetworkId, generation: i64) -> Result<()> {
    let member = sqlx::query!(
        "update vps_networks set leaving_generation = $3 where vps_id = $1 and network_id = $2",
        vps.0,
        network.0,
        generation
    );
    member.execute(&mut *tx).await?;
    let addresses = sqlx::query!(
        "update network_addresses set leaving_generation = coalesce(leaving_generation, $3)
         where vps_id = $1 and network_id = $2",
        vps.0,
        network.0,
        generation
    );
    addresses.execute(tx).await?;
    Ok(())
}

/// Writes that a VPS whose row and whose host's are held is to be something else now; gives its generation.
async fn tell(tx: &mut PgConnection, vps: VpsId, host: HostId) -> Result<i64> {
    let seq = next_seq(tx, host).await?;
    let written = sqlx::query_scalar!(
        "update vps set generation = generation + 1, host_seq = $2 where id = $1 returning generation",
        vps.0,
        seq
    );
    Ok(written.fetch_one(tx).await?)
}

/// Writes the action, commits, and wakes every host that has somebody in the network.
async fn finish(
    app: &App,
    mut tx: Tx,
    project: ProjectId,
    command: &str,
    vps: VpsId,
    network: NetworkId,
    generation: i64,
) -> Result<Action> {
    let new = NewAction { command, vps, generation, boot_epoch: 0, password_epoch: 0 };
    let action = actions::insert(&mut tx, project, new).await?;
    actions::concerns(&mut tx, action.id, Subject::Network(network)).await?;
    let hosts = hosts_of(&mut tx, &[network]).await?;
    tx.commit().await?;
    hosts.into_iter().for_each(|host| app.wake.changed(Changed::Host(host)));
    app.wake.changed(Changed::Project(project.0));
    Ok(Action { network_id: Some(network.0), ..action })
}

/// The hosts that have somebody in one of these networks.
pub(in crate::db) async fn hosts_of(tx: &mut PgConnection, networks: &[NetworkId]) -> Result<Vec<i64>> {
    let ids: Vec<i64> = networks.iter().map(|id| id.0).collect();
    let hosts = sqlx::query_scalar!(
        "select distinct v.host_id from vps_networks m join vps v on v.id = m.vps_id where m.network_id = any($1)",
        &ids
    );
    Ok(hosts.fetch_all(tx).await?)
}
