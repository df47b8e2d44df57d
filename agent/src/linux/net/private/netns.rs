//! Network namespaces other than the agent's own: those of guests, and the routers of private networks.
//!
//! A thread that enters one ends there, so none ever comes back to the agent's work in the wrong place. A netlink socket
//! stays in the namespace in which it was opened, and keeps it alive; so sockets live for one change only.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{FsType, fstatfs};
use rtnetlink::Handle;

use super::super::{NetError, Result};

/// Magic number of the file system that namespaces are files of.
const NSFS: i64 = 0x6e73_6673;

/// A network namespace, held by a handle: it stays what it was opened as, whoever gets the number of its process later.
#[derive(Debug)]
pub struct Netns(File);

impl Netns {
    /// That of a process.
    ///
    /// # Errors
    /// When there is no such process, or it is dead.
    pub fn of_process(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/ns/net");
        File::open(&path).map(Self).map_err(|e| failed(&format!("opening {path}"), e))
    }

    /// The one that is kept at this path; none if there is none, or only a file is left of it.
    pub(super) fn kept_at(path: &Path) -> Option<Self> {
        Self::look(path).ok().flatten()
    }

    fn look(path: &Path) -> Result<Option<Self>> {
        let unusable = |e| failed(&format!("opening {}", path.display()), e);
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(unusable)?,
        };
        let FsType(kind) = fstatfs(&file).map_err(|e| unusable(e.into()))?.filesystem_type();
        Ok((kind == libc::__fsword_t::from(NSFS)).then_some(Self(file)))
    }

    /// Runs something short inside each that is kept at these paths, on one thread. Where none is kept nothing is run;
    /// where it cannot be found out, all has failed.
    pub(super) async fn in_each<T: Send + 'static>(
        paths: Vec<PathBuf>,
        f: impl Fn() -> T + Send + 'static,
    ) -> Result<Vec<T>> {
        let visit = move || {
            let mut all = Vec::with_capacity(paths.len());
            for path in paths {
                let Some(Self(ns)) = Self::look(&path)? else { continue };
                setns(ns, CloneFlags::CLONE_NEWNET)
                    .map_err(|e| failed("entering a network namespace", e.into()))?;
                all.push(f());
            }
            Ok(all)
        };
        on_a_thread(visit).await?
    }

    /// Makes one, prepares it from inside, and then keeps it at this path. What fails leaves nothing.
    pub(super) async fn make(
        path: &Path,
        prepare: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let kept = path.to_owned();
        let make = move || {
            File::create(&kept).map_err(|e| failed("making a network namespace", e))?;
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| failed("making a network namespace", e.into()))?;
            prepare()?;
            let none = None::<&str>;
            mount(Some("/proc/thread-self/ns/net"), &kept, none, MsFlags::MS_BIND, none)
                .map_err(|e| failed(&format!("keeping a network namespace at {}", kept.display()), e.into()))
        };
        on_a_thread(make).await??;
        Self::kept_at(path)
            .ok_or_else(|| failed("finding a network namespace again", io::ErrorKind::NotFound.into()))
    }

    /// Lets go of the one that is kept at this path, if there is one.
    pub(super) fn release(path: &Path) -> Result<()> {
        if Self::kept_at(path).is_some() {
            umount2(path, MntFlags::MNT_DETACH)
                .map_err(|e| failed(&format!("unmounting {}", path.display()), e.into()))?;
        }
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(failed(&format!("removing {}", path.display()), e))
            }
            _ => Ok(()),
        }
    }

    /// Runs something that takes its time on a thread inside.
    pub(super) async fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let ns = self.0.try_clone().map_err(|e| failed("entering a network namespace", e))?;
        let inside = move || {
            setns(ns, CloneFlags::CLONE_NEWNET)
                .map_err(|e| failed("entering a network namespace", e.into()))?;
            Ok(f())
        };
        on_a_thread(inside).await?
    }

    /// A netlink socket inside, for as long as the handle lives.
    pub(super) async fn netlink(&self) -> Result<Handle> {
        let runtime = tokio::runtime::Handle::current();
        let open = move || {
            let _runtime = runtime.enter();
            rtnetlink::new_connection()
        };
        let (connection, handle, _) = self.run(open).await?.map_err(|e| failed("opening netlink", e))?;
        tokio::spawn(connection);
        Ok(handle)
    }

    /// To name it in a netlink request.
    pub(super) fn fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.0)
    }
}

/// Runs `f` on a thread of its own, without holding up the runtime.
async fn on_a_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let wait = move || std::thread::spawn(f).join();
    match tokio::task::spawn_blocking(wait).await {
        Ok(Ok(value)) => Ok(value),
        _ => Err(failed("working in a network namespace", io::Error::other("the thread failed"))),
    }
}

fn failed(what: &str, source: io::Error) -> NetError {
    NetError::Io { what: what.to_owned(), source }
}
