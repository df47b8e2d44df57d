//! Marked points at which a test can stop this process and kill it.
//!
//! Without the cargo feature `failpoints` this is empty and the compiler removes it. With it, a point is armed from
//! outside: `BERTH_FAILPOINT=<name>` and `BERTH_FAILPOINT_DIR=<directory>`. A task that reaches the armed point makes
//! the file `<directory>/<name>` and never goes on, so that `kill -9` hits exactly this place; other tasks go on.
//!
//! Names are `server.<effect>.<where>`, for instance `server.create.before_commit`.

/// A point that may be reached; its task stays here for ever when the point is armed.
pub async fn hit(name: &str) {
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
        if std::env::var_os("BERTH_FAILPOINT").is_none_or(|wanted| wanted != name) {
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
