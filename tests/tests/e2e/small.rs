//! The agent stays small however many VPSes its host holds.

use berth_tests::e2e::cell::{Cell, order};
use futures_util::future::join_all;
use serde_json::json;

/// What an agent may hold, in KiB. A debug build's code alone is larger: of it, what the agent itself has written.
const MOST: u64 = 25 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_a_hundred_vpses_is_small() {
    let mut cell = Cell::start(1).await;
    let figures = json!({"cpu_milli": 1000, "memory_bytes": 64_i64 << 20, "disk_bytes": 256_i64 << 20,
        "price_hourly": "0.01", "price_monthly": "3"});
    cell.control.plan("tiny", &figures).await;
    sqlx::query("update hosts set cpu_overcommit = 100")
        .execute(&cell.db.pool().await)
        .await
        .expect("a host");
    let image = cell.images[0].clone();
    let mut ids = Vec::new();
    for wave in 0..10 {
        let creates = (0..10).map(async |n| {
            let mut body = order(&format!("small-{wave}-{n}"), &image, true);
            body["server_type"] = json!("tiny");
            // Off: a test machine has better to do than to boot a hundred guests. `make bench small` does.
            body["start_after_create"] = json!(false);
            let created = cell.api.post("/v1/servers", body).await.expect(201);
            cell.api.succeeded(&created["action"]).await;
            created["server"]["id"].as_i64().expect("an id")
        });
        ids.extend(join_all(creates).await);
    }
    let agent = cell.hosts[0].agent().expect("it runs").pid();
    let status = std::fs::read_to_string(format!("/proc/{agent}/status")).expect("it runs");
    let kib = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux has it");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number")
    };
    let held = if cfg!(debug_assertions) { kib("RssAnon:") } else { kib("VmRSS:") };
    eprintln!("with {} VPSes: {held} KiB\n{status}", ids.len());
    assert!((1..=MOST).contains(&held), "{held} KiB\n{status}");
    for wave in ids.chunks(10) {
        join_all(wave.iter().map(|id| cell.delete(*id))).await;
    }
    cell.finish().await;
}
