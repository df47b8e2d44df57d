//! Whom Postgres runs as: it refuses root, so root's server runs it as the package's `postgres` user.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::{User, geteuid};

/// The account that the cluster belongs to.
pub(super) enum Account {
    /// We are not root: ourselves.
    Own,
    /// We are root: an unprivileged user.
    Other(User),
}

impl Account {
    pub(super) fn choose() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::Own);
        }
        let user = User::from_name("postgres").context("looking up the user postgres")?;
        let user =
            user.context("there is no user postgres; install the package: apt-get install postgresql")?;
        Ok(Self::Other(user))
    }

    /// Makes a directory belong to this account.
    pub(super) fn give(&self, path: &Path) -> Result<()> {
        if let Self::Other(user) = self {
            super::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .with_context(|| format!("giving {} to {}", path.display(), user.name))?;
        }
        Ok(())
    }

    /// Makes a command run as this account.
    pub(super) fn run<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match self {
            Self::Own => command,
            Self::Other(user) => command.uid(user.uid.as_raw()).gid(user.gid.as_raw()),
        }
    }

    /// Checks that this account may pass every directory above `path`, for instance not below `/root`.
    pub(super) fn can_enter(&self, path: &Path) -> Result<()> {
        let Self::Other(user) = self else { return Ok(()) };
        for dir in path.ancestors().skip(1).filter(|d| d.is_dir()) {
            let status = self.run(Command::new("/usr/bin/test").arg("-x").arg(dir)).current_dir("/").status();
            if !status.context("running test(1)")?.success() {
                bail!(
                    "the user {} that runs the embedded Postgres may not enter {}; choose a data directory elsewhere \
                     (--data-dir), for instance below /var/lib",
                    user.name,
                    dir.display()
                );
            }
        }
        Ok(())
    }
}
