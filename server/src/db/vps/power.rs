//! Power commands: desired state like everything else.

use berth_proto::Power;

use super::lock::{lock, next_seq};
use crate::app::App;
use crate::db::actions::{self, Action, NewAction};
use crate::domain::power::{Command, Next, actions_wanting, decide};
use crate::error::Result;
use crate::ids::{ProjectId, VpsId};
use crate::wake::Changed;

/// Gives a power command. What is already so succeeds at once. Running actions that want the opposite end with an error,
/// because they could never be done any more. Whatever the command changes, a frozen VPS is thawed.
pub async fn power(app: &App, project: ProjectId, id: VpsId, command: Command) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let vps = lock(&mut tx, project, id).await?.at_rest()?;
    let (power, boot_epoch, stop_timeout_s) = match decide(command, &vps.current()) {
        Next::Change { power, boot_epoch, stop_timeout_s } => (power, boot_epoch, stop_timeout_s),
        Next::Already => {
            let generation = vps.generation;
            let new = NewAction {
                command: command.action(),
                vps: id,
                generation,
                boot_epoch: 0,
                password_epoch: 0,
            };
            let action = actions::insert_done(&mut tx, project, new).await?;
            tx.commit().await?;
            return Ok(action);
        }
    };
    let seq = next_seq(&mut tx, vps.host).await?;
    let (power_name, opposite) = match power {
        Power::Running => ("running", Power::Stopped),
        Power::Stopped => ("stopped", Power::Running),
    };
    let change = sqlx::query!(
        "update vps set generation = $2, host_seq = $3, power = $4, boot_epoch = $5, stop_timeout_s = $6,
                        frozen = false
         where id = $1",
        vps.id.0,
        vps.generation + 1,
        seq,
        power_name,
        boot_epoch,
        stop_timeout_s
    );
    change.execute(&mut *tx).await?;
    actions::supersede(&mut tx, id, actions_wanting(opposite), command.action()).await?;
    actions::supersede(&mut tx, id, &["freeze_server"], command.action()).await?;
    let waits_for = if power == Power::Running { boot_epoch } else { 0 };
    let new = NewAction {
        command: command.action(),
        vps: id,
        generation: vps.generation + 1,
        boot_epoch: waits_for,
        password_epoch: 0,
    };
    let action = actions::insert(&mut tx, project, new).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}
