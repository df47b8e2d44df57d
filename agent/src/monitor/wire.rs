//! What the agent and a monitor say to each other: JSON, one message a line.
//!
//! Two channels. The *start channel* is a socketpair that the monitor finds as its standard input; it carries one start
//! and is then closed. If the agent dies before it said [`ToMonitor::Go`], the monitor reads end-of-file and undoes
//! everything. The *control socket* lives as long as the monitor: one request a connection, one answer, except for
//! [`Request::Wait`], which is answered when the guest has ended.
//!
//! Agent and monitor may be of different releases, since monitors outlive agents: unknown fields are ignored, new ones
//! have defaults.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use berth_proto::{ExecSpec, Exit, FileTask, VpsId};
use chrono::{DateTime, Utc};
use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

/// Everything that the monitor needs to start one guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// Which VPS.
    pub vps: VpsId,
    /// The epoch that this start is for; given back in answers and in the exit record.
    pub boot_epoch: i64,
    /// Host name for the guest.
    pub hostname: String,
    /// Value of `container_uuid`.
    pub uuid: String,
    /// Directory of this VPS for sockets; exists.
    pub run_dir: PathBuf,
    /// Where the exit record goes.
    pub exit_file: PathBuf,
    /// Locked for as long as the monitor lives.
    pub lock_file: PathBuf,
    /// The ext4 image.
    pub image: PathBuf,
    /// The unpacked template.
    pub template: PathBuf,
    /// First of the host uids and gids of this VPS.
    pub id_base: u32,
    /// How many they are.
    #[serde(default = "few_ids")]
    pub id_count: u32,
    /// Memory of the plan in bytes; sizes the guest's memory file systems.
    pub memory_bytes: u64,
    /// Descriptors that one process may open; 0 for the usual.
    #[serde(default)]
    pub open_files: u64,
    /// cgroup v1 directories to join.
    pub cgroups_v1: Vec<PathBuf>,
    /// The cgroup v2 directory that is delegated to the guest.
    pub cgroup_v2: PathBuf,
    /// Address of `eth0`; none for a guest without a network.
    pub net: Option<GuestNet>,
    /// IPv6 of `eth0`, which the agent has configured; for the guest's own configuration files.
    #[serde(default)]
    pub net6: Option<GuestNet6>,
    /// Resolvers for the guest.
    pub resolvers: Vec<IpAddr>,
    /// A running lxcfs.
    pub lxcfs: Option<PathBuf>,
    /// Directory with device nodes that are for everybody, by their names below `/dev`.
    #[serde(default)]
    pub devices: Option<PathBuf>,
    /// Number of the signal that asks its init to stop; none: found out by looking at it.
    #[serde(default)]
    pub stop_signal: Option<i32>,
    /// Written into a guest that has never run; the disk itself knows whether it has.
    pub first_boot: FirstBoot,
}

/// As many ids as every VPS had when the number was not said.
fn few_ids() -> u32 {
    65_536
}

/// The guest's side of its network.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct GuestNet {
    /// Its address, a /32.
    pub address: Ipv4Addr,
    /// The on-link gateway.
    pub gateway: Ipv4Addr,
}

/// The guest's side of its IPv6.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct GuestNet6 {
    /// Its address, with the length of its prefix.
    pub address: Ipv6Net,
    /// The on-link gateway.
    pub gateway: Ipv6Addr,
}

/// What a guest finds when it starts for the first time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstBoot {
    /// OpenSSH public keys for root.
    pub ssh_keys: Vec<String>,
    /// crypt(3) hash of root's password; none locks the password.
    pub root_password_hash: Option<String>,
    /// An ed25519 host key in OpenSSH format and its public half, used when sshd is there and has no key.
    pub host_key: Option<(String, String)>,
    /// NoCloud seed, used when cloud-init is there.
    pub cloud_init: Option<CloudInit>,
    /// User data, for an image without cloud-init.
    #[serde(default)]
    pub user_data: Option<String>,
    /// A user of the image whom the keys are for as well.
    #[serde(default)]
    pub default_user: Option<String>,
}

/// The files of a NoCloud seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloudInit {
    /// `meta-data`.
    pub meta_data: String,
    /// `user-data`.
    pub user_data: String,
}

/// Agent to monitor on the start channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToMonitor {
    /// First message.
    Start(Box<Start>),
    /// The network is there.
    Go,
}

/// Monitor to agent on the start channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromMonitor {
    /// The guest's first process exists in its namespaces, with this pid, and waits.
    Cloned {
        /// Its pid in the agent's pid namespace.
        pid: i32,
    },
    /// PID 1 has been executed.
    Running {
        /// When.
        started_at: DateTime<Utc>,
        /// What people should know about this start.
        #[serde(default)]
        notice: Option<String>,
    },
    /// It could not be started; everything the monitor made is gone.
    Failed {
        /// What failed, and why.
        message: String,
        /// Whether the image or the machine is at fault so that trying again is pointless.
        terminal: bool,
    },
    /// Another monitor holds this VPS.
    Busy,
}

/// Asked on the control socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Who are you?
    Status,
    /// Ask the guest's init to stop.
    Stop,
    /// Kill the guest. Answered when it is dead, as [`Request::Wait`] is.
    Kill {
        /// Whether its disk will be deleted next, so that nothing need be written back.
        #[serde(default)]
        discard: bool,
    },
    /// Set root's password hash; none locks it.
    SetPassword {
        /// crypt(3) hash.
        hash: Option<String>,
    },
    /// Figures of the disk.
    Disk,
    /// Make the file system of the disk as large as its image, which has grown.
    GrowDisk,
    /// The lxcfs that the guest's files in `/proc` are bound from may be dead: take away what is, so that the kernel's
    /// own are seen, and bind this one's over them.
    Lxcfs {
        /// Where it is mounted; none while there is none.
        path: Option<PathBuf>,
    },
    /// Answered when the guest has ended.
    Wait,
    /// The last console output, then whatever comes, as raw bytes until either side closes.
    Console,
    /// The console's window has this size now. Viewers share the console, so the last one who says it wins.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// Run a program in the guest, under this name; attach to it if that has been done. Answered with
    /// [`Answer::Attached`] when it runs; from then on the connection carries frames ([`crate::frames`]).
    Exec {
        /// What it is called ([`berth_proto::is_session`]).
        session: String,
        /// What to run.
        spec: ExecSpec,
    },
    /// See a program that was begun, from these bytes of its output on. Who saw it before is cut off.
    Attach {
        /// Which.
        session: String,
        /// Bytes of standard output that are known.
        stdout: u64,
        /// Bytes of standard error that are known.
        stderr: u64,
    },
    /// Send a signal to a program.
    SignalExec {
        /// Which.
        session: String,
        /// The kernel's number.
        signal: i32,
    },
    /// Change the size of a program's terminal.
    ResizeExec {
        /// Which.
        session: String,
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// Kill a program and what it started.
    KillExec {
        /// Which.
        session: String,
    },
    /// Do something with a file, as a program that nobody can attach to again.
    File {
        /// What.
        task: FileTask,
    },
}

/// Answered on the control socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status {
        /// Epoch that the guest was started for.
        boot_epoch: i64,
        /// When PID 1 was executed.
        started_at: DateTime<Utc>,
        /// PID 1 in the host's pid namespace.
        pid: i32,
    },
    /// To [`Request::Disk`].
    Disk {
        /// Bytes in all.
        total: u64,
        /// Bytes in use.
        used: u64,
        /// Number of the loop device.
        loop_device: u32,
        /// Inodes in all; 0 from a monitor that does not count them.
        #[serde(default)]
        inodes: u64,
    },
    /// To [`Request::Exec`], [`Request::Attach`] and [`Request::File`]: frames follow.
    Attached {
        /// Number of the first byte of standard output that will come.
        stdout: u64,
        /// As `stdout`, of standard error.
        stderr: u64,
    },
    /// There is no such session.
    NoSession,
    /// It was done.
    Done,
    /// It could not be done.
    Failed {
        /// Why.
        message: String,
    },
    /// To [`Request::Wait`] and [`Request::Kill`].
    Ended {
        /// How.
        exit: Exit,
    },
}

/// The file that a monitor leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Epoch that the guest was started for.
    pub boot_epoch: i64,
    /// How it ended.
    pub exit: Exit,
}
