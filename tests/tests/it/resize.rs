//! Another server type for a server that is there: what is sold moves with it, and the guest never notices.

use berth_tests::world::World;
use serde_json::{Value, json};

const GIB: i64 = 1 << 30;

/// A plan with so many cores, GiB of memory and GiB of disk.
async fn plan(w: &World, name: &str, cores: i64, memory: i64, disk: i64) {
    let figures = json!({"cpu_milli": cores * 1000, "memory_bytes": memory * GIB, "disk_bytes": disk * GIB,
        "price_hourly": "0.02", "price_monthly": "6"});
    w.control.plan(name, &figures).await;
}

async fn change(w: &World, id: i64, to: &str, upgrade_disk: bool) -> berth_tests::client::Answer {
    let body = json!({"server_type": to, "upgrade_disk": upgrade_disk});
    w.api.post(&format!("/v1/servers/{id}/actions/change_type"), body).await
}

async fn server(w: &World, id: i64) -> Value {
    w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"].take()
}

#[tokio::test]
async fn a_running_server_gets_another_type_and_runs_on() {
    let w = World::builder().room_for(8).start().await;
    plan(&w, "large", 4, 2, 8).await;
    let id = w.running(&w.create("web").await).await;
    let started = w.started_at(id).await;

    let answer = change(&w, id, "large", false).await.expect(201);
    assert_eq!(answer["action"]["command"], "change_server_type");
    w.api.succeeded(&answer["action"]).await;
    let now = server(&w, id).await;
    assert_eq!((&now["server_type"]["name"], &now["primary_disk_size"]), (&json!("large"), &json!(4)));
    assert_eq!((&now["status"], w.started_at(id).await), (&json!("running"), started), "the same guest");
    w.consistent().await;

    let answer = change(&w, id, "large", true).await.expect(201);
    w.api.succeeded(&answer["action"]).await;
    assert_eq!(server(&w, id).await["primary_disk_size"], 8);
    // What is so already succeeds at once.
    let answer = change(&w, id, "large", true).await.expect(201);
    assert_eq!(answer["action"]["status"], "success");
    w.consistent().await;
    w.delete(id).await;
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn one_that_is_off_gets_its_type_too() {
    let w = World::builder().room_for(8).start().await;
    plan(&w, "large", 4, 2, 8).await;
    let id = w.running(&w.create("web").await).await;
    w.act(id, "poweroff", "stop_server").await;
    let answer = change(&w, id, "large", true).await.expect(201);
    w.api.succeeded(&answer["action"]).await;
    let now = server(&w, id).await;
    assert_eq!((&now["status"], &now["server_type"]["name"]), (&json!("off"), &json!("large")));
    w.act(id, "poweron", "start_server").await;
    w.finish().await;
}

#[tokio::test]
async fn what_does_not_fit_changes_nothing() {
    let w = World::builder().room_for(4).start().await;
    plan(&w, "huge", 4, 64, 8).await;
    plan(&w, "short", 1, 1, 2).await;
    let id = w.running(&w.create("web").await).await;
    let before = server(&w, id).await;
    for (to, field) in [("no-such-type", "server_type"), ("short", "server_type")] {
        let fields = change(&w, id, to, true).await.wrong_fields();
        assert_eq!(fields, [field], "{to}");
    }
    let refused = change(&w, id, "huge", false).await.refused(412, "resource_unavailable");
    assert!(refused["message"].as_str().is_some_and(|m| m.contains("GiB of memory")), "{refused}");
    let path = format!("/v1/servers/{id}/actions/change_type");
    let body = json!({"server_type": "huge", "upgrade_disk": false});
    w.readonly.post(&path, body.clone()).await.refused(403, "token_readonly");
    w.in_other_project().api.post(&path, body).await.refused(404, "not_found");
    assert_eq!(w.api.post(&path, json!({"server_type": "huge"})).await.wrong_fields(), ["upgrade_disk"]);
    assert_eq!(server(&w, id).await, before, "nothing changed");
    w.consistent().await;
    w.finish().await;
}

#[tokio::test]
async fn resizes_at_once_do_not_oversell_a_host() {
    let w = World::builder().room_for(6).start().await; // of the small plan
    let room = w.scalar("select capacity_memory from hosts").await;
    let small = w.scalar("select memory_bytes from plans where name = 'small'").await;
    assert_eq!(room / small, 6, "the plan of the world is the small one");
    let double = json!({"cpu_milli": 1000, "memory_bytes": 2 * small, "disk_bytes": 4 * GIB,
        "price_hourly": "0.02", "price_monthly": "6"});
    w.control.plan("double", &double).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(w.running(&w.create(&format!("web-{n}")).await).await);
    }
    let answers = futures_util::future::join_all(ids.iter().map(|id| change(&w, *id, "double", false))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 2, "room for two more of the small plan: {answers:?}");
    w.settled().await;
    w.consistent().await;
    w.finish().await;
}
