//! Whatever breaks in the middle of a create or a delete, it ends in exactly one VPS or none.

use std::time::Duration;

use berth_tests::proxy::Mode;
use berth_tests::world::World;
use rand::Rng as _;
use rand::SeedableRng as _;
use serde_json::json;

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_a_create() {
    let w = World::builder().slow_host(Duration::from_millis(150)).start().await;
    let created = w.create("web").await;
    for _ in 0..5 {
        w.link(0).break_connections();
        tokio::time::sleep(Duration::from_millis(30)).await; // anywhere in the create
    }
    w.one_running_vps(&created).await;
    w.finish().await;
}

#[tokio::test]
async fn a_connection_that_is_gone_when_the_create_comes() {
    let w = World::start().await;
    w.link(0).set(Mode::Cut);
    let created = w.create("web").await;
    assert_eq!(w.running_guests(), 0);
    w.link(0).set(Mode::Pass);
    w.one_running_vps(&created).await;
    w.finish().await;
}

#[tokio::test]
async fn a_connection_that_swallows_everything() {
    let w = World::start().await;
    w.link(0).set(Mode::Blackhole);
    let created = w.create("web").await;
    tokio::time::sleep(Duration::from_millis(300)).await; // the host hears nothing, and does nothing
    assert_eq!(w.running_guests(), 0);
    w.link(0).set(Mode::Pass);
    w.one_running_vps(&created).await;
    w.finish().await;
}

#[tokio::test]
async fn a_slow_connection() {
    let w = World::start().await;
    w.link(0).set(Mode::Delay(Duration::from_millis(100)));
    let created = w.create("web").await;
    w.one_running_vps(&created).await;
    w.finish().await;
}

#[tokio::test]
async fn a_server_that_restarts_in_the_middle_of_a_create() {
    let mut w = World::builder().slow_host(Duration::from_millis(200)).start().await;
    let created = w.create("web").await;
    w.restart_server(0).await;
    w.one_running_vps(&created).await;
    let id = created["server"]["id"].as_i64().expect("an id");
    let deleted = w.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
    w.restart_server(0).await;
    w.api.succeeded(&deleted["action"]).await;
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn an_agent_that_restarts_in_the_middle_of_a_create() {
    let mut w = World::builder().slow_host(Duration::from_millis(200)).start().await;
    let created = w.create("web").await;
    w.restart_agent(0).await;
    w.one_running_vps(&created).await;
    let id = created["server"]["id"].as_i64().expect("an id");
    let before = w.started_at(id).await;
    w.restart_agent(0).await;
    w.running(&w.create("another").await).await;
    assert_eq!(w.started_at(id).await, before, "a guest does not notice that its agent restarts");
    w.finish().await;
}

#[tokio::test]
async fn a_database_that_goes_away() {
    let w = World::start().await;
    let id = w.running(&w.create("before").await).await;
    w.database_link().set(Mode::Cut);
    let body = json!({"name": "web", "server_type": w.plan, "image": w.image}).to_string();
    let answer = w.api.send(reqwest::Method::POST, "/v1/servers", Some(body)).await;
    assert!(answer.status >= 500, "{answer:?}");
    let text = answer.body.to_string();
    assert!(!text.contains("sql") && !text.contains("postgres"), "what happened inside stays inside: {text}");
    assert!(w.guest_runs(0, id), "a guest does not notice");
    w.database_link().set(Mode::Pass);
    w.running(&w.create("web").await).await;
    w.api.server_is(id, "running").await;
    w.finish().await;
}

/// Everything at once, for a while, from a seed that a failure names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_hour() {
    let seed: u64 =
        std::env::var("BERTH_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("BERTH_TEST_SEED={seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut w = World::builder().hosts(2).room_for(8).slow_host(Duration::from_millis(30)).start().await;
    for round in 0..30 {
        match random.random_range(0..9) {
            0 => w.restart_server(0).await,
            1 => w.restart_agent(random.random_range(0..2)).await,
            2 => w.link(random.random_range(0..2)).break_connections(),
            3 => w.link(random.random_range(0..2)).set(Mode::Blackhole),
            4 => w.database_link().break_connections(),
            _ => {}
        }
        // Requests may fail while things are broken; what they leave must be whole all the same.
        let list = w.api.try_send(reqwest::Method::GET, "/v1/servers?per_page=50", None).await;
        let servers =
            list.ok().and_then(|answer| answer.body["servers"].as_array().cloned()).unwrap_or_default();
        let pick = |random: &mut rand::rngs::StdRng| {
            let n = servers.len().max(1);
            servers
                .get(random.random_range(0..n))
                .map(|server| server["id"].to_string())
                .unwrap_or("1".into())
        };
        let (method, path, body) = match random.random_range(0..5) {
            0..=2 => {
                let body = json!({"name": format!("web-{round}"), "server_type": w.plan, "image": w.image});
                (reqwest::Method::POST, "/v1/servers".to_owned(), Some(body.to_string()))
            }
            3 => (reqwest::Method::DELETE, format!("/v1/servers/{}", pick(&mut random)), None),
            _ => {
                let what = ["reset", "poweroff", "poweron"][random.random_range(0..3)];
                let path = format!("/v1/servers/{}/actions/{what}", pick(&mut random));
                (reqwest::Method::POST, path, Some("{}".to_owned()))
            }
        };
        let _ = w.api.try_send(method, &path, body).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..40))).await; // the hour goes on
    }
    for host in 0..2 {
        w.link(host).set(Mode::Pass);
    }
    w.settled().await;
    w.hosts_are_as_wanted().await;
    w.finish().await;
}
