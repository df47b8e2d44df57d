//! Any number of servers on one database: whichever is asked, whichever the agent is connected to.

use std::time::{Duration, Instant};

use berth_tests::proxy::Mode;
use berth_tests::world::World;
use serde_json::json;

#[tokio::test]
async fn what_one_replica_is_asked_another_tells_the_agent() {
    let w = World::builder().replicas(2).start().await;
    let other = w.api.at(w.url(1)); // agents are connected to the first
    let began = Instant::now();
    let body = json!({"name": "web", "server_type": w.plan, "image": w.image});
    let created = other.post("/v1/servers", body).await.expect(201);
    other.succeeded(&created["action"]).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "the news go by notification, not by polling alone: {took:?}");
    let id = created["server"]["id"].as_i64().expect("an id");
    for api in [&w.api, &other] {
        api.server_is(id, "running").await;
    }
    let both = json!({"name": "twice", "server_type": w.plan, "image": w.image});
    let (one, two) = tokio::join!(w.api.post("/v1/servers", both.clone()), other.post("/v1/servers", both));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "one name, asked for at both");
    w.settled().await;
    other.delete(&format!("/v1/servers/{id}")).await.expect(200);
    w.api.server_is_gone(id).await;
    w.finish().await;
}

#[tokio::test]
async fn an_agent_moves_to_the_replica_that_is_left() {
    let mut w = World::builder().replicas(2).start().await;
    let id = w.running(&w.create("web").await).await;
    w.lead_agents_to(1);
    w.stop_server(0).await;
    let other = w.api.at(w.url(1));
    let body = json!({"name": "more", "server_type": w.plan, "image": w.image});
    let created = other.post("/v1/servers", body).await.expect(201);
    other.succeeded(&created["action"]).await;
    other.server_is(id, "running").await;
    w.start_server(0).await;
    w.link(0).set(Mode::Pass);
    w.finish().await;
}

#[tokio::test]
async fn replicas_start_at_once_on_an_empty_database() {
    let w = World::builder().hosts(0).replicas(3).start().await;
    let operators: i64 = w.scalar("select count(*) from users where operator").await;
    assert_eq!(operators, 1, "one first operator, whoever was first");
    for n in 0..3 {
        w.api.at(w.url(n)).get("/v1/servers").await.expect(200);
    }
    w.finish().await;
}
