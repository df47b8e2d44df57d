//! What a world is made of.

use std::time::Duration;

use berth_agent::sim::Behaviour;
use berth_proto::Capacity;
use berth_server::config::Config;
use serde_json::json;

use super::host::WorldHost;
use super::replica::Replica;
use super::{Tenant, World};
use crate::client::Api;
use crate::control::Control;
use crate::db::TestDb;
use crate::proxy::{Proxy, Upstream};

const PLAN: &str = "small";
const MEMORY: i64 = 512 << 20;
const DISK: i64 = 4 << 30;
const IMAGE: &str = "debian-12";

/// A world that is not there yet.
#[derive(Clone, Debug)]
pub struct Builder {
    hosts: usize,
    replicas: usize,
    room: i64,
    pool: &'static str,
    rate_limit: u32,
    smtp: Option<String>,
    webhooks: Option<&'static str>,
    slow: Duration,
    apart: bool,
    named: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            hosts: 1,
            replicas: 1,
            room: 8,
            pool: "10.77.0.0/24",
            rate_limit: 0,
            smtp: None,
            webhooks: None,
            slow: Duration::ZERO,
            apart: false,
            named: false,
        }
    }
}

impl Builder {
    /// This many hosts.
    #[must_use]
    pub fn hosts(self, hosts: usize) -> Self {
        Self { hosts, ..self }
    }

    /// This many servers on one database; agents are connected to the first.
    #[must_use]
    pub fn replicas(self, replicas: usize) -> Self {
        Self { replicas, ..self }
    }

    /// Each host has room for this many VPSes.
    #[must_use]
    pub fn room_for(self, room: i64) -> Self {
        Self { room, ..self }
    }

    /// Where addresses come from.
    #[must_use]
    pub fn pool(self, pool: &'static str) -> Self {
        Self { pool, ..self }
    }

    /// Requests per hour and project.
    #[must_use]
    pub fn rate_limit(self, rate_limit: u32) -> Self {
        Self { rate_limit, ..self }
    }

    /// Mail leaves by this server.
    #[must_use]
    pub fn smtp(self, url: String) -> Self {
        Self { smtp: Some(url), ..self }
    }

    /// Webhooks may reach this network beside the public internet.
    #[must_use]
    pub fn webhooks(self, network: &'static str) -> Self {
        Self { webhooks: Some(network), ..self }
    }

    /// Making a disk and starting a guest take this long, each.
    #[must_use]
    pub fn slow_host(self, slow: Duration) -> Self {
        Self { slow, ..self }
    }

    /// Hosts have no address by which others reach them.
    #[must_use]
    pub fn apart(self) -> Self {
        Self { apart: true, ..self }
    }

    /// Browsers reach servers by a name, as passkeys want.
    #[must_use]
    pub fn named(self) -> Self {
        Self { named: true, ..self }
    }

    /// Makes it.
    ///
    /// # Panics
    /// When that fails.
    pub async fn start(self) -> World {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        // Another world of this process may have done it already.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let dir = tempfile::tempdir().expect("a directory for the world");
        let db = TestDb::new().await;
        let database_link = Proxy::start(Upstream::Unix(db.socket())).expect("a port is free");
        let url = db.url_through(database_link.addr);
        let pool = db.pool().await;
        let pool_cidr = self.pool.parse().expect("a network");
        // Replicas share images as they would share a store; each has a directory of its own for the rest.
        let mut replicas: Vec<_> = (0..self.replicas)
            .map(|_| {
                let alone = self.replicas == 1;
                let config = Config {
                    data_dir: dir.path().join("server"),
                    rate_limit: self.rate_limit,
                    nat_pool: pool_cidr,
                    smtp_url: self.smtp.clone(),
                    webhook_networks: self
                        .webhooks
                        .iter()
                        .map(|net| net.parse().expect("a network"))
                        .collect(),
                    ..Config::default()
                };
                Replica::new(config, alone, self.named)
            })
            .collect();
        futures_util::future::join_all(replicas.iter_mut().map(|replica| replica.start(url.clone()))).await;

        let api = Api::new(replicas[0].url());
        let admin = api.with_token(operator_token(&pool).await);
        let control = Control::new(admin.clone());
        control.plan(PLAN, &json!({"cpu_milli": 1000, "memory_bytes": MEMORY, "disk_bytes": DISK, "price_hourly": "0.01", "price_monthly": "3"})).await;
        let file = dir.path().join("image.tar");
        std::fs::write(&file, tiny_tar()).expect("a file of ours");
        control.image(IMAGE, &file).await;
        let tenant =
            |token: String| Tenant { api: api.with_token(token), plan: PLAN.into(), image: IMAGE.into() };
        let (mine, others) = (control.project("mine").await, control.project("others").await);
        let mut world = World {
            location: "local".into(),
            readonly: api.with_token(control.token(mine, false).await),
            tenant: tenant(control.token(mine, true).await),
            other: tenant(control.token(others, true).await),
            pool_cidr,
            control,
            admin,
            db,
            pool,
            database_link,
            replicas,
            hosts: Vec::new(),
            dir,
            finished: false,
        };
        for n in 0..self.hosts {
            self.add_host(&mut world, n).await;
        }
        world
    }

    async fn add_host(&self, world: &mut World, n: usize) {
        let (id, token) = world.control.host(&format!("h{n}")).await;
        let link = Proxy::start(Upstream::Tcp(world.replicas[0].agents())).expect("a port is free");
        let disk_bytes = (1 << 40).max(self.room * DISK);
        let capacity = Capacity { cpu_milli: 64_000, memory_bytes: self.room * MEMORY, disk_bytes };
        let underlay = super::underlay(n).parse().ok().filter(|_| !self.apart);
        let mut behaviour = Behaviour { capacity, needs_images: true, underlay, ..Behaviour::default() };
        behaviour.create += self.slow;
        behaviour.start += self.slow;
        let state = world.dir.path().join(format!("h{n}"));
        world.hosts.push(WorldHost::start(id, behaviour, state, link, &token).await);
        world.control.host_is_ready(id, 1).await;
    }
}

/// What `berth-server admin tokens create --operator` does.
async fn operator_token(db: &sqlx::PgPool) -> String {
    let name = berth_server::domain::names::Title::parse("name", "tests").expect("a plain name");
    let (_, secret) = berth_server::db::tokens::create(db, None, &name, true).await.expect("a token");
    secret.expose().to_owned()
}

/// The smallest archive: simulated hosts verify its digest and do not look inside.
fn tiny_tar() -> Vec<u8> {
    let mut bytes = vec![0_u8; 3 * 512];
    let header = &mut bytes[..512];
    header[..6].copy_from_slice(b"marker");
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(b"00000000000");
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    bytes
}
