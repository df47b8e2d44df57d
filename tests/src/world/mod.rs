//! A small world: real servers on a real Postgres, simulated hosts with real agents, a tenant and an operator.
//!
//! Everything between the parts is real: HTTP, mutual TLS, SQL. All three kinds of connection go through proxies that a
//! test can break. [`World::finish`] ends a test: it waits until nothing is on its way any more, compares the inventory
//! with itself and with what the hosts hold, and stops everything; a test that forgets it fails.

mod builder;
mod host;
mod replica;
mod tenant;

use std::ops::Deref;

use berth_agent::host::Found;
use berth_agent::plan::Effect;
use berth_proto::{Exit, HostNetworks, VpsFault, VpsId};
use berth_server::app::App;
use berth_server::config::Config;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

pub use self::builder::Builder;
use self::host::WorldHost;
use self::replica::Replica;
pub use self::tenant::{Tenant, public_key};
use crate::check;
use crate::client::{Api, DEADLINE};
use crate::control::Control;
use crate::db::TestDb;
use crate::proxy::{Proxy, Upstream};
use crate::wait::until;

/// The whole. Derefs to its tenant.
pub struct World {
    /// The operator.
    pub control: Control,
    /// The operator's client.
    pub admin: Api,
    /// The tenant's client with a token that may only read.
    pub readonly: Api,
    /// Name of the only location.
    pub location: String,
    tenant: Tenant,
    other: Tenant,
    pool_cidr: ipnet::Ipv4Net,
    db: TestDb,
    pool: PgPool,
    database_link: Proxy,
    replicas: Vec<Replica>,
    hosts: Vec<WorldHost>,
    dir: tempfile::TempDir,
    finished: bool,
}

impl Deref for World {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl World {
    /// One server, one host with room for eight VPSes.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// For another world than that.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Ends the test: everything must have come to rest and be right.
    ///
    /// # Panics
    /// When it is not.
    pub async fn finish(self) {
        self.settled().await;
        self.hosts_are_as_wanted().await;
        self.finish_with_orphans().await;
    }

    /// As [`Self::finish`], for tests after which hosts hold what the inventory does not know.
    ///
    /// # Panics
    /// When anything else is wrong.
    pub async fn finish_with_orphans(mut self) {
        self.settled().await;
        for host in &mut self.hosts {
            host.stop_agent().await;
        }
        for replica in &mut self.replicas {
            replica.stop().await;
        }
        self.pool.close().await;
        self.finished = true;
    }

    /// Somebody else's project on the same Berth.
    #[must_use]
    pub fn in_other_project(&self) -> &Tenant {
        &self.other
    }

    /// Whether this is one of the addresses that VPSes get here.
    #[must_use]
    pub fn address_is_in_pool(&self, address: &str) -> bool {
        address.parse().is_ok_and(|address: std::net::Ipv4Addr| self.pool_cidr.contains(&address))
    }

    // The inventory.

    /// Checks what must be true at any time.
    pub async fn consistent(&self) {
        check::consistent(&self.pool).await;
    }

    /// Waits until nothing is on its way any more.
    pub async fn settled(&self) {
        check::settled(&self.pool).await;
    }

    /// Waits until exactly this many VPSes exist, in the inventory and on the hosts.
    pub async fn holds(&self, vpses: i64) {
        check::holds(&self.pool, vpses).await;
        self.consistent().await;
        let mut held = 0;
        for host in &self.hosts {
            held += host.held().await.len();
        }
        assert_eq!(i64::try_from(held), Ok(vpses), "on the hosts");
    }

    /// Waits until nothing exists.
    pub async fn holds_nothing(&self) {
        self.holds(0).await;
    }

    /// The inventory itself.
    #[must_use]
    pub fn inventory(&self) -> &PgPool {
        &self.pool
    }

    /// Runs a statement.
    ///
    /// # Panics
    /// When it fails.
    pub async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// One number.
    ///
    /// # Panics
    /// When it fails.
    pub async fn scalar(&self, sql: &str) -> i64 {
        let found = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await;
        found.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// Every row of every table as text, to look for what must not be in it.
    ///
    /// # Panics
    /// When it fails.
    pub async fn dump(&self) -> String {
        let tables: Vec<String> = sqlx::query_scalar(
            "select table_name::text from information_schema.tables where table_schema = 'public'",
        )
        .fetch_all(&self.pool)
        .await
        .expect("the catalogue can be read");
        let mut text = String::new();
        for table in tables {
            let sql = format!("select coalesce(string_agg(t::text, ' '), '') from {table} t");
            let rows: String = sqlx::query_scalar(AssertSqlSafe(sql.as_str()))
                .fetch_one(&self.pool)
                .await
                .unwrap_or_else(|e| panic!("{sql}: {e}"));
            text.push_str(&rows);
        }
        text
    }

    // Hosts.

    /// The way from a host's agent to the server.
    #[must_use]
    pub fn link(&self, host: usize) -> &Proxy {
        &self.hosts[host].link
    }

    /// Kills an agent, wherever it stands, and starts another on the same host.
    pub async fn restart_agent(&mut self, host: usize) {
        self.hosts[host].restart_agent().await;
    }

    /// Keeps new VPSes away from a host, or lets them come again.
    pub async fn cordon(&self, host: usize, cordoned: bool) {
        self.cordon_id(self.hosts[host].id, cordoned).await;
    }

    /// As [`Self::cordon`], by id.
    pub async fn cordon_id(&self, host: i64, cordoned: bool) {
        self.control.cordon(host, cordoned).await;
    }

    /// From now on disks cannot be made on this host, for good reason.
    pub async fn fail_creates(&self, host: usize, code: &str, message: &str) {
        self.hosts[host].sim.fail(None, Effect::CreateDisk, VpsFault::terminal(code, message));
    }

    /// The private networks that a host knows.
    #[must_use]
    pub fn networks_on(&self, host: usize) -> HostNetworks {
        self.hosts[host].sim.networks()
    }

    /// What is there of a VPS, on whichever host.
    #[must_use]
    pub fn look(&self, id: i64) -> Found {
        let all = self.hosts.iter().map(|host| host.sim.look(VpsId(id)));
        all.max_by_key(|found| (found.guest.is_some(), found.disk)).unwrap_or_default()
    }

    /// The disk of a server is gone, and its guest with it.
    ///
    /// # Panics
    /// When no host has it.
    pub fn lose_disk(&self, id: i64) {
        let mut hosts = self.hosts.iter();
        let host = hosts.find(|host| host.sim.look(VpsId(id)).disk).expect("a host has its disk");
        host.sim.put(VpsId(id), Found::default());
    }

    /// When the guest that runs was started.
    ///
    /// # Panics
    /// When none runs.
    #[must_use]
    pub async fn started_at(&self, id: i64) -> DateTime<Utc> {
        until(&format!("guest {id} to run"), DEADLINE, async || {
            self.look(id).guest.map(|guest| guest.started_at).ok_or_else(|| "it does not".to_owned())
        })
        .await
    }

    /// The next such effect fails on this host.
    pub fn fail_next(&self, host: usize, effect: Effect, fault: VpsFault) {
        self.hosts[host].sim.fail(None, effect, fault);
    }

    /// The guest ends by itself.
    pub fn end_guest(&self, id: i64, exit: Exit) {
        self.hosts.iter().for_each(|host| host.sim.end_guest(VpsId(id), exit));
    }

    /// The settings that a host's agent has applied.
    #[must_use]
    pub fn host_settings(&self, host: usize) -> Option<berth_proto::HostSettings> {
        self.hosts[host].sim.settings()
    }

    /// So many bytes come into a VPS and go out of it.
    pub fn pass(&self, id: i64, in_bytes: i64, out_bytes: i64) {
        let there = self.hosts.iter().filter(|host| host.sim.look(VpsId(id)).disk);
        there.for_each(|host| host.sim.pass(VpsId(id), in_bytes, out_bytes));
    }

    /// The same by its private networks.
    pub fn pass_privately(&self, id: i64, in_bytes: i64, out_bytes: i64) {
        let there = self.hosts.iter().filter(|host| host.sim.look(VpsId(id)).disk);
        there.for_each(|host| host.sim.pass_privately(VpsId(id), in_bytes, out_bytes));
    }

    /// `poweroff` by root of the guest.
    pub async fn halt_from_inside(&self, id: i64) {
        let _running = self.started_at(id).await;
        self.end_guest(id, Exit::Halt);
    }

    /// Whether a guest runs on this host.
    #[must_use]
    pub fn guest_runs(&self, host: usize, id: i64) -> bool {
        self.hosts[host].sim.look(VpsId(id)).guest.is_some()
    }

    /// Guests that run on all hosts.
    #[must_use]
    pub fn running_guests(&self) -> usize {
        self.hosts.iter().map(WorldHost::running_guests).sum()
    }

    /// A create has ended in exactly one running VPS.
    ///
    /// # Panics
    /// When it has not.
    pub async fn one_running_vps(&self, created: &Value) {
        let id = self.running(created).await;
        assert_eq!(self.running_guests(), 1, "exactly one");
        assert!(self.look(id).guest.is_some(), "and it is this one");
        self.settled().await;
    }

    /// Waits until every host holds what the inventory wants it to hold, and nothing else.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn hosts_are_as_wanted(&self) {
        until("hosts to be as wanted", DEADLINE, async || {
            let wanted: Vec<(i64, i64, String)> =
                sqlx::query_as("select id, host_id, power from vps where deleted_at is null order by id")
                    .fetch_all(&self.pool)
                    .await
                    .map_err(|e| e.to_string())?;
            for host in &self.hosts {
                let mine: Vec<i64> =
                    wanted.iter().filter(|(_, on, _)| *on == host.id).map(|(id, ..)| *id).collect();
                let held = host.held().await;
                if held != mine {
                    return Err(format!("host {} holds {held:?} and should hold {mine:?}", host.id));
                }
            }
            let wrong =
                wanted.iter().find(|(id, _, power)| self.look(*id).guest.is_some() != (power == "running"));
            wrong.map_or(Ok(()), |(id, _, power)| {
                Err(format!("VPS {id} should be {power}: {:?}", self.look(*id)))
            })
        })
        .await;
    }

    /// Waits until a host has told the server of a VPS that the server does not know.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn host_reports_orphan(&self, host: usize, id: i64) {
        until(&format!("VPS {id} to be reported as an orphan"), DEADLINE, async || {
            let host = self.control.look(self.hosts[host].id).await;
            let named = host["orphans"].as_array().is_some_and(|all| all.iter().any(|orphan| *orphan == id));
            if named { Ok(()) } else { Err(host.to_string()) }
        })
        .await;
    }

    // Servers.

    /// The way from the servers to Postgres.
    #[must_use]
    pub fn database_link(&self) -> &Proxy {
        &self.database_link
    }

    /// The shared state of the first server, for what has no face yet.
    #[must_use]
    pub fn app(&self) -> &App {
        self.replicas[0].app()
    }

    /// URL of a server.
    #[must_use]
    pub fn url(&self, replica: usize) -> String {
        self.replicas[replica].url()
    }

    /// Stops a server in an orderly way.
    pub async fn stop_server(&mut self, replica: usize) {
        self.replicas[replica].stop().await;
    }

    /// Starts a server again that was stopped.
    pub async fn start_server(&mut self, replica: usize) {
        self.replicas[replica].start(self.db.url_through(self.database_link.addr)).await;
        if replica == 0 {
            self.lead_agents_to(0);
        }
    }

    /// Stops a server and starts it again; for a client it is the same, at the same URL.
    pub async fn restart_server(&mut self, replica: usize) {
        self.stop_server(replica).await;
        self.start_server(replica).await;
    }

    /// Restarts the first server with other settings.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        self.stop_server(0).await;
        change(self.replicas[0].config_mut());
        self.start_server(0).await;
    }

    /// Agents will find this server at the URL that they know.
    pub fn lead_agents_to(&self, replica: usize) {
        for host in &self.hosts {
            host.link.lead_to(Upstream::Tcp(self.replicas[replica].agents()));
        }
    }

    /// A copy of the database as it is. Servers must be stopped.
    pub async fn backup(&mut self) -> TestDb {
        self.pool.close().await;
        let copy = self.db.copy().await;
        self.pool = self.db.pool().await;
        copy
    }

    /// Puts a copy in the place of the database. Servers must be stopped.
    pub async fn restore(&mut self, backup: TestDb) {
        self.pool.close().await;
        self.pool = backup.pool().await;
        self.db = backup;
    }
}

/// The address among hosts of the `n`th host.
#[must_use]
pub fn underlay(n: usize) -> String {
    format!("192.0.2.{}", n + 1)
}

impl Drop for World {
    fn drop(&mut self) {
        let forgotten = !self.finished && !std::thread::panicking();
        assert!(!forgotten, "a test must end with World::finish");
    }
}
