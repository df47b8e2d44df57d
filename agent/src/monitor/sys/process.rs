//! Processes: cloning, signalling, confining, leaving.
#![expect(unsafe_code, reason = "system calls without a wrapper in std or nix")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::unistd::{Uid, setfsuid, setresuid};

/// For ids that are to stay as they are.
const UNCHANGED: Uid = Uid::from_raw(u32::MAX);

/// libc's constant of this name is too narrow for its value.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// How a process is cloned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clone3<'a> {
    /// Namespaces to make anew (`CLONE_NEW…`).
    pub(crate) namespaces: u64,
    /// Whether it is a child of this process's parent instead of its own.
    pub(crate) sibling: bool,
    /// The cgroup (v2) to be born in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// The user that is to own the new user namespace; none for this process's.
    ///
    /// What the kernel counts by user (inotify instances and watches, namespaces of each kind, queued signals, message
    /// queues, locked memory), it counts in every user namespace up to the first, in each for the owner of the one
    /// below. If the host's root owned all guests' namespaces, all of them and the host's own daemons would share one
    /// allowance, and one guest could use it up.
    pub(crate) owner: Option<u32>,
}

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The old process.
    Parent {
        /// The new process's id in this pid namespace.
        pid: i32,
        /// A descriptor that refers to exactly this process, also after its id was given to another.
        pidfd: OwnedFd,
    },
}

/// Clones this process into new namespaces.
///
/// The caller must have one thread only: the child gets a copy of this thread alone, and goes on with locks and
/// allocator as they are.
pub(crate) fn clone3(how: Clone3<'_>) -> io::Result<Forked> {
    debug_assert_eq!(threads(), 1, "only a process with one thread may clone itself");
    let mut pidfd: libc::c_int = -1;
    let into = how.cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
    // SAFETY: all fields are integers, zero means absent in all of them.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let sibling = if how.sibling { libc::CLONE_PARENT as u64 } else { 0 };
    args.flags = how.namespaces | libc::CLONE_PIDFD as u64 | into | sibling;
    args.pidfd = &raw mut pidfd as u64;
    // A sibling has this process's own, and none may be given.
    args.exit_signal = if how.sibling { 0 } else { libc::SIGCHLD as u64 };
    args.cgroup = how.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64);
    let secure_bits = how.owner.map(stand_in_for).transpose()?;
    // SAFETY: without CLONE_VM the child has its own copy of this thread's memory and stack, as after fork; `args` and
    // `pidfd` live during the call; there is no other thread whose locks could be held in the copy.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    let error = io::Error::last_os_error();
    match (pid, secure_bits) {
        // In its namespace this process has all capabilities, the usual secure bits, and no name for its ids yet.
        (0, _) | (_, None) => {}
        (_, Some(bits)) => stand_for_root(bits)?,
    }
    match pid {
        0 => Ok(Forked::Child),
        pid if pid > 0 => {
            // SAFETY: the kernel has just put a new descriptor there, and nobody else knows it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: i32::try_from(pid).expect("process ids are small"), pidfd })
        }
        _ => Err(error),
    }
}

/// Makes another user this process's effective one, which owns what is made now, and keeps root's capabilities and
/// rights on files. Returns what [`stand_for_root`] needs.
fn stand_in_for(user: u32) -> io::Result<libc::c_ulong> {
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: takes integers only.
    let bits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS, 0, 0, 0, 0) };
    let bits = libc::c_ulong::try_from(bits).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits | NO_SETUID_FIXUP, 0, 0, 0) }.into())?;
    if let Err(error) = setresuid(UNCHANGED, Uid::from_raw(user), UNCHANGED) {
        stand_for_root(bits)?;
        return Err(error.into());
    }
    setfsuid(Uid::from_raw(0));
    Ok(bits)
}

/// Takes [`stand_in_for`] back.
fn stand_for_root(bits: libc::c_ulong) -> io::Result<()> {
    setresuid(UNCHANGED, Uid::from_raw(0), UNCHANGED)?;
    // SAFETY: takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits, 0, 0, 0) }.into())
}

/// Forks a helper that stays in this process's namespaces.
pub(crate) fn fork() -> io::Result<Forked> {
    clone3(Clone3 { namespaces: 0, sibling: false, cgroup: None, owner: None })
}

/// Forks a process that is this process's sibling, in the pid namespace that was joined.
pub(crate) fn fork_sibling() -> io::Result<Forked> {
    clone3(Clone3 { namespaces: 0, sibling: true, cgroup: None, owner: None })
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Leaves at once, without running anything that the parent's copy of the memory had registered.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process; nothing runs afterwards.
    unsafe { libc::_exit(code) }
}

/// A descriptor that refers to the process that has this id now.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0_u32) };
    check(fd.min(0))?;
    let fd = i32::try_from(fd).expect("descriptors are small");
    // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to the process that a pidfd refers to.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: takes integers and a null siginfo, which means the default.
    let done = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0_u32,
        )
    };
    check(done)
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: called before any descriptor at or above `first` has an owner in this process.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0_u32) })
}

/// Closes every descriptor above standard error but those in `keep`.
///
/// Only for a process that was just forked and never returns: those who own the descriptors live in its copy of the
/// memory, and must not be dropped there.
pub(crate) fn close_all_but(keep: &[i32]) -> io::Result<()> {
    let mut keep: Vec<u32> =
        keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep {
        if fd > first {
            // SAFETY: the owners of what is closed are never dropped in this process, as the caller promises.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0_u32) })?;
        }
        first = first.max(fd + 1);
    }
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0_u32) })
}

/// Marks every descriptor from `first` on to be closed by exec.
pub(crate) fn close_all_on_exec(first: u32) -> io::Result<()> {
    // SAFETY: closes nothing now, so no owner loses its descriptor.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
}

/// Removes a capability from what this process and its children can ever get.
pub(crate) fn drop_bounding_capability(capability: u32) -> io::Result<()> {
    // SAFETY: takes integers only.
    let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
    check(done.into())
}

/// Starts a session keyring of its own, so that keys of whoever started the agent are not found.
pub(crate) fn new_session_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    let serial =
        unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    if serial < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives every signal its default action and blocks none. Rust programs start with SIGPIPE ignored, and an ignored
/// signal stays ignored over exec.
pub(crate) fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: installs no handler of ours; for SIGKILL, SIGSTOP and the C library's own signals it fails, which
        // is as it should be.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let none = nix::sys::signal::SigSet::empty();
    none.thread_set_mask().expect("an empty mask is always accepted");
}

/// Whether a signal that is blocked has been sent to this process.
pub(crate) fn is_pending(signal: nix::sys::signal::Signal) -> io::Result<bool> {
    // SAFETY: a set of signals is plain data, and the call fills it.
    let mut pending: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives during the call.
    check(unsafe { libc::sigpending(&raw mut pending) }.into())?;
    // SAFETY: the set was filled.
    Ok(unsafe { libc::sigismember(&raw const pending, signal as libc::c_int) } == 1)
}

/// Sets how much of a contended CPU this process gets: below zero is more.
pub(crate) fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes integers; 0 means this process.
    let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    check(done.into())
}

/// Has this process killed by SIGALRM after so many seconds.
pub(crate) fn alarm(seconds: u32) {
    // SAFETY: takes an integer; the signal's action is the default.
    unsafe { libc::alarm(seconds) };
}

/// One instruction of a seccomp program (classic BPF).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct SeccompInsn {
    /// Operation.
    pub(crate) code: u16,
    /// Instructions to skip when a comparison holds.
    pub(crate) jt: u8,
    /// Instructions to skip when it does not.
    pub(crate) jf: u8,
    /// Operand.
    pub(crate) k: u32,
}

/// Puts a filter on this process and all its children. Needs `CAP_SYS_ADMIN` in the own user namespace, because
/// `no_new_privs` stays off: with it, sudo and su would not work in the guest.
pub(crate) fn install_seccomp(program: &[SeccompInsn]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const SeccompInsn,
    }
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = Program { len, filter: program.as_ptr() };
    // SAFETY: `SeccompInsn` and `Program` have the layout of sock_filter and sock_fprog; both live during the call,
    // and the kernel copies them.
    let done =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0_u32, &raw const program) };
    check(done)
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
