//! The end of every guest of a host, as at the machine's shutdown: `berth-agent stop-all`.
//!
//! Desired state is not changed and no disk is touched: what should run is started again by the next agent. To tell this
//! from a guest that halted itself (which stays off), each record says that *we* asked before the guest is asked; a
//! `stop-all` that dies in the middle therefore loses nothing either. It holds the agent's lock, because a running
//! agent would start everything again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use berth_proto::{Desired, VpsId};
use chrono::{TimeDelta, Utc};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::agent;
use crate::host::{Found, Guest, Host};
use crate::record::StopAsked;
use crate::store::Store;

/// Guests that shut down at the same time; each writes to its disk while it does.
const AT_ONCE: usize = 16;

/// How often a guest that was asked is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What became of the guests.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// They shut down when asked.
    pub asked: Vec<VpsId>,
    /// They did not in time, and were killed.
    pub killed: Vec<VpsId>,
    /// They may still run, or left something behind, and why.
    pub failed: Vec<(VpsId, String)>,
}

enum End {
    WasOff,
    Asked,
    Killed,
}

/// Asks every guest of the host to stop, kills those that do not within `patience`, and clears what they leave.
///
/// # Errors
/// When an agent runs on this state, or the state cannot be read. What fails with one guest is in the answer.
pub async fn stop_all<H: Host>(
    state_dir: &Path,
    host: &Arc<H>,
    patience: Duration,
) -> std::io::Result<Stopped> {
    let _lock = agent::lock(state_dir)?;
    let store = Store::open(state_dir)?;
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for id in host.inventory().await {
        let (host, store, slots) = (host.clone(), store.clone(), slots.clone());
        tasks.spawn(async move {
            let _slot = slots.acquire_owned().await.expect("the semaphore is never closed");
            (id, stop(host.as_ref(), &store, id, patience).await)
        });
    }
    let mut stopped = Stopped::default();
    while let Some(done) = tasks.join_next().await {
        match done.map_err(std::io::Error::other)? {
            (_, Ok(End::WasOff)) => {}
            (id, Ok(End::Asked)) => stopped.asked.push(id),
            (id, Ok(End::Killed)) => stopped.killed.push(id),
            (id, Err(why)) => stopped.failed.push((id, why)),
        }
    }
    stopped.asked.sort();
    stopped.killed.sort();
    stopped.failed.sort();
    host.count_traffic().await; // counters go with the machine
    Ok(stopped)
}

async fn stop<H: Host>(host: &H, store: &Store, id: VpsId, patience: Duration) -> Result<End, String> {
    let end = match tokio::time::timeout(patience, sure(host, id)).await {
        Err(_) => kill(host, id).await?, // its monitor hangs
        Ok(Found { guest: None, .. }) => End::WasOff,
        Ok(Found { guest: Some(guest), .. }) => {
            note(store, id, &guest, patience)?;
            let asked = host.ask_to_stop(id).await;
            match asked.is_ok() && tokio::time::timeout(patience, gone(host, id)).await.is_ok() {
                true => End::Asked,
                false => kill(host, id).await?,
            }
        }
    };
    clear(host, store, id).await?;
    Ok(end)
}

async fn kill<H: Host>(host: &H, id: VpsId) -> Result<End, String> {
    host.kill(id).await.map_err(|fault| fault.message)?;
    Ok(End::Killed)
}

/// Writes down that we asked, before we do.
fn note(store: &Store, id: VpsId, guest: &Guest, patience: Duration) -> Result<(), String> {
    let mut stored = store.load(id);
    if stored.damaged.is_some() {
        return Ok(()); // kept as it is, for somebody to look at
    }
    stored.record.running = true;
    stored.record.started_epoch = guest.boot_epoch;
    stored.record.stop = Some(StopAsked {
        epoch: guest.boot_epoch,
        generation: stored.desired.as_ref().map_or(0, Desired::generation),
        deadline: Utc::now() + TimeDelta::from_std(patience).unwrap_or(TimeDelta::MAX),
    });
    store.save_record(id, &stored.record).map_err(|e| format!("its record cannot be written: {e}"))
}

async fn gone<H: Host>(host: &H, id: VpsId) {
    while sure(host, id).await.guest.is_some() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A look that tells something: a monitor that starts or ends does not answer for a moment.
async fn sure<H: Host>(host: &H, id: VpsId) -> Found {
    loop {
        let found = host.find(id).await;
        if !found.unsure {
            return found;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Takes in how the guest ended, and clears what it left outside its disk.
async fn clear<H: Host>(host: &H, store: &Store, id: VpsId) -> Result<(), String> {
    let found = host.find(id).await;
    if found.unsure {
        return Err("its monitor does not answer; whether it runs is not known".into());
    }
    let mut stored = store.load(id);
    if stored.damaged.is_none()
        && stored.desired.is_some()
        && stored.record.absorb(&found, Utc::now()).is_some()
    {
        store.save_record(id, &stored.record).map_err(|e| format!("its record cannot be written: {e}"))?;
    }
    host.remove_leftovers(id).await.map_err(|fault| fault.message)
}

#[cfg(test)]
mod tests {
    use berth_proto::Exit;

    use super::*;
    use crate::plan::{Reason, Step, plan};
    use crate::record::{Disk, Record};
    use crate::sim::{Behaviour, SimHost};
    use crate::testing::spec;

    /// A host with one running guest, its spec and record on disk as the reconciler leaves them.
    async fn running(stop: Option<Duration>) -> (tempfile::TempDir, Store, Arc<SimHost>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path()).expect("a new store");
        let host = Arc::new(SimHost::new(Behaviour { stop, ..Behaviour::default() }));
        let spec = spec(7);
        host.create_disk(&spec).await.expect("a disk");
        host.start(&spec).await.expect("a guest");
        let record = Record { disk: Disk::Used, running: true, started_epoch: 1, ..Record::default() };
        store.save_desired(&Desired::Present(Box::new(spec))).expect("saved");
        store.save_record(VpsId(7), &record).expect("saved");
        (dir, store, host)
    }

    async fn comes_back(store: &Store, host: &SimHost) {
        let stored = store.load(VpsId(7));
        assert_eq!((stored.record.exit, stored.record.running), (Some(Exit::Stopped), false));
        let found = host.find(VpsId(7)).await;
        assert!(found.disk && found.guest.is_none() && !found.leftovers, "{found:?}");
        let steps = plan(stored.desired.as_ref(), &stored.record, &found, Utc::now());
        assert_eq!((&steps[0].step, steps[0].why), (&Step::Start, Reason::ShouldRun));
    }

    #[tokio::test]
    async fn a_guest_that_listens_shuts_down_and_comes_back() {
        let (dir, store, host) = running(Some(Duration::from_millis(20))).await;
        let stopped = stop_all(dir.path(), &host, Duration::from_secs(10)).await.expect("stopped");
        assert_eq!(stopped, Stopped { asked: vec![VpsId(7)], ..Stopped::default() });
        comes_back(&store, &host).await;
    }

    #[tokio::test]
    async fn a_guest_that_does_not_listen_is_killed_and_comes_back() {
        let (dir, store, host) = running(None).await;
        let stopped = stop_all(dir.path(), &host, Duration::from_millis(100)).await.expect("stopped");
        assert_eq!(stopped, Stopped { killed: vec![VpsId(7)], ..Stopped::default() });
        comes_back(&store, &host).await;
    }

    #[tokio::test]
    async fn a_guest_that_halted_itself_before_stays_off() {
        let (dir, store, host) = running(Some(Duration::from_millis(1))).await;
        host.end_guest(VpsId(7), Exit::Halt);
        let stopped = stop_all(dir.path(), &host, Duration::from_secs(10)).await.expect("stopped");
        assert_eq!(stopped, Stopped::default());
        let stored = store.load(VpsId(7));
        assert_eq!(stored.record.halted_epoch, Some(1));
        assert_eq!(plan(stored.desired.as_ref(), &stored.record, &host.find(VpsId(7)).await, Utc::now()), []);
    }

    #[tokio::test]
    async fn it_refuses_beside_a_running_agent() {
        let (dir, _store, host) = running(None).await;
        let _agent = agent::lock(dir.path()).expect("the agent's lock");
        let refused = stop_all(dir.path(), &host, Duration::from_secs(1)).await.expect_err("refused");
        assert!(refused.to_string().contains("another agent"), "{refused}");
        assert!(host.find(VpsId(7)).await.guest.is_some());
    }
}
