//! Taking a VPS's row for a change: the host's row first, always.

use berth_proto::{Power, VpsState};
use sqlx::PgConnection;

use super::read::power_from_name;
use crate::domain::power::Current;
use crate::domain::status::{Seen, Status, state_from_name, status};
use crate::error::{Error, Result};
use crate::ids::{HostId, ProjectId, VpsId};

/// A VPS whose row, and whose host's row, this transaction holds.
#[derive(Debug)]
pub(in crate::db) struct Locked {
    pub(super) id: VpsId,
    pub(in crate::db) host: HostId,
    pub(super) generation: i64,
    pub(super) boot_epoch: i64,
    pub(super) password_epoch: i64,
    pub(super) protect_delete: bool,
    pub(super) deleting: bool,
    creating: bool,
    power: Power,
    state: VpsState,
    observed_boot_epoch: i64,
    /// Desired to stand still.
    pub(super) frozen: bool,
    /// Seen to stand still.
    pub(super) observed_frozen: bool,
    failed: bool,
}

impl Locked {
    /// What a power command decides upon.
    pub(super) fn current(&self) -> Current {
        Current {
            power: self.power,
            boot_epoch: self.boot_epoch,
            state: self.state,
            observed_boot_epoch: self.observed_boot_epoch,
        }
    }

    /// What it is called, if its host was heard of.
    pub(super) fn status(&self, host_fresh: bool) -> Status {
        status(&Seen {
            deleting: self.deleting,
            power: self.power,
            boot_epoch: self.boot_epoch,
            host_fresh,
            observed: true, // one that was never seen is being created
            state: self.state,
            observed_boot_epoch: self.observed_boot_epoch,
            failed: self.failed,
        })
    }

    /// Refuses while it is being made or deleted.
    pub(in crate::db) fn at_rest(self) -> Result<Self> {
        if self.deleting {
            Err(Error::Locked("the server is being deleted".into()))
        } else if self.creating {
            Err(Error::Locked("the server is being created".into()))
        } else {
            Ok(self)
        }
    }
}

/// Locks a VPS of a project.
pub(in crate::db) async fn lock(tx: &mut PgConnection, project: ProjectId, id: VpsId) -> Result<Locked> {
    let host = sqlx::query_scalar!(
        "select h.id from hosts h
         where h.id = (select host_id from vps where id = $1 and project_id = $2 and deleted_at is null)
         for update",
        id.0,
        project.0
    );
    let host = host.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound("server"))?;
    let row = sqlx::query!(
        r#"select generation, boot_epoch, password_epoch, protect_delete, deleting_at, power, observed_state,
                  observed_boot_epoch, frozen, observed_frozen,
                  coalesce(observed_fault -> 'terminal' = 'true', false) as "failed!",
                  exists (select 1 from actions a where a.vps_id = vps.id and a.status = 'running'
                                                    and a.command = 'create_server') as "creating!"
           from vps where id = $1 and project_id = $2 and host_id = $3 and deleted_at is null for update"#,
        id.0,
        project.0,
        host
    );
    let row = row.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound("server"))?;
    Ok(Locked {
        id,
        host: host.into(),
        generation: row.generation,
        boot_epoch: row.boot_epoch,
        password_epoch: row.password_epoch,
        protect_delete: row.protect_delete,
        deleting: row.deleting_at.is_some(),
        creating: row.creating,
        power: power_from_name(&row.power),
        state: state_from_name(&row.observed_state),
        observed_boot_epoch: row.observed_boot_epoch,
        frozen: row.frozen,
        observed_frozen: row.observed_frozen,
        failed: row.failed,
    })
}

/// Raises the sequence of a host whose row is held.
pub(in crate::db) async fn next_seq(tx: &mut PgConnection, host: HostId) -> Result<i64> {
    let seq = sqlx::query_scalar!("update hosts set seq = seq + 1 where id = $1 returning seq", host.0);
    Ok(seq.fetch_one(tx).await?)
}
