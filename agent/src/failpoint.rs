//! Marked points at which a test can stop this process and kill it.
//!
//! Without the cargo feature `failpoints` both functions are empty and the compiler removes them. With it, a point is
//! armed from outside: `BERTH_FAILPOINT=<name>` and `BERTH_FAILPOINT_DIR=<directory>`. A process that reaches the armed
//! point makes the file `<directory>/<name>` and stays there for ever, so that `kill -9` hits exactly this place; others
//! pass while the file is there, since a monitor keeps its environment when its agent is started without. The
//! variables are read at every hit, not once, so the library's tests can arm different points in child processes that
//! inherit them.
//!
//! Names are `<who>.<effect>.<where>`, for instance `reconcile.create_disk.before` or `linux.start.after_veth`.

use crate::plan::Effect;

/// The points right before and right after an effect of the reconciler: the record says that it has begun; and it has
/// ended but the record does not say so yet.
#[must_use]
pub fn around(effect: Effect) -> (&'static str, &'static str) {
    match effect {
        Effect::CreateDisk => ("reconcile.create_disk.before", "reconcile.create_disk.after"),
        Effect::Start => ("reconcile.start.before", "reconcile.start.after"),
        Effect::Stop => ("reconcile.stop.before", "reconcile.stop.after"),
        Effect::Clear => ("reconcile.clear.before", "reconcile.clear.after"),
        Effect::Delete => ("reconcile.delete.before", "reconcile.delete.after"),
        Effect::Password => ("reconcile.password.before", "reconcile.password.after"),
        Effect::Apply => ("reconcile.apply.before", "reconcile.apply.after"),
        Effect::Freeze => ("reconcile.freeze.before", "reconcile.freeze.after"),
    }
}

/// A point that may be reached on any thread; blocks it when armed.
pub fn hit(name: &str) {
    #[cfg(feature = "failpoints")]
    if armed::mark(name) {
        loop {
            std::thread::park();
        }
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// A point in asynchronous code; when armed, its task never goes on, while others do until the process is killed.
pub async fn hit_async(name: &str) {
    #[cfg(feature = "failpoints")]
    if armed::mark(name) {
        std::future::pending::<()>().await;
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// For a process that is about to lose sight of the host's file system: keeps the way to the directory of marks, and
/// this process's id as the host knows it.
pub(crate) fn carry_along() {
    #[cfg(feature = "failpoints")]
    armed::carry_along();
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::OwnedFd;
    use std::sync::OnceLock;

    use nix::fcntl::{OFlag, open, openat};
    use nix::sys::stat::Mode;

    /// Where marks are made, and the process that they name.
    struct Place {
        dir: OwnedFd,
        pid: String,
    }

    static CARRIED: OnceLock<Place> = OnceLock::new();

    impl Place {
        /// None when no test armed anything.
        fn find() -> Option<Self> {
            let dir = std::env::var_os("BERTH_FAILPOINT_DIR")?;
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let dir = open(&*dir, flags, Mode::empty())
                .expect("the test that armed a failpoint made its directory");
            // Not the id that this process has in its own pid namespace: the mount of /proc is the host's.
            let own = std::fs::read_link("/proc/self").expect("/proc is mounted");
            Some(Self { dir, pid: own.display().to_string() })
        }

        /// Whether this process is the first one here.
        fn mark(&self, name: &str) -> bool {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let file = match openat(&self.dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
                Err(nix::errno::Errno::EEXIST) => return false,
                file => file.expect("a guest's root may make files in the directory too"),
            };
            File::from(file).write_all(self.pid.as_bytes()).expect("a mark fits");
            true
        }
    }

    pub(super) fn carry_along() {
        if let Some(place) = Place::find() {
            let _ = CARRIED.set(place);
        }
    }

    /// Whether `name` is armed and nobody has been there yet; if so its file stands when this returns.
    pub(super) fn mark(name: &str) -> bool {
        if std::env::var_os("BERTH_FAILPOINT").is_none_or(|wanted| wanted != name) {
            return false;
        }
        match CARRIED.get() {
            Some(carried) => carried.mark(name),
            None => Place::find().is_some_and(|place| place.mark(name)),
        }
    }
}
