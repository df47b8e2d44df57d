//! `berth-bench [life] [incus] [neighbour] [small] [network] [pages]`: how fast and how small is this, on this machine, and what does a
//! hostile guest cost others? Figures only; nothing here fails because it is slow. Without a word: everything.
//!
//! * `life`: create, stop, start, reboot, delete, a burst, and what an idle VPS costs in memory
//! * `incus`: the same of Debian's Incus, beside Berth's
//! * `neighbour`: a neighbour's ssh and a fixed CPU task while another guest floods (Incus's too, with `incus`)
//! * `small`: what the agent holds with a hundred VPSes
//! * `pages`: the dashboard's pages with 5,000 VPSes on simulated hosts, and the bytes of a first load
//! * `network`: from VPS to VPS, beside veths and routes alone, and changes of rules (Incus's bridge too, with `incus`)
//!
//! Brings up a server, one host in a network namespace of its own and real guests, all under names of its own, and
//! clears them away. Needs root, images (`BERTH_TEST_IMAGES`) and a throw-away Postgres (`BERTH_TEST_DATABASE_URL`).

mod asked;
mod figures;
mod incus;
mod life;
mod memory;
mod names;
mod neighbour;
mod network;
mod pages;
mod small;

use berth_tests::e2e::cell::Cell;

use crate::figures::Figures;
use crate::incus::{Incus, Theirs};
use crate::neighbour::{Ours, measure};

/// What can be asked for.
const PARTS: [&str; 6] = ["life", "incus", "neighbour", "small", "network", "pages"];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(wrong) = asked.iter().find(|part| !PARTS.contains(&part.as_str())) {
        eprintln!("error: no part {wrong:?}; there are {}", PARTS.join(", "));
        std::process::exit(2);
    }
    let wants = |part: &str| asked.is_empty() || asked.iter().any(|a| a == part);
    if wants("pages") {
        pages::run().await;
    }
    if asked.iter().all(|part| part == "pages") && !asked.is_empty() {
        return;
    }
    let cell = Cell::start(1).await;
    let db = cell.db.pool().await;
    // A machine of two cores is to hold all of the bursts.
    let sell = sqlx::query("update hosts set cpu_overcommit = 100");
    sell.execute(&db).await.expect("the host's row is there");

    // One system after the other, so that neither's daemons stand in the other's way.
    let mut table = Figures::default();
    if wants("life") || wants("incus") {
        life::run(&cell, &mut table).await;
        table.print(); // before anything else can go wrong
    }
    if wants("neighbour") {
        let ours = Ours::new(&cell).await;
        measure(&ours, &cell.dir).await;
        ours.end().await;
    }
    if wants("small") {
        small::run(&cell).await;
    }
    let plain = if wants("network") { Some(network::run(&cell).await) } else { None };
    if wants("incus")
        && let Some(incus) = Incus::start(&cell).await
    {
        incus.life(&mut table).await;
        if wants("neighbour") {
            let theirs = Theirs::new(&incus).await;
            measure(&theirs, &cell.dir).await;
            theirs.end().await;
        }
        if let Some(plain) = &plain {
            network::run_theirs(&incus, plain).await;
        }
    }
    drop(plain);
    table.print_beside();
    cell.finish().await;
}
