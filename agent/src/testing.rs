//! Values that the unit tests of several modules begin with.

use berth_proto::{
    Access, ArchiveFormat, Desired, Guard, ImageId, ImageRef, Limits, NetSpec, Power, RestartPolicy,
    StopMode, VpsId, VpsSpec,
};
use chrono::{DateTime, Utc};

/// A moment, in seconds from the epoch.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a test's moment")
}

/// A VPS in generation 1 and boot epoch 1 that should run.
pub(crate) fn spec(id: i64) -> VpsSpec {
    VpsSpec {
        id: VpsId(id),
        generation: 1,
        hostname: format!("vps-{id}"),
        uuid: format!("00000000-0000-4000-8000-{id:012}"),
        power: Power::Running,
        boot_epoch: 1,
        stop_mode: StopMode::Graceful { timeout_s: 30 },
        image: ImageRef {
            id: ImageId(1),
            sha256: "ab".repeat(32),
            size_bytes: 3,
            format: ArchiveFormat::Tar,
            cloud_init: false,
            stop_signal: None,
            default_user: None,
        },
        limits: Limits {
            cpu_milli: 1000,
            memory_bytes: 1 << 30,
            disk_bytes: 10 << 30,
            pids: 4096,
            ..Limits::default()
        },
        net: NetSpec {
            ipv4: Some([10, 0, 0, 2].into()),
            ipv6: None,
            floating: Vec::new(),
            floating6: Vec::new(),
            mac: "02:00:00:00:00:02".into(),
            firewall: None,
            private_firewall: None,
            guard: Guard::default(),
            private: Vec::new(),
            announce_epoch: 0,
            ports: None,
        },
        access: Access { password_epoch: 1, ..Access::default() },
        user_data: None,
        frozen: false,
        restart: RestartPolicy::OnFailure,
        autostart_order: 0,
    }
}

/// A tombstone.
pub(crate) fn deleted(id: i64, generation: i64) -> Desired {
    Desired::Deleted { id: VpsId(id), generation }
}
