//! Marked points at which a test can stop this process and kill it.
//!
//! Without the cargo feature `failpoints` both functions are empty and the compiler removes them. With it, a point is
//! armed from outside: `BERTH_FAILPOINT=<name>` and `BERTH_FAILPOINT_DIR=<directory>`. A process that reaches the armed
//! point makes the file `<directory>/<name>` and stays there for ever, so that `kill -9` hits exactly this place. The
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

#[cfg(feature = "failpoints")]
mod armed {
    use std::path::Path;

    /// Whether `name` is armed; if so its file stands when this returns.
    pub(super) fn mark(name: &str) -> bool {
        let is = |wanted: std::ffi::OsString| wanted == name;
        if !std::env::var_os("BERTH_FAILPOINT").is_some_and(is) {
            return false;
        }
        let Some(dir) = std::env::var_os("BERTH_FAILPOINT_DIR") else {
            return false;
        };
        std::fs::write(Path::new(&dir).join(name), std::process::id().to_string())
            .expect("the test that armed a failpoint made its directory");
        true
    }
}
