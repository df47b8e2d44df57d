//! The child's half of a start: from a fresh process in new namespaces to PID 1 of the guest.
//!
//! It is born with the host's mounts (a copy) and the host's root as its user, though without any power over the host.
//! First it takes what it needs of the host (device nodes, lxcfs files) as detached mounts, then it becomes the guest's
//! root user, builds its root, pivots, and lets go of the host's tree. From there no path can lead to the host any more,
//! and everything else is done inside: the image may be hostile.

mod accounts;
pub(super) mod confine;
mod console;
mod devices;
mod files;
mod init;
mod inittab;
mod kernel_fs;
mod netconf;
pub(crate) mod program;
mod root;
pub(crate) mod seccomp;
pub(crate) mod shadow;
mod sysctl;
mod taken;
pub(crate) mod transfer;
mod user_data;
mod users;

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_dumpable, set_pdeathsig};
use nix::sys::signal::Signal as UnixSignal;
use nix::unistd::{Gid, Uid, execve, setgroups, sethostname, setresgid, setresuid, setsid};

use self::kernel_fs::KernelFs;
use self::taken::Taken;
use super::barrier::{Barrier, Signal};
use super::failure::{Failure, Step};
use super::sys::{InterfaceConfig, close_all_on_exec, configure_interface, exit_now};
use super::tree::Tree;
use super::wire::Start;
use crate::failpoint;

/// Where images keep their init, most usual first.
const INITS: [&CStr; 6] = [
    c"/sbin/init",
    c"/usr/sbin/init",
    c"/lib/systemd/systemd",
    c"/usr/lib/systemd/systemd",
    c"/etc/init",
    c"/bin/init",
];

/// Becomes the guest's PID 1, or tells why not and ends.
pub(crate) fn run(start: &Start, parent: &Barrier) -> ! {
    let failure = match catch_unwind(AssertUnwindSafe(|| become_init(start, parent))) {
        Ok(Err(failure)) => failure,
        Ok(Ok(never)) => match never {},
        Err(_) => Failure::refused("starting", "the monitor has a bug; see its log"),
    };
    let signal = if failure.terminal { Signal::FailedForGood } else { Signal::Failed };
    let mut text = failure.to_string();
    text.truncate(text.floor_char_boundary(1500));
    // A parent that does not hear it sees the child's end.
    let _ = parent.send(signal, &text, &[]);
    exit_now(1)
}

fn become_init(start: &Start, parent: &Barrier) -> Result<std::convert::Infallible, Failure> {
    die_with_parent()?;
    failpoint::carry_along();
    let taken = Taken::from_host(start)?;
    parent.expect(Signal::Mapped).step("waiting for the id maps")?;
    become_root()?;
    setsid().step("making a session")?;
    sethostname(&start.hostname).step("setting the host name")?;
    let kernel = KernelFs::prepare()?;

    let layers = parent.expect(Signal::Layers).step("waiting for the layers")?;
    let root = root::assemble(&taken.stage, layers)?;
    let root::Root { tree, volumes, disk } = root;
    root::enter(tree.as_fd())?;
    drop(taken.stage);
    kernel.attach(&tree)?;
    volumes.attach(&tree)?;
    devices::make(&tree, &taken.devices)?;
    kernel.attach_spare(&tree)?;
    root::memory_file_systems(&tree, start.memory_bytes)?;
    let console = console::make(&tree)?;
    failpoint::hit("monitor.child.root");

    parent.expect(Signal::Go).step("waiting for the network")?;
    // Only now, when this process is in its cgroups, does a new namespace begin at them.
    unshare(CloneFlags::CLONE_NEWCGROUP).step("making the cgroup namespace")?;
    kernel_fs::attach_cgroup(&tree)?;
    let net = start.net.map(|net| InterfaceConfig { address: net.address, gateway: net.gateway });
    configure_interface(net).step("configuring the guest's interface")?;
    sysctl::apply(kernel.proc.as_fd())?;
    let notice = files::write(&tree, disk.as_fd(), start)?.unwrap_or_default();
    taken.lxcfs.attach(&tree);
    kernel_fs::boot_id(&tree)?;
    kernel_fs::mask(&tree)?;
    failpoint::hit("monitor.child.files");

    let (master, slave) = &console;
    if !notice.is_empty() {
        // The first thing on the console; one that cannot be written to has other troubles.
        let _ = nix::unistd::write(slave, format!("berth: {notice}\r\n").as_bytes());
    }
    parent
        .send(Signal::Console, &notice, &[master.as_fd(), slave.as_fd()])
        .step("handing over the console")?;
    root::share(&tree)?;
    drop(tree);
    confine::apply([slave.as_fd(); 3], start.open_files)?;
    execute(start)
}

/// A dead monitor means a dead guest. The kernel forgets this whenever the process's ids change, hence the repeats.
pub(crate) fn die_with_parent() -> Result<(), Failure> {
    set_pdeathsig(UnixSignal::SIGKILL).step("tying the guest's life to the monitor's")
}

pub(crate) fn become_root() -> Result<(), Failure> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[]).step("dropping the host's groups")?;
    setresgid(gid, gid, gid).step("becoming the guest's root group")?;
    setresuid(uid, uid, uid).step("becoming the guest's root")?;
    set_dumpable(false).step("hiding from other processes")?;
    die_with_parent()
}

fn execute(start: &Start) -> Result<std::convert::Infallible, Failure> {
    let uuid = CString::new(format!("container_uuid={}", start.uuid)).fatal("preparing the environment")?;
    let environment = [
        c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        c"HOME=/root",
        c"TERM=linux",
        c"container=berth",
        uuid.as_c_str(),
    ];
    die_with_parent()?;
    close_all_on_exec(3).step("closing what the guest must not have")?;
    for init in INITS {
        match execve(init, &[init], &environment) {
            Ok(never) => match never {},
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(error) => {
                return Err(error).fatal(format!("executing {}", init.to_string_lossy()));
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::NotFound))
        .fatal("executing the image's init: it has none of /sbin/init and its kin")
}

/// A tree is the guest's root only after [`root::enter`]; this is for helpers that join a running guest.
pub(crate) fn set_password_here(hash: Option<&str>) -> io::Result<()> {
    shadow::set_root_password(&Tree::of_this_root()?, hash)
}
