//! `berth-bench`: how fast and how small is this, on this machine? Figures only; nothing here fails because it is slow.
//!
//! Brings up a server, one host in a network namespace of its own and real guests, all under names of its own, and
//! clears them away. Needs root, images (`BERTH_TEST_IMAGES`) and a throw-away Postgres (`BERTH_TEST_DATABASE_URL`).

mod figures;
mod memory;

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use berth_tests::e2e::cell::{Cell, Made, order};
use berth_tests::wait::until;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use sqlx::PgPool;

use crate::figures::Figures;

/// Measured one after the other.
const ROUNDS: usize = 30;
/// Made at the same time, and kept for the memory figures.
const BURST: usize = 20;
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let cell = Cell::start(1).await;
    let db = cell.db.pool().await;
    // Two cores are to hold all of the burst.
    let sell = sqlx::query("update hosts set cpu_overcommit = $1").bind(BURST as f64);
    sell.execute(&db).await.expect("the host's row is there");
    let image = cell.images.first().expect("an image").clone();
    println!("{} one after the other, from {image}; {BURST} at once", ROUNDS);

    let mut table = Figures::default();
    let warm = cell.create("warm-up", &image, true).await;
    ssh_answers(&cell, &warm).await;
    cell.delete(warm.id).await;
    for n in 0..ROUNDS {
        one_after_the_other(&cell, &db, &image, n, &mut table).await;
    }

    let empty = memory::Machine::without_caches();
    let began = Utc::now();
    let made = burst(&cell, &image).await;
    for guest in &made {
        let started = started_at(&db, guest.id).await;
        table.add("burst: request -> PID 1, each", since(began, started));
    }
    let last = started_at_last(&db, &made).await;
    table.add(&format!("burst of {BURST}: first request -> last PID 1"), since(began, last));
    for guest in &made {
        ssh_answers(&cell, guest).await;
    }
    table.add(&format!("burst of {BURST}: first request -> last ssh"), since(began, Utc::now()));
    table.print();
    memory::report(&cell, &empty, &made).await;
    cell.finish().await;
}

async fn one_after_the_other(cell: &Cell, db: &PgPool, image: &str, n: usize, table: &mut Figures) {
    let (began, clock) = (Utc::now(), Instant::now());
    let created = cell.api.post("/v1/servers", order(&format!("bench-{n}"), image, true)).await.expect(201);
    table.add("create: request -> answer", clock.elapsed());
    cell.api.succeeded(&created["action"]).await;
    table.add("create: request -> action success (polled)", clock.elapsed());
    let made = cell.made(created["server"]["id"].as_i64().expect("an id")).await;
    table.add("create: request -> PID 1 runs", since(began, started_at(db, made.id).await));
    ssh_answers(cell, &made).await;
    table.add("create: request -> ssh answers", clock.elapsed());

    let began = Utc::now();
    cell.delete(made.id).await;
    let gone: DateTime<Utc> =
        scalar(db, "select deleted_at from vps where id = $1 and deleted_at is not null", made.id).await;
    table.add("delete: request -> nothing left", since(began, gone));
}

async fn burst(cell: &Cell, image: &str) -> Vec<Made> {
    join_all((0..BURST).map(|n| cell.create_named(format!("burst-{n}"), image))).await
}

async fn started_at(db: &PgPool, id: i64) -> DateTime<Utc> {
    scalar(db, "select observed_started_at from vps where id = $1 and observed_started_at is not null", id)
        .await
}

async fn started_at_last(db: &PgPool, made: &[Made]) -> DateTime<Utc> {
    let mut last = DateTime::<Utc>::MIN_UTC;
    for guest in made {
        last = last.max(started_at(db, guest.id).await);
    }
    last
}

async fn scalar(db: &PgPool, sql: &'static str, id: i64) -> DateTime<Utc> {
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
async fn ssh_answers(cell: &Cell, made: &Made) {
    let address = SocketAddr::new(made.ip, 22);
    until("sshd's banner", PATIENCE, async || {
        let netns = &cell.hosts[made.host].netns;
        let mut banner = [0; 8];
        let mut stream = netns.connect_to(address, Duration::from_millis(200)).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|e| e.to_string())?;
        stream.read_exact(&mut banner).map_err(|e| e.to_string())?;
        if &banner == b"SSH-2.0-" { Ok(()) } else { Err(format!("{banner:?}")) }
    })
    .await;
}
