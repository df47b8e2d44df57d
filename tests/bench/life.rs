//! Berth's times: create, stop, start, reboot, delete, one after the other, and a burst.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use berth_tests::e2e::cell::{Cell, Made, order};
use berth_tests::e2e::netns::Netns;
use berth_tests::wait::until;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use sqlx::PgPool;

use crate::figures::Figures;
use crate::{memory, names};

/// Measured one after the other, unless `BERTH_BENCH_ROUNDS` says how often (for a quick look).
const ROUNDS: usize = 20;

pub(crate) fn rounds() -> usize {
    std::env::var("BERTH_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS)
}

/// Made at the same time, and kept for the memory figures.
pub(crate) const BURST: usize = 20;
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Measures, and prints what the guests of the burst cost in memory.
pub(crate) async fn run(cell: &Cell, table: &mut Figures) {
    let db = cell.db.pool().await;
    let image = cell.images.first().expect("an image").clone();
    println!("\n{} one after the other, from {image}; {BURST} at once", rounds());
    let warm = cell.create("warm-up", &image, true).await;
    ssh_answers(&cell.hosts[warm.host].netns, warm.ip).await;
    cell.delete(warm.id).await;
    for n in 0..rounds() {
        one_after_the_other(cell, &db, &image, n, table).await;
    }

    let empty = memory::Machine::without_caches();
    let made = burst(cell, &db, &image, table).await;
    for guest in &made {
        cell.guest(guest).boot_state();
    }
    memory::settle().await;
    memory::report("Berth", &empty, made.len());
    memory::processes(cell);
    for guest in &made {
        cell.delete(guest.id).await;
    }
}

async fn one_after_the_other(cell: &Cell, db: &PgPool, image: &str, n: usize, table: &mut Figures) {
    let (began, clock) = (Utc::now(), Instant::now());
    let created = cell.api.post("/v1/servers", order(&format!("bench-{n}"), image, true)).await.expect(201);
    table.add("create: request -> answer", clock.elapsed());
    cell.api.succeeded(&created["action"]).await;
    table.add(names::CREATED, clock.elapsed());
    let made = cell.made(created["server"]["id"].as_i64().expect("an id")).await;
    table.add("create: request -> PID 1 runs", since(began, started_at(db, made.id).await));
    let netns = &cell.hosts[made.host].netns;
    ssh_answers(netns, made.ip).await;
    table.add(names::CREATED_SSH, clock.elapsed());
    // Only a guest that has finished booting can be asked to stop as it would be in its life.
    cell.guest(&made).boot_state();

    let clock = Instant::now();
    cell.act(made.id, "reboot").await;
    ssh_answers(netns, made.ip).await;
    table.add(names::REBOOTED_SSH, clock.elapsed());
    cell.guest(&made).boot_state();

    let clock = Instant::now();
    cell.act(made.id, "shutdown").await;
    cell.api.server_is(made.id, "off").await;
    table.add(names::STOPPED, clock.elapsed());

    let clock = Instant::now();
    cell.act(made.id, "poweron").await;
    table.add(names::STARTED, clock.elapsed());
    ssh_answers(netns, made.ip).await;
    table.add(names::STARTED_SSH, clock.elapsed());
    cell.guest(&made).boot_state();

    let clock = Instant::now();
    cell.delete(made.id).await;
    table.add(names::DELETED, clock.elapsed());
}

async fn burst(cell: &Cell, db: &PgPool, image: &str, table: &mut Figures) -> Vec<Made> {
    let (began, clock) = (Utc::now(), Instant::now());
    let made = join_all((0..BURST).map(|n| cell.create_named(format!("burst-{n}"), image))).await;
    table.add(names::BURST, clock.elapsed());
    for guest in &made {
        table.add("burst: request -> PID 1, each", since(began, started_at(db, guest.id).await));
    }
    for guest in &made {
        ssh_answers(&cell.hosts[guest.host].netns, guest.ip).await;
    }
    table.add(names::BURST_SSH, clock.elapsed());
    made
}

async fn started_at(db: &PgPool, id: i64) -> DateTime<Utc> {
    let sql = "select observed_started_at from vps where id = $1 and observed_started_at is not null";
    until(sql, PATIENCE, async || {
        let found = sqlx::query_scalar(sql).bind(id).fetch_optional(db).await.map_err(|e| e.to_string())?;
        found.ok_or_else(|| "not yet".to_owned())
    })
    .await
}

fn since(began: DateTime<Utc>, end: DateTime<Utc>) -> Duration {
    (end - began).to_std().unwrap_or_default()
}

/// Until sshd says who it is.
pub(crate) async fn ssh_answers(netns: &Netns, ip: IpAddr) {
    let address = SocketAddr::new(ip, 22);
    until("sshd's banner", PATIENCE, async || {
        let mut banner = [0; 8];
        let mut stream = netns.connect_to(address, Duration::from_millis(200)).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|e| e.to_string())?;
        stream.read_exact(&mut banner).map_err(|e| e.to_string())?;
        if &banner == b"SSH-2.0-" { Ok(()) } else { Err(format!("{banner:?}")) }
    })
    .await;
}
