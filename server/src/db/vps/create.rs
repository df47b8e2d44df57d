//! A new VPS, in one transaction: room on a host, the row, an address, the action, the host's next sequence.
//!
//! # Races
//!
//! Placement reads the hosts without locks and proposes one; the conditional update takes the room under that host's row
//! lock, or finds that others were faster. Then everything is rolled back and tried again from the start, because only a
//! whole rollback gives up the locks. After [`ATTEMPTS`] lost races the last attempt first locks all hosts (in order of
//! their ids) and waits for addresses instead of passing over locked ones, so its answer is exact: a request is refused
//! for want of room only when committed rows leave none.
//!
//! Nothing is reserved by a request that fails: there is no step outside the transaction. Requests of a project
//! that has a quota come one after the other (`db/quotas`), so that it holds.

use berth_proto::Power;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::idempotency::{self, IdempotencyKey};
use super::order::{Order, PlaceName, Reference, resolve};
use super::read::{Vps, get};
use super::update::unique_name;
use crate::app::App;
use crate::auth::root_password;
use crate::auth::secret::Secret;
use crate::db::actions::{self, Action, NewAction};
use crate::db::serving::{self, Source};
use crate::db::{firewalls, networks, ports, primary_ips, quotas};
use crate::domain::family::Family;
use crate::domain::labels::Labels;
use crate::domain::names::{UserData, VpsName};
use crate::domain::placement::{Candidate, Resources, choose};
use crate::domain::quota::Amounts;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::{FirewallId, HostId, LocationId, NetworkId, PrimaryIpId, ProjectId, VpsId};
use crate::wake::Changed;

/// Races that may be lost before the hosts are locked.
const ATTEMPTS: u32 = 4;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct NewVps {
    /// Its name.
    pub name: VpsName,
    /// Plan.
    pub plan: Reference,
    /// Image.
    pub image: Reference,
    /// Where.
    pub place: PlaceName,
    /// SSH keys of the project; without any a root password is made.
    pub ssh_keys: Vec<Reference>,
    /// Labels.
    pub labels: Labels,
    /// User data.
    pub user_data: Option<UserData>,
    /// Whether it should run, or only be made.
    pub start: bool,
    /// Whether, and from where, it gets an IPv4 address.
    pub ipv4: PublicIp,
    /// Whether, and from where, it gets a /64 of IPv6.
    pub ipv6: PublicIp,
    /// Firewalls of the project; those whose selectors fit come by themselves.
    pub firewalls: Vec<FirewallId>,
    /// Networks of the project, in which it gets an address each.
    pub networks: Vec<NetworkId>,
    /// What makes a repeated request one request.
    pub idempotency: Option<IdempotencyKey>,
}

impl NewVps {
    /// The primary IPs that are chosen for it.
    fn chosen(&self) -> Vec<i64> {
        let chosen = |ip| if let PublicIp::Chosen(id) = ip { Some(id.0) } else { None };
        [self.ipv4, self.ipv6].into_iter().filter_map(chosen).collect()
    }
}

/// Where a public address of a new VPS comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicIp {
    /// It gets none.
    None,
    /// As `New` where its location has a pool of the family, and none elsewhere.
    IfThere,
    /// From a primary IP that is made with it and goes with it.
    New,
    /// From this one of the project's.
    Chosen(PrimaryIpId),
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The VPS.
    pub vps: Vps,
    /// The action that ends when it runs.
    pub action: Action,
    /// The root password, when no SSH key was given. Kept nowhere: to be shown now or never. None for a replay.
    pub root_password: Option<Secret>,
}

/// Makes a VPS, or finds the one that an earlier request with the same key has made.
pub async fn create(app: &App, project: ProjectId, new: &NewVps) -> Result<Created> {
    if let Some(made) = replay(app, project, new).await? {
        return Ok(made);
    }
    match make(app, project, new).await {
        // The earlier request may have ended while this one waited for it.
        Err(e @ (Error::Uniqueness(_) | Error::Conflict(_))) => replay(app, project, new).await?.ok_or(e),
        made => made,
    }
}

async fn replay(app: &App, project: ProjectId, new: &NewVps) -> Result<Option<Created>> {
    let Some(key) = &new.idempotency else {
        return Ok(None);
    };
    let Some((vps, action)) = idempotency::find(&app.db, project, key).await? else {
        return Ok(None);
    };
    let vps = get(&app.db, project, vps).await?;
    Ok(Some(Created { vps, action: actions::get(&app.db, project, action).await?, root_password: None }))
}

async fn make(app: &App, project: ProjectId, new: &NewVps) -> Result<Created> {
    let order = resolve(app, project, new).await?;
    let (password, password_hash) = if new.ssh_keys.is_empty() {
        let (password, hash) = root_password::generate().await?;
        (Some(password), Some(hash))
    } else {
        (None, None)
    };
    let order = Order { password_hash, ..order };
    for attempt in 0..=ATTEMPTS {
        if let Some((id, hosts, action)) =
            attempt_create(app, project, new, &order, attempt == ATTEMPTS).await?
        {
            hosts.into_iter().for_each(|host| app.wake.changed(Changed::Host(host)));
            app.wake.changed(Changed::Project(project.0));
            let vps = get(&app.db, project, id).await?;
            return Ok(Created { vps, action, root_password: password });
        }
    }
    Err(Error::ResourceUnavailable(format!("no address is free in {}", order.need.place)))
}

/// One attempt, and the hosts that have something to do; none when others were faster.
async fn attempt_create(
    app: &App,
    project: ProjectId,
    new: &NewVps,
    order: &Order,
    exact: bool,
) -> Result<Option<(VpsId, Vec<i64>, Action)>> {
    let mut tx = app.db.begin().await?;
    let quota = quotas::hold(&mut tx, project).await?; // firewalls stand still by that as well
    let Resources { cpu_milli, memory_bytes, disk_bytes, .. } = order.need.resources;
    quota.admits(Amounts { servers: 1, cpu_milli, memory_bytes, disk_bytes, ..Amounts::default() })?;
    networks::hold_all(&mut tx, project, &new.networks).await?;
    if exact {
        let all =
            sqlx::query_scalar!("select id from hosts where enrolled_at is not null order by id for update");
        all.fetch_all(&mut *tx).await?;
    }
    let candidates = candidates(&mut tx, &order.image.sha256, &new.networks, &new.chosen(), new.ipv4).await?;
    let host = choose(&candidates, &order.need).map_err(|why| Error::ResourceUnavailable(why.to_string()))?;
    let Some((seq, location)) = take_room(&mut tx, host, &order.need.resources).await? else {
        return Ok(None);
    };
    let id = insert(&mut tx, project, new, order, host, seq).await?;
    firewalls::at_birth(&mut tx, project, id, &new.labels, &new.firewalls).await?;
    networks::at_birth(&mut tx, project, id, &new.networks).await?;
    for (family, wanted) in [(Family::V4, new.ipv4), (Family::V6, new.ipv6)] {
        let from = Source { location, family, host: Some(host) };
        if !primary_ips::at_birth(&mut tx, project, id, from, wanted, exact).await? {
            return Ok(None);
        }
    }
    if !ports::settle(&mut tx, id, host).await? {
        return Ok(None);
    }
    quota.check(&mut tx).await?;
    let boot_epoch = i64::from(new.start);
    let action =
        NewAction { command: "create_server", vps: id, generation: 1, boot_epoch, password_epoch: 0 };
    let action = actions::insert(&mut tx, project, action).await?;
    if let Some(key) = &new.idempotency {
        idempotency::note(&mut tx, project, key, id, action.id).await?;
    }
    let mut hosts = networks::hosts_of(&mut tx, &new.networks).await?; // who must know where it is
    hosts.push(host.0);
    failpoint::hit("server.create.before_commit").await;
    tx.commit().await?;
    failpoint::hit("server.create.after_commit").await;
    Ok(Some((id, hosts, action)))
}

async fn candidates(
    tx: &mut PgConnection,
    image_sha256: &str,
    networks: &[NetworkId],
    chosen: &[i64],
    ipv4: PublicIp,
) -> Result<Vec<Candidate>> {
    let one = if let PublicIp::Chosen(id) = ipv4 { Some(id.0) } else { None };
    let networks: Vec<i64> = networks.iter().map(|network| network.0).collect();
    let rows = sqlx::query!(
        r#"select h.id, d.location_id, h.datacenter_id,
                  h.enrolled_at is not null and h.revoked_at is null as "enrolled!", h.cordoned,
                  coalesce(h.last_report_at > now() - interval '60 seconds', false) as "fresh!",
                  case h.facts->>'arch' when 'aarch64' then 'arm' else 'x86' end as "architecture!",
                  h.capacity_cpu_milli, h.capacity_memory, h.capacity_disk, h.cpu_overcommit,
                  h.allocated_cpu_milli, h.allocated_cpu_guarantee_milli, h.allocated_memory, h.allocated_disk, h.vps_count,
                  h.images ? $1 as "has_image!",
                  supply(h.facts, h.bgp, d.location_id, 4) as "addresses!",
                  supply(h.facts, h.bgp, d.location_id, 6) as "prefixes!",
                  (select min(host_lacks(h.facts, h.bgp, p.kind, family(p.cidr)))
                   from addresses a join pools p on p.id = a.pool_id where a.primary_ip_id = any($3)) as chosen,
                  (not $4 or case when $5::bigint is null
                     then exists (select from pools p where p.location_id = d.location_id and family(p.cidr) = 4
                                    and (p.ports_first is null or p.id in (select n from pools_with_ports_left(h.id) n))
                                    and exists (select from addresses a where a.pool_id = p.id and not a.held
                                                  and (a.released_at is null or a.released_at
                                                       <= clock_timestamp() - make_interval(secs => p.quarantine_s))
                                                  and not exists (select from address_releases r where r.ip = a.ip)))
                     else not exists (select from addresses a join pools p on p.id = a.pool_id
                                      where a.primary_ip_id = $5 and p.ports_first is not null
                                        and p.id not in (select n from pools_with_ports_left(h.id) n)) end)
                    as "has_ports!",
                  not exists (select from vps_networks m join vps v on v.id = m.vps_id join hosts o on o.id = v.host_id
                              where m.network_id = any($2) and m.leaving_generation is null and o.id <> h.id
                                and not hosts_meet(h, o))
                     and (cardinality($2::bigint[]) = 0 or host_joins(h)) as "reaches_members!"
           from hosts h join datacenters d on d.id = h.datacenter_id"#,
        image_sha256,
        &networks,
        chosen,
        ipv4 != PublicIp::None,
        one
    );
    let mut all = Vec::new();
    for r in rows.fetch_all(tx).await? {
        all.push(Candidate {
            host: r.id.into(),
            location: r.location_id.into(),
            datacenter: r.datacenter_id.into(),
            enrolled: r.enrolled,
            cordoned: r.cordoned,
            fresh: r.fresh,
            architecture: r.architecture,
            capacity: Resources {
                cpu_milli: r.capacity_cpu_milli,
                cpu_guarantee_milli: 0,
                memory_bytes: r.capacity_memory,
                disk_bytes: r.capacity_disk,
            },
            allocated: Resources {
                cpu_milli: r.allocated_cpu_milli,
                cpu_guarantee_milli: r.allocated_cpu_guarantee_milli,
                memory_bytes: r.allocated_memory,
                disk_bytes: r.allocated_disk,
            },
            cpu_overcommit: r.cpu_overcommit,
            vps_count: r.vps_count,
            has_image: r.has_image,
            addresses: serving::supply(&r.addresses)?,
            has_ports: r.has_ports,
            reaches_members: r.reaches_members,
            prefixes: serving::supply(&r.prefixes)?,
            chosen: r.chosen.as_deref().map(serving::gap).transpose()?,
        });
    }
    Ok(all)
}

/// Takes the room on a host if it is still there; gives the host's new sequence and its location.
async fn take_room(
    tx: &mut PgConnection,
    host: HostId,
    need: &Resources,
) -> Result<Option<(i64, LocationId)>> {
    let taken = sqlx::query!(
        "update hosts h set seq = seq + 1, vps_count = vps_count + 1,
                allocated_cpu_milli = allocated_cpu_milli + $2, allocated_memory = allocated_memory + $3,
                allocated_disk = allocated_disk + $4, allocated_cpu_guarantee_milli = allocated_cpu_guarantee_milli + $5::bigint
         from datacenters d
         where h.id = $1 and d.id = h.datacenter_id and not h.cordoned and h.revoked_at is null
           and allocated_cpu_milli + $2 <= floor(capacity_cpu_milli * cpu_overcommit)
           and allocated_memory + $3 <= capacity_memory and allocated_disk + $4 <= capacity_disk
           and ($5::bigint = 0 or allocated_cpu_guarantee_milli + $5::bigint <= capacity_cpu_milli)
         returning h.seq, d.location_id",
        host.0,
        need.cpu_milli,
        need.memory_bytes,
        need.disk_bytes,
        need.cpu_guarantee_milli
    );
    Ok(taken.fetch_optional(tx).await?.map(|r| (r.seq, r.location_id.into())))
}

/// Writes the row. A database that was restored from a backup counts ids again from where it was then; those of VPSes
/// that the host still holds as orphans are passed over, or the new VPS would be taken for the old one.
async fn insert(
    tx: &mut PgConnection,
    project: ProjectId,
    new: &NewVps,
    order: &Order,
    host: HostId,
    seq: i64,
) -> Result<VpsId> {
    let Order { plan, image, keys, password_hash, .. } = order;
    let power = if new.start { Power::Running } else { Power::Stopped };
    let id = sqlx::query_scalar!(
        "insert into vps (id, uuid, project_id, name, labels, host_id, image_id, host_seq, power, boot_epoch, mac,
                          ssh_keys, root_password_hash, user_data, plan_id, cpu_milli, memory_bytes, swap_bytes,
                          disk_bytes, pids, bandwidth_mbit, cpu_weight, cpu_guarantee_milli, memory_high_bytes,
                          memory_guarantee_bytes, disk_read_bps, disk_write_bps, disk_read_iops, disk_write_iops,
                          inodes, open_files) overriding system value
         select (select n from hosts h, lateral (select nextval(pg_get_serial_sequence('vps', 'id')) as n
                                                  from generate_series(0, jsonb_array_length(h.orphans))) fresh
                  where h.id = $5 and not h.orphans @> to_jsonb(n) order by n limit 1),
                $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, p.id, p.cpu_milli, p.memory_bytes, p.swap_bytes,
                p.disk_bytes, p.pids, p.bandwidth_mbit, p.cpu_weight, p.cpu_guarantee_milli, p.memory_high_bytes,
                p.memory_guarantee_bytes, p.disk_read_bps, p.disk_write_bps, p.disk_read_iops, p.disk_write_iops,
                p.inodes, p.open_files
         from plans p where p.id = $14
         returning id",
        Uuid::new_v4(),
        project.0,
        new.name.as_str(),
        Json(&new.labels) as _,
        host.0,
        image.id.0,
        seq,
        if power == Power::Running { "running" } else { "stopped" },
        i64::from(new.start),
        random_mac(),
        Json(keys) as _,
        password_hash.as_deref(),
        new.user_data.as_ref().map(UserData::expose),
        plan.id.0
    );
    Ok(VpsId(id.fetch_one(tx).await.map_err(unique_name)?))
}

/// A locally administered address. Interfaces are routed, so two that are equal would not even meet.
pub(in crate::db) fn random_mac() -> String {
    let [a, b, c, d, e] = rand::random::<[u8; 5]>();
    format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}
