//! From rows to what pages show. No decisions: the status comes from the domain, the words from `berth-web`.

use std::collections::HashMap;

use berth_proto::own_ipv6;
use berth_web::{
    ActionRow, Bytes, Cores, Load, Ports, Powers, ServerRow, ServerView, Status, Traffic, Unit, When,
};
use chrono::{DateTime, Utc};

use crate::db::actions::Action;
use crate::db::images::Image;
use crate::db::vps::Vps;
use crate::domain::labels::Labels;
use crate::domain::life::{exit_text, policy_name};
use crate::domain::status::Status as Seen;

/// Of what a page needs besides the rows: the moment, names of images, CPU in use by VPS (1 is one core).
#[derive(Clone, Debug)]
pub(super) struct Beside {
    pub(super) now: DateTime<Utc>,
    pub(super) images: HashMap<i64, String>,
    pub(super) cpu: HashMap<i64, f64>,
}

/// What people call an image.
pub(super) fn image_title(image: &Image) -> String {
    if image.description.is_empty() { image.name.clone() } else { image.description.clone() }
}

/// The word and shape of a status.
pub(super) fn status(vps: &Vps) -> Status {
    match vps.status() {
        Seen::Running => Status::Running,
        Seen::Initializing => Status::Creating,
        Seen::Starting => Status::Starting,
        Seen::Stopping => Status::Stopping,
        Seen::Off => Status::Off,
        Seen::Deleting => Status::Deleting,
        Seen::Unknown => Status::Unknown,
    }
}

/// Why the desired state could not be reached.
pub(super) fn fault(vps: &Vps) -> Option<String> {
    let fault = vps.observed_fault.as_ref()?;
    fault["message"].as_str().or(fault["code"].as_str()).map(str::to_owned)
}

/// CPU and memory in use; none while it does not run.
pub(super) fn loads(vps: &Vps, beside: &Beside) -> (Option<Load>, Option<Load>) {
    if status(vps) != Status::Running {
        return (None, None);
    }
    let cpu = beside.cpu.get(&vps.id.0).map(|cores| {
        let percent = cores * 100_000.0 / vps.cpu_milli.max(1) as f64;
        Load::of("CPU", percent, 100.0, Unit::Percent.tell(percent.min(100.0)))
    });
    let memory = vps.metrics().map(|m| {
        let used = m.memory_bytes;
        Load::of("Memory", used as f64, vps.memory_bytes as f64, Bytes(used).to_string())
    });
    (cpu, memory)
}

/// Labels as pages show them: `key=value`.
pub(super) fn tags(labels: &Labels) -> Vec<String> {
    let one = |(k, v): (&String, &String)| if v.is_empty() { k.clone() } else { format!("{k}={v}") };
    labels.map().iter().map(one).collect()
}

fn image(vps: &Vps, beside: &Beside) -> String {
    beside.images.get(&vps.image_id.0).unwrap_or(&vps.image_name).clone()
}

/// A row of the list.
pub(super) fn row(vps: &Vps, beside: &Beside) -> ServerRow {
    let (cpu, memory) = loads(vps, beside);
    ServerRow {
        id: vps.id.0,
        name: vps.name.clone(),
        status: status(vps),
        fault: fault(vps),
        plan: vps.plan_name.clone(),
        specs: format!("{} · {} · {}", Cores(vps.cpu_milli), Bytes(vps.memory_bytes), Bytes(vps.disk_bytes)),
        image: image(vps, beside),
        location: vps.location_name.clone(),
        ipv4: vps.ipv4().map(|ip| ip.to_string()),
        cpu,
        memory,
        labels: tags(&vps.labels),
        created: When::new(vps.created_at, beside.now),
    }
}

/// A server, whole. Operators see its host.
pub(super) fn server(vps: &Vps, beside: &Beside, operator: bool) -> ServerView {
    let status = status(vps);
    ServerView {
        id: vps.id.0,
        name: vps.name.clone(),
        status,
        frozen: vps.observed_frozen,
        restart_policy: policy_name(vps.restart_policy()),
        last_exit: vps.exit().map(exit_text),
        fault: fault(vps),
        limit_hits: vps.metrics().map_or_else(Vec::new, |metrics| super::limits::hits(&metrics.hits)),
        walls: walls(vps),
        traffic: Traffic {
            incoming: Bytes(vps.traffic_in),
            outgoing: Bytes(vps.traffic_out),
            included: Bytes(vps.included_traffic),
            private: (Bytes(vps.private_in), Bytes(vps.private_out)),
        },
        ipv4: vps.ipv4().map(|ip| ip.to_string()),
        ports: vps.first_port.zip(vps.last_port).map(|(first, last)| Ports {
            address: vps.host_ipv4.clone(),
            first,
            last,
        }),
        ipv6: vps.ipv6().map(|net| own_ipv6(net).addr().to_string()),
        plan: vps.plan_name.clone(),
        cores: Cores(vps.cpu_milli),
        memory: Bytes(vps.memory_bytes),
        disk: Bytes(vps.disk_bytes),
        image: image(vps, beside),
        location: vps.location_name.clone(),
        host: operator.then(|| vps.host_name.clone()),
        labels: tags(&vps.labels),
        protected: vps.protect_delete,
        created: When::new(vps.created_at, beside.now),
        started: vps
            .observed_started_at
            .filter(|_| status == Status::Running)
            .map(|at| When::new(at, beside.now)),
        powers: Powers {
            on: status == Status::Off,
            off: matches!(status, Status::Running | Status::Starting | Status::Stopping),
            freeze: status == Status::Running && !vps.frozen,
            thaw: vps.frozen || (status == Status::Running && vps.observed_frozen),
        },
    }
}

/// Why its network does not work as usual.
fn walls(vps: &Vps) -> Vec<String> {
    let isolated = vps.isolated_reason.as_ref().map(|reason| {
        format!(
            "The operator has isolated this server: nothing passes to it or from it. The reason: {reason}"
        )
    });
    let suspended = vps.traffic_suspended.then(|| {
        "The included traffic is used up: nothing passes to this server or from it until the month ends."
            .to_owned()
    });
    let throttled = (vps.traffic_throttle_mbit > 0).then(|| {
        let mbit = vps.traffic_throttle_mbit;
        format!(
            "The included traffic is used up: bandwidth is lowered to {mbit} Mbit/s until the month ends."
        )
    });
    [isolated, suspended, throttled].into_iter().flatten().collect()
}

/// A line of the activity.
pub(super) fn action(action: &Action, now: DateTime<Utc>) -> ActionRow {
    ActionRow {
        id: action.id.0,
        status: action.status.as_str().to_owned(),
        command: action.command.clone(),
        progress: action.progress,
        started: When::new(action.started_at, now),
        error: action.error_code.clone().map(|code| (code, action.error_message.clone().unwrap_or_default())),
    }
}
