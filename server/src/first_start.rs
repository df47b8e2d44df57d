//! The first start of an installation: what has to be there before anybody can use it.
//!
//! Runs under a lock, so replicas that start together do it once; and every step looks first, so a start that was
//! killed half way is finished by the next one. After that a setting says that it is done, and what an operator deletes
//! stays deleted. The operator's password is made here, shown once, and kept only as a hash.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use berth_proto::Limits;
use ipnet::Ipv4Net;
use serde::Serialize;
use sqlx::Connection as _;

use crate::app::App;
use crate::auth::secret::Secret;
use crate::db;
use crate::db::locations::NewLocation;
use crate::db::plans::NewPlan;
use crate::domain::names::{Email, Password, Slug, Title};
use crate::domain::price::Price;
use crate::domain::roles::Role;

/// Key of the advisory lock.
const LOCK: i64 = 0x6265_7274_6802;

/// Who may sign in after the first start.
#[derive(Clone, Serialize)]
pub struct FirstStart {
    /// The operator's address.
    pub email: String,
    /// The operator's password; kept nowhere.
    pub password: String,
}

impl std::fmt::Debug for FirstStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirstStart").field("email", &self.email).finish_non_exhaustive()
    }
}

/// Does what is left to do; gives the operator's password if this was the first start.
///
/// # Errors
/// When the database fails, or the file for the password cannot be written.
pub(crate) async fn first_start(app: &App) -> anyhow::Result<Option<FirstStart>> {
    let mut lock = app.db.acquire().await?.detach();
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(&mut lock).await?;
    let made = if db::settings::get::<bool>(&app.db, db::settings::FIRST_START).await? == Some(true) {
        None
    } else {
        let made = inventory(app).await?;
        db::settings::set(&app.db, db::settings::FIRST_START, true).await?;
        Some(made)
    };
    lock.close().await?; // gives up the lock
    Ok(made)
}

async fn inventory(app: &App) -> anyhow::Result<FirstStart> {
    let db = &app.db;
    let location = match db::locations::list(db).await?.into_iter().next() {
        Some(location) => location,
        None => {
            let new = NewLocation { description: "This installation".into(), ..NewLocation::default() };
            db::locations::create(db, &Slug::parse("name", "local")?, &new).await?
        }
    };
    if db::locations::datacenters(db).await?.is_empty() {
        let name = Slug::parse("name", "local-dc1")?;
        db::locations::create_datacenter(db, location.id, &name, "This installation").await?;
    }
    if db::pools::list(db).await?.is_empty() {
        let new = db::pools::NewPool {
            name: Slug::parse("name", "nat")?,
            location: location.id,
            cidr: app.config.nat_pool.into(),
            kind: Some(db::pools::Kind::Nat),
            quarantine_s: db::pools::QUARANTINE_S,
            ports: None,
        };
        db::pools::create(app, &new).await?;
    }
    if db::plans::list(db).await?.is_empty() {
        for plan in default_plans()? {
            db::plans::create(db, &plan).await?;
        }
    }
    let project = match db::projects::list(db).await?.into_iter().next() {
        Some(project) => project,
        None => db::projects::create(db, &Title::parse("name", "default")?).await?,
    };
    let email = Email::parse(&app.config.operator_email)?;
    let shown = Secret::token().expose().chars().take(20).collect::<String>();
    let password = Password::parse(&shown)?;
    let made = FirstStart { email: email.as_str().to_owned(), password: shown };
    if let Some(file) = &app.config.first_start_file {
        write_secret(file, &serde_json::to_vec(&made)?)
            .with_context(|| format!("cannot write the operator's password to {}", file.display()))?;
    }
    let user = match db::users::find(db, email.as_str()).await? {
        Some(user) => {
            db::users::set_password(db, &app.passwords, user.id, &password).await?;
            user
        }
        None => db::users::create(db, &app.passwords, &email, "Operator", &password, true).await?,
    };
    db::projects::add_member(db, project.id, user.id, Role::Owner).await?;
    Ok(made)
}

fn default_plans() -> crate::error::Result<Vec<NewPlan>> {
    let figures = [
        ("b1", 1, 1, 10, "0.0050", "3.00"),
        ("b2", 2, 2, 20, "0.0090", "5.50"),
        ("b4", 4, 4, 40, "0.0170", "10.50"),
        ("b8", 8, 8, 80, "0.0330", "20.50"),
    ];
    let plan = |(name, cores, memory, disk, hourly, monthly): (&str, i64, i64, i64, &str, &str)| {
        Ok(NewPlan {
            name: Slug::parse("name", name)?,
            description: format!("{cores} cores, {memory} GiB memory, {disk} GiB disk"),
            limits: Limits {
                cpu_milli: cores * 1000,
                memory_bytes: memory << 30,
                disk_bytes: disk << 30,
                pids: 4096,
                ..Limits::default()
            },
            included_traffic: 20 << 40,
            price_hourly: Price::parse("price_hourly", hourly)?,
            price_monthly: Price::parse("price_monthly", monthly)?,
        })
    };
    figures.into_iter().map(plan).collect()
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_secret(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new); // left by a start that was killed
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// The pool of a fresh installation: private addresses that hardly anybody uses.
pub const DEFAULT_NAT_POOL: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 214, 0, 0), 20);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_default_plans_are_valid_and_rise() {
        let plans = default_plans().unwrap();
        assert!(
            plans
                .windows(2)
                .map(|p| (p[0].limits, p[1].limits))
                .all(|(a, b)| a.memory_bytes < b.memory_bytes && a.cpu_milli < b.cpu_milli)
        );
    }

    #[test]
    fn a_secret_is_readable_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("first-start.json");
        for content in ["one", "two"] {
            write_secret(&path, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
