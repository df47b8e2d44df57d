//! What is told of the limits of a running guest: what was asked for, what holds it, and why it does not.

use berth_proto::{LimitName, LimitState, Limits, VpsId};

use super::cgroup::state;
use super::disk::grow::mounted_is_allowed;
use super::{LinuxHost, asked, open_files};
use crate::monitor::wire::{Answer, Request};

/// A disk is made of whole groups of blocks and inodes, so it has a little more than was sold.
const DISK_SLACK: i64 = 50;
const NO_SHAPING: &str = "this host cannot shape traffic: it needs tc of iproute2, and tbf, ifb, u32 and mirred of the \
                          kernel; the agent's log says what it refused";
/// The same of inodes.
const INODE_SLACK: i64 = 10;

/// What a monitor says of its guest's disk.
struct Disk {
    bytes: i64,
    inodes: i64,
    loop_device: u32,
}

impl LinuxHost {
    pub(super) async fn limit_states(&self, id: VpsId) -> Vec<LimitState> {
        let Some(asked) = asked::load(&self.monitors.dir(id)) else { return Vec::new() };
        let disk = match self.monitors.ask(id, &Request::Disk).await {
            Ok(Answer::Disk { total, inodes, loop_device, .. }) => Some(Disk {
                bytes: i64::try_from(total).unwrap_or(i64::MAX),
                inodes: i64::try_from(inodes).unwrap_or(i64::MAX),
                loop_device,
            }),
            _ => None,
        };
        let pid = match self.monitors.ask(id, &Request::Status).await {
            Ok(Answer::Status { pid, .. }) => Some(pid),
            _ => None,
        };
        let mut states = self.tree.held(id, &asked, disk.as_ref().map(|d| d.loop_device));
        states.push(disk_bytes(&asked, disk.as_ref().map(|d| d.bytes)));
        if asked.inodes > 0 {
            // a monitor of an older release does not count them
            states.push(inodes(&asked, disk.map(|d| d.inodes).filter(|inodes| *inodes > 0)));
        }
        if asked.open_files > 0 {
            states.push(files(&asked, pid.and_then(|pid| open_files::of(pid).ok())));
        }
        if asked.bandwidth_mbit > 0 {
            let held = self.net.shaped(id).await;
            let why = held.is_none().then(|| NO_SHAPING.to_owned());
            states.push(state(LimitName::BandwidthMbit, asked.bandwidth_mbit, held, why));
        }
        states
    }
}

fn disk_bytes(asked: &Limits, held: Option<i64>) -> LimitState {
    let want = asked.disk_bytes;
    let why = held.and_then(|held| {
        if held < want {
            let lacking =
                if mounted_is_allowed() { "" } else { " (this host's agent lacks CAP_SYS_RESOURCE)" };
            Some(format!("the disk grows at the next start{lacking}: reboot the server"))
        } else if held - want > want / DISK_SLACK {
            Some("a disk never shrinks".to_owned())
        } else {
            None
        }
    });
    let applied = held.map(|held| if why.is_none() { want } else { held });
    state(LimitName::DiskBytes, want, applied, why)
}

fn inodes(asked: &Limits, held: Option<i64>) -> LimitState {
    let want = asked.inodes;
    let why = match held {
        Some(held) if held < want => Some(format!(
            "the disk has {held} inodes since it was made, and gets more only as it grows: ask for a larger disk, or \
             move the data to a new server"
        )),
        Some(held) if held - want > want / INODE_SLACK + 512 => {
            Some(format!("the disk has {held} inodes since it was made, and a disk never shrinks"))
        }
        Some(_) => None,
        None => Some("the guest's monitor does not tell; restart the server".to_owned()),
    };
    let applied = held.map(|held| if why.is_none() { want } else { held });
    state(LimitName::Inodes, want, applied, why)
}

fn files(asked: &Limits, held: Option<u64>) -> LimitState {
    let held = held.map(|held| i64::try_from(held).unwrap_or(i64::MAX));
    let why = held.filter(|held| *held < asked.open_files).map(|held| {
        if mounted_is_allowed() {
            format!("the kernel's fs.nr_open allows no more than {held}")
        } else {
            format!(
                "running processes keep {held}: this host's agent may not raise it (it lacks CAP_SYS_RESOURCE). From \
                 the next start on it is what was asked for, but at most what the agent itself may open"
            )
        }
    });
    state(LimitName::OpenFiles, asked.open_files, held, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_held_when_it_is_at_least_as_sold_and_not_much_more() {
        let asked = Limits { disk_bytes: 1000, inodes: 100_000, ..Limits::default() };
        let told = |held| {
            let state = disk_bytes(&asked, Some(held));
            (state.applied, state.why.is_some())
        };
        assert_eq!(
            [told(1000), told(1010), told(900), told(1100)],
            [(Some(1000), false), (Some(1000), false), (Some(900), true), (Some(1100), true)]
        );
        let told = |held| {
            let state = inodes(&asked, held);
            (state.applied, state.why.is_some())
        };
        assert_eq!(
            [told(Some(100_100)), told(Some(50_000)), told(Some(200_000)), told(None)],
            [(Some(100_000), false), (Some(50_000), true), (Some(200_000), true), (None, true)]
        );
    }
}
