//! What the agent holds with a hundred VPSes, all of them running.

use berth_tests::e2e::cell::{Cell, order};
use futures_util::future::join_all;
use serde_json::json;

use crate::memory;

/// VPSes on the host.
const COUNT: usize = 100;
/// Made at the same time; two cores boot no more of them faster.
const WAVE: usize = 10;
/// What an agent may hold with them, in KiB.
const AIM: u64 = 25 << 10;

/// Measures.
pub(crate) async fn run(cell: &Cell) {
    let figures = json!({"cpu_milli": 1000, "memory_bytes": 128_i64 << 20, "disk_bytes": 512_i64 << 20,
        "price_hourly": "0.01", "price_monthly": "3"});
    cell.control.plan("tiny", &figures).await;
    let image = cell.images.first().expect("an image").clone();
    println!("\nsmall: {COUNT} VPSes of {image} on one host");
    let empty = memory::Machine::without_caches();
    let mut made = Vec::new();
    for wave in 0..COUNT / WAVE {
        let creates = (0..WAVE).map(async |n| {
            let mut body = order(&format!("small-{wave}-{n}"), &image, true);
            body["server_type"] = json!("tiny");
            let created = cell.api.post("/v1/servers", body).await.expect(201);
            cell.api.succeeded(&created["action"]).await;
            cell.made(created["server"]["id"].as_i64().expect("an id")).await
        });
        let wave = join_all(creates).await;
        wave.iter().for_each(|guest| drop(cell.guest(guest).boot_state()));
        made.extend(wave);
    }
    memory::settle().await;
    memory::report("Berth", &empty, made.len());
    for resident in memory::processes(cell) {
        let verdict = if resident <= AIM { "met" } else { "MISSED" };
        println!(
            "berth-agent with {COUNT} VPSes: {resident} KiB resident; the aim of {AIM} KiB is {verdict}"
        );
    }
    for wave in made.chunks(WAVE) {
        join_all(wave.iter().map(|guest| cell.delete(guest.id))).await;
    }
}
