//! A tenant names an address, or leaves it to the pool's default again.

use std::net::IpAddr;

use ipnet::IpNet;
use sqlx::PgConnection;

use crate::app::App;
use crate::db::actions::{self, Action};
use crate::domain::reverse::HostName;
use crate::error::{Error, Result};
use crate::ids::{FloatingIpId, PrimaryIpId, ProjectId, VpsId};
use crate::wake::Changed;

/// Whose address is named.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// The primary IPs of a VPS; floating ones are named themselves.
    Vps(VpsId),
    /// A primary IP.
    Primary(PrimaryIpId),
    /// A floating IP.
    Floating(FloatingIpId),
}

/// The row of `addresses` that an address is, or is part of.
struct Held {
    ip: IpNet,
    /// Whether its pool has a name server.
    served: bool,
}

/// Names an address, or resets it to the pool's default. The action runs until the name server has taken that.
///
/// # Errors
/// `invalid_input` for `ip` when the address is another's, `unsupported_error` when its pool has no name server.
pub async fn change(
    app: &App,
    project: ProjectId,
    of: Of,
    ip: IpAddr,
    name: Option<&HostName>,
) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let what = exists(&mut tx, project, of).await?;
    let ip = IpNet::from(ip);
    let held = hold(&mut tx, of, ip).await?;
    let held =
        held.ok_or_else(|| Error::invalid("ip", format!("{} is not an address of this {what}", ip.addr())))?;
    if !held.served {
        let why = format!(
            "reverse DNS is not offered for {}: there is no name server for its addresses",
            ip.addr()
        );
        return Err(Error::Refused { code: "unsupported_error", message: why });
    }
    sqlx::query!(
        "insert into reverse_names (ip, address, chosen) values ($1, $2, $3)
         on conflict (ip) do update set address = excluded.address, chosen = excluded.chosen,
                version = reverse_names.version + 1, failures = 0, next_at = now(), error = null",
        ip,
        held.ip,
        name.map(HostName::as_str)
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update actions set status = 'error', progress = 100, finished_at = now(), error_code = 'superseded',
                error_message = 'a later change of the name took the place of this action'
         where status = 'running' and reverse_ip = $1",
        ip
    )
    .execute(&mut *tx)
    .await?;
    let action = actions::insert_of_name(&mut tx, project, of, ip).await?;
    tx.commit().await?;
    app.names.notify_one();
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}

/// What it is called, if the project has it.
async fn exists(tx: &mut PgConnection, project: ProjectId, of: Of) -> Result<&'static str> {
    let (what, found) = match of {
        Of::Vps(id) => {
            let found = sqlx::query_scalar!(
                r#"select exists (select from vps where project_id = $1 and id = $2 and deleted_at is null) as "is!""#,
                project.0,
                id.0
            );
            ("server", found.fetch_one(tx).await?)
        }
        Of::Primary(id) => {
            let found = sqlx::query_scalar!(
                r#"select exists (select from primary_ips where project_id = $1 and id = $2) as "is!""#,
                project.0,
                id.0
            );
            ("primary IP", found.fetch_one(tx).await?)
        }
        Of::Floating(id) => {
            let found = sqlx::query_scalar!(
                r#"select exists (select from floating_ips where project_id = $1 and id = $2) as "is!""#,
                project.0,
                id.0
            );
            ("floating IP", found.fetch_one(tx).await?)
        }
    };
    if found { Ok(what) } else { Err(Error::NotFound(what)) }
}

/// Locks the address's row, if it belongs to what was named.
async fn hold(tx: &mut PgConnection, of: Of, ip: IpNet) -> Result<Option<Held>> {
    let found = match of {
        Of::Vps(id) => {
            let held = sqlx::query_as!(
                Held,
                r#"select ip, exists (select from pool_name_servers s where s.pool_id = a.pool_id) as "served!"
                   from addresses a where vps_id = $1 and primary_ip_id is not null and ip >>= $2 for update"#,
                id.0,
                ip
            );
            held.fetch_optional(tx).await?
        }
        Of::Primary(id) => {
            let held = sqlx::query_as!(
                Held,
                r#"select ip, exists (select from pool_name_servers s where s.pool_id = a.pool_id) as "served!"
                   from addresses a where primary_ip_id = $1 and ip >>= $2 for update"#,
                id.0,
                ip
            );
            held.fetch_optional(tx).await?
        }
        Of::Floating(id) => {
            let held = sqlx::query_as!(
                Held,
                r#"select ip, exists (select from pool_name_servers s where s.pool_id = a.pool_id) as "served!"
                   from addresses a where floating_ip_id = $1 and ip >>= $2 for update"#,
                id.0,
                ip
            );
            held.fetch_optional(tx).await?
        }
    };
    Ok(found)
}
