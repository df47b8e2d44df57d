//! What a host should hold: the rows behind `GET /agent/v1/watch`.

use std::net::IpAddr;

use berth_proto::{
    Access, ArchiveFormat, BlockedPort, Desired, Guard, HostSettings, ImageId, ImageRef, Limits, NetSpec,
    PortRange, Power, PrivateNic, StopMode, VpsId, VpsSpec,
};
use ipnet::IpNet;
use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool};

use crate::domain::life::parse_policy;
use crate::domain::traffic::bandwidth;

/// The host's sequence: rises with each change of what it should hold.
///
/// # Errors
/// When the database fails.
pub async fn seq(db: impl PgExecutor<'_>, host: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select seq from hosts where id = $1", host).fetch_one(db).await
}

/// Everything the host should know (`since` = 0), or what changed after `since`.
///
/// What changed includes VPSes that are gone long since: their `host_seq` rises again when the host turns out to have
/// them still.
///
/// # Errors
/// When the database fails, or holds a row that no version of ours has written.
pub async fn desired(db: &PgPool, host: i64, since: i64) -> anyhow::Result<Vec<Desired>> {
    let rows: Vec<Row> = sqlx::query_as!(
        Row,
        r#"select v.id, v.uuid::text as "uuid!", v.name, v.generation, v.boot_epoch, v.stop_timeout_s, v.mac,
                  case when v.suspended then 'stopped' else v.power end as "power!",
                  (v.deleting_at is not null or v.deleted_at is not null) as "deleted!",
                  v.cpu_milli, v.memory_bytes, v.swap_bytes, v.disk_bytes, v.pids, v.bandwidth_mbit,
                  v.cpu_weight, v.cpu_guarantee_milli, v.memory_high_bytes, v.memory_guarantee_bytes,
                  v.disk_read_bps, v.disk_write_bps, v.disk_read_iops, v.disk_write_iops, v.inodes, v.open_files,
                  v.ssh_keys, v.root_password_hash, v.password_epoch, v.user_data, v.firewall, v.private_firewall,
                  v.frozen, v.restart_policy, v.autostart_order, v.traffic_throttle_mbit, v.announce_epoch,
                  (v.isolated_at is not null or v.traffic_suspended) as "isolated!",
                  p.blocked_ports as "blocked_ports: Json<Vec<BlockedPort>>",
                  i.id as image_id, i.sha256, i.size_bytes, i.format, i.cloud_init, i.stop_signal, i.default_user,
                  a.ip as "ip?: IpNet", a6.ip as "prefix?: IpNet",
                  r.first_port as "first_port?", r.last_port as "last_port?",
                  array(select f.ip from addresses f where f.vps_id = v.id and f.floating_ip_id is not null
                        order by f.ip) as "floating!: Vec<IpNet>"
           from vps v join images i on i.id = v.image_id join plans p on p.id = v.plan_id
                left join addresses a on a.vps_id = v.id and a.primary_ip_id is not null and family(a.ip) = 4
                left join addresses a6 on a6.vps_id = v.id and a6.primary_ip_id is not null and family(a6.ip) = 6
                left join port_ranges r on r.vps_id = v.id and r.pool_id = a.pool_id
           where v.host_id = $1 and v.host_seq > $2 and ($2 > 0 or v.deleted_at is null)
           order by v.host_seq, v.id"#,
        host,
        since
    )
    .fetch_all(db)
    .await?;
    let ids: Vec<i64> = rows.iter().filter(|row| !row.deleted).map(|row| row.id).collect();
    let mut private = super::networks::nics(db, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let nics = private.remove(&row.id).unwrap_or_default();
            row.desired(nics)
        })
        .collect()
}

/// The images that the host should hold ready: all that are offered, and those that its VPSes were made from.
///
/// # Errors
/// When the database fails, or holds a row that no version of ours has written.
pub async fn images(db: &PgPool, host: i64) -> anyhow::Result<Vec<ImageRef>> {
    let rows = sqlx::query!(
        "select id, sha256, size_bytes, format, cloud_init, stop_signal, default_user from images i
         where retired_at is null
            or exists (select from vps v where v.image_id = i.id and v.host_id = $1 and v.deleted_at is null)
         order by id",
        host
    )
    .fetch_all(db)
    .await?;
    let mut images = Vec::with_capacity(rows.len());
    for row in rows {
        images.push(ImageRef {
            id: ImageId(row.id),
            sha256: row.sha256,
            size_bytes: row.size_bytes,
            format: format(&row.format)?,
            cloud_init: row.cloud_init,
            stop_signal: row.stop_signal,
            default_user: row.default_user,
        });
    }
    Ok(images)
}

/// The host's settings.
///
/// # Errors
/// When the database fails.
pub async fn settings(db: &PgPool, host: i64) -> sqlx::Result<HostSettings> {
    let nat_pools = sqlx::query_scalar!(
        r#"select p.cidr::text as "cidr!" from pools p
           join datacenters d on d.location_id = p.location_id join hosts h on h.datacenter_id = d.id
           where h.id = $1 and p.kind = 'nat' order by p.id"#,
        host
    )
    .fetch_all(db)
    .await?;
    let place = sqlx::query!(
        r#"select l.resolvers as "resolvers: Json<Vec<IpAddr>>", l.network_zone, d.name from locations l
           join datacenters d on d.location_id = l.id join hosts h on h.datacenter_id = d.id where h.id = $1"#,
        host
    );
    let place = place.fetch_one(db).await?;
    let (region, availability_zone) = (place.network_zone, place.name);
    let gateways = super::gateways::of_host(db, host).await?;
    Ok(HostSettings { nat_pools, resolvers: place.resolvers.0, region, availability_zone, gateways })
}

struct Row {
    id: i64,
    uuid: String,
    name: String,
    generation: i64,
    power: String,
    boot_epoch: i64,
    stop_timeout_s: i32,
    mac: String,
    deleted: bool,
    cpu_milli: i64,
    memory_bytes: i64,
    swap_bytes: i64,
    disk_bytes: i64,
    pids: i64,
    bandwidth_mbit: i64,
    cpu_weight: i64,
    cpu_guarantee_milli: i64,
    memory_high_bytes: i64,
    memory_guarantee_bytes: i64,
    disk_read_bps: i64,
    disk_write_bps: i64,
    disk_read_iops: i64,
    disk_write_iops: i64,
    inodes: i64,
    open_files: i64,
    ssh_keys: serde_json::Value,
    root_password_hash: Option<String>,
    password_epoch: i64,
    user_data: Option<String>,
    frozen: bool,
    restart_policy: String,
    autostart_order: i32,
    firewall: Option<serde_json::Value>,
    private_firewall: Option<serde_json::Value>,
    traffic_throttle_mbit: i64,
    announce_epoch: i64,
    isolated: bool,
    blocked_ports: Json<Vec<BlockedPort>>,
    image_id: i64,
    sha256: String,
    size_bytes: i64,
    format: String,
    cloud_init: bool,
    stop_signal: Option<String>,
    default_user: Option<String>,
    ip: Option<IpNet>,
    prefix: Option<IpNet>,
    first_port: Option<i32>,
    last_port: Option<i32>,
    floating: Vec<IpNet>,
}

impl Row {
    fn desired(self, private: Vec<PrivateNic>) -> anyhow::Result<Desired> {
        let id = VpsId(self.id);
        if self.deleted {
            return Ok(Desired::Deleted { id, generation: self.generation });
        }
        let ipv4 = match self.ip {
            Some(IpNet::V4(net)) => Some(net.addr()),
            Some(IpNet::V6(_)) | None => None,
        };
        let ipv6 = match self.prefix {
            Some(IpNet::V6(net)) => Some(net),
            Some(IpNet::V4(_)) | None => None,
        };
        let (mut floating, mut floating6) = (Vec::new(), Vec::new());
        for net in &self.floating {
            match net {
                IpNet::V4(net) => floating.push(net.addr()),
                IpNet::V6(net) => floating6.push(*net),
            }
        }
        let ports = match (self.first_port, self.last_port) {
            (Some(first), Some(last)) => {
                Some(PortRange { first: u16::try_from(first)?, last: u16::try_from(last)? })
            }
            _ => None,
        };
        let stop_mode = match u32::try_from(self.stop_timeout_s)? {
            0 => StopMode::Hard,
            timeout_s => StopMode::Graceful { timeout_s },
        };
        Ok(Desired::Present(Box::new(VpsSpec {
            id,
            generation: self.generation,
            hostname: self.name,
            uuid: self.uuid,
            power: power(&self.power)?,
            boot_epoch: self.boot_epoch,
            stop_mode,
            image: ImageRef {
                id: ImageId(self.image_id),
                sha256: self.sha256,
                size_bytes: self.size_bytes,
                format: format(&self.format)?,
                cloud_init: self.cloud_init,
                stop_signal: self.stop_signal,
                default_user: self.default_user,
            },
            limits: Limits {
                cpu_milli: self.cpu_milli,
                memory_bytes: self.memory_bytes,
                swap_bytes: self.swap_bytes,
                disk_bytes: self.disk_bytes,
                pids: self.pids,
                bandwidth_mbit: bandwidth(self.bandwidth_mbit, self.traffic_throttle_mbit),
                cpu_weight: self.cpu_weight,
                cpu_guarantee_milli: self.cpu_guarantee_milli,
                memory_high_bytes: self.memory_high_bytes,
                memory_guarantee_bytes: self.memory_guarantee_bytes,
                disk_read_bps: self.disk_read_bps,
                disk_write_bps: self.disk_write_bps,
                disk_read_iops: self.disk_read_iops,
                disk_write_iops: self.disk_write_iops,
                inodes: self.inodes,
                open_files: self.open_files,
            },
            net: NetSpec {
                ipv4,
                ipv6,
                floating,
                floating6,
                mac: self.mac,
                firewall: self.firewall.map(serde_json::from_value).transpose()?,
                private_firewall: self.private_firewall.map(serde_json::from_value).transpose()?,
                guard: Guard { isolated: self.isolated, blocked_ports: self.blocked_ports.0 },
                private,
                announce_epoch: self.announce_epoch,
                ports,
            },
            access: Access {
                ssh_keys: serde_json::from_value(self.ssh_keys)?,
                root_password_hash: self.root_password_hash,
                password_epoch: self.password_epoch,
            },
            user_data: self.user_data,
            frozen: self.frozen,
            restart: parse_policy("restart_policy", &self.restart_policy)?,
            autostart_order: self.autostart_order,
        })))
    }
}

/// Reads the column `power`.
pub(super) fn power(s: &str) -> anyhow::Result<Power> {
    match s {
        "running" => Ok(Power::Running),
        "stopped" => Ok(Power::Stopped),
        other => anyhow::bail!("'{other}' is no power state"),
    }
}

fn format(s: &str) -> anyhow::Result<ArchiveFormat> {
    match s {
        "tar" => Ok(ArchiveFormat::Tar),
        "tar_gz" => Ok(ArchiveFormat::TarGz),
        "tar_xz" => Ok(ArchiveFormat::TarXz),
        "tar_zst" => Ok(ArchiveFormat::TarZst),
        "squashfs" => Ok(ArchiveFormat::Squashfs),
        other => anyhow::bail!("'{other}' is no archive format"),
    }
}
