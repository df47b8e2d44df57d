//! Single limits of a server: who may change which, what its host is told, and what is told of the host.

use berth_proto::{LimitHits, LimitName, LimitState, VpsMetrics};
use berth_tests::client::Answer;
use berth_tests::raw_host::RawHost;
use berth_tests::world::World;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

const MIB: i64 = 1 << 20;

fn path(id: i64) -> String {
    format!("/berth/v1/servers/{id}/limits")
}

async fn limits(w: &World, id: i64) -> Value {
    w.api.get(&path(id)).await.expect(200)
}

async fn change(w: &World, id: i64, wanted: Value) -> Answer {
    w.api.patch(&path(id), wanted).await
}

async fn operator_changes(w: &World, id: i64, wanted: Value) -> Answer {
    w.admin.patch(&format!("/admin/v1/servers/{id}/limits"), wanted).await
}

#[tokio::test]
async fn a_running_server_gets_less_and_has_its_plan_again() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let started = w.started_at(id).await;
    let fresh = limits(&w, id).await;
    assert_eq!(fresh["current"], true);
    assert_eq!(fresh["limits"].as_object().map(|all| all.len()), Some(16), "every limit is named");
    for (name, limit) in fresh["limits"].as_object().expect("limits") {
        assert_eq!(limit["asked"], limit["plan"], "{name}");
    }

    let wanted =
        json!({"pids": 100, "memory_bytes": 256 * MIB, "memory_high_bytes": 200 * MIB, "open_files": 1024});
    let answer = change(&w, id, wanted).await.expect(200);
    assert_eq!(answer["action"]["command"], "change_limits");
    w.api.succeeded(&answer["action"]).await;
    let now = limits(&w, id).await;
    for (name, figure) in
        [("pids", 100), ("memory_bytes", 256 * MIB), ("open_files", 1024), ("cpu_milli", 1000)]
    {
        assert_eq!(now["limits"][name]["asked"], figure, "{name}");
    }
    assert_eq!(now["limits"]["memory_bytes"]["plan"], 512 * MIB);
    assert_eq!(w.started_at(id).await, started, "the same guest");
    w.consistent().await;

    // What is so already succeeds at once.
    let again = change(&w, id, json!({"pids": 100})).await.expect(200);
    assert_eq!(again["action"]["status"], "success");

    // Changing to the type that it has sets single limits back.
    let to = format!("/v1/servers/{id}/actions/change_type");
    let body = json!({"server_type": w.plan, "upgrade_disk": false});
    let reset = w.api.post(&to, body.clone()).await.expect(201);
    w.api.succeeded(&reset["action"]).await;
    assert_eq!(limits(&w, id).await["limits"], fresh["limits"]);
    assert_eq!(w.api.post(&to, body).await.expect(201)["action"]["status"], "success");
    w.finish().await;
}

#[tokio::test]
async fn wrong_figures_name_their_field_and_change_nothing() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let before = limits(&w, id).await;
    for (wanted, field) in [
        (json!({"pids": 0}), "pids"),
        (json!({"pids": "many"}), "pids"),
        (json!({"pids": 1.5}), "pids"),
        (json!({"pids": 8192}), "pids"),
        (json!({"memory": 1}), "memory"),
        (json!({"cpu_milli": 2000}), "cpu_milli"),
        (json!({"cpu_weight": 101}), "cpu_weight"),
        (json!({"cpu_guarantee_milli": 100}), "cpu_guarantee_milli"),
        (json!({"memory_high_bytes": 1 << 30}), "memory_high_bytes"),
        (json!({"swap_bytes": 1 << 30}), "swap_bytes"),
        (json!({"disk_bytes": 1 << 30}), "disk_bytes"),
        (json!({"disk_bytes": 8_i64 << 30}), "disk_bytes"),
        (json!({"pids": 100, "open_files": -1}), "open_files"),
        (json!({"disk_read_bps": i64::MAX}), "disk_read_bps"),
    ] {
        assert_eq!(change(&w, id, wanted.clone()).await.wrong_fields(), [field], "{wanted}");
    }
    change(&w, id, json!([1])).await.refused(400, "json_error");
    let shown = limits(&w, id).await;
    assert_eq!(shown["limits"], before["limits"]);

    let mut plan = json!({"name": "odd", "cpu_milli": 500, "memory_bytes": 1 << 28, "disk_bytes": 1 << 30});
    for (field, bad) in
        [("cpu_guarantee_milli", 501), ("memory_high_bytes", 1 << 29), ("cpu_weight", 20_000), ("inodes", 1)]
    {
        plan[field] = bad.into();
        assert_eq!(w.admin.post("/admin/v1/plans", plan.clone()).await.wrong_fields(), [field]);
        plan[field] = 0.into();
    }
    w.finish().await;
}

#[tokio::test]
async fn who_may_change_what() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let other = w.in_other_project();
    other.api.get(&path(id)).await.refused(404, "not_found");
    other.api.patch(&path(id), json!({"pids": 64})).await.refused(404, "not_found");
    other.api.get(&format!("/berth/v1/servers/{id}/events")).await.refused(404, "not_found");
    w.readonly.get(&path(id)).await.expect(200);
    w.readonly.patch(&path(id), json!({"pids": 64})).await.refused(403, "token_readonly");
    w.api.without_token().get(&path(id)).await.refused(401, "unauthorized");
    w.admin.get(&path(id)).await.refused(401, "unauthorized");
    let operators = format!("/admin/v1/servers/{id}/limits");
    w.api.patch(&operators, json!({"pids": 9000})).await.refused(403, "forbidden");
    w.admin.get("/admin/v1/servers/987654321/limits").await.refused(404, "not_found");
    let token = w.admin.post("/admin/v1/tokens", json!({"name": "t", "writable": false})).await.expect(201);
    let reader = w.admin.with_token(token["secret"].as_str().expect("it is shown once"));
    reader.get(&operators).await.expect(200);
    reader.patch(&operators, json!({"pids": 9000})).await.refused(403, "token_readonly");

    // An operator gives more than the plan; the tenant keeps it, and cannot take it again.
    let given = operator_changes(&w, id, json!({"pids": 9000, "disk_read_bps": 50 * MIB})).await.expect(200);
    let action = w.api.get(&format!("/v1/actions/{}", given["action_id"])).await.expect(200)["action"].take();
    w.api.succeeded(&action).await;
    assert_eq!(limits(&w, id).await["limits"]["pids"]["asked"], 9000);
    for (wanted, ok) in [(9000, true), (10_000, false), (4096, true), (9000, false)] {
        let answer = change(&w, id, json!({"pids": wanted})).await;
        assert_eq!(answer.status, if ok { 200 } else { 422 }, "{wanted}: {}", answer.body);
    }
    operator_changes(&w, id, json!({"memory_bytes": 1_i64 << 40})).await.refused(412, "resource_unavailable");
    assert_eq!(operator_changes(&w, id, json!({"memory": 1})).await.wrong_fields(), ["memory"]);
    w.consistent().await;
    w.delete(id).await;
    w.api.get(&path(id)).await.refused(404, "not_found");
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn what_a_tenant_gave_up_for_a_while_is_still_its_own() {
    let w = World::builder().room_for(2).start().await;
    let id = w.running(&w.create("web").await).await;
    let answer = change(&w, id, json!({"memory_bytes": 64 * MIB, "cpu_milli": 100})).await.expect(200);
    w.api.succeeded(&answer["action"]).await;
    w.running(&w.create("second").await).await;
    let third = json!({"name": "third", "server_type": w.plan, "image": w.image});
    w.api.post("/v1/servers", third).await.refused(412, "resource_unavailable");
    let answer = change(&w, id, json!({"memory_bytes": 512 * MIB, "cpu_milli": 1000})).await.expect(200);
    w.api.succeeded(&answer["action"]).await;
    w.finish().await;
}

#[tokio::test]
async fn the_host_is_told_and_what_it_says_is_shown() {
    let w = World::builder().hosts(0).start().await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let plan = json!({"cpu_milli": 2000, "memory_bytes": 1 << 30, "disk_bytes": 4_i64 << 30, "cpu_weight": 150,
        "cpu_guarantee_milli": 500, "memory_high_bytes": 900 * MIB, "memory_guarantee_bytes": 256 * MIB,
        "disk_read_bps": 100 * MIB, "disk_write_bps": 50 * MIB, "disk_read_iops": 1000, "disk_write_iops": 500,
        "inodes": 300_000, "open_files": 4096, "price_hourly": "0.01", "price_monthly": "3"});
    w.control.plan("fine", &plan).await;
    let body = json!({"name": "web", "server_type": "fine", "image": w.image});
    let created = w.api.post("/v1/servers", body).await.expect(201);
    let id = created["server"]["id"].as_i64().expect("an id");
    let told = serde_json::to_value(host.spec(id).await.limits).expect("plain figures");
    for (name, figure) in
        plan.as_object().expect("figures").iter().filter(|(name, _)| !name.starts_with("price"))
    {
        assert_eq!(&told[name], figure, "{name} is the plan's");
    }
    let started: DateTime<Utc> = "2026-01-01T00:00:00.123456789Z".parse().expect("a time");
    host.runs(id, started, |_| {}).await;
    w.api.succeeded(&created["action"]).await;

    let answer = change(&w, id, json!({"disk_write_bps": 10 * MIB, "pids": 200})).await.expect(200);
    let waiting = limits(&w, id).await;
    assert_eq!((&waiting["current"], &waiting["limits"]["pids"]["applied"]), (&json!(false), &Value::Null));
    let asked = host.spec(id).await.limits;
    assert_eq!((asked.disk_write_bps, asked.pids, asked.cpu_weight), (10 * MIB, 200, 150));
    host.runs(id, started, |seen| {
        let state = |limit, asked, applied, why: Option<&str>| LimitState {
            limit,
            asked,
            applied,
            why: why.map(str::to_owned),
        };
        seen.limits = vec![
            state(LimitName::Pids, 200, Some(200), None),
            state(LimitName::DiskWriteBps, 10 * MIB, None, Some("not on <b>cgroup v1</b>")),
            state(LimitName::CpuMilli, 2000, Some(1990), None),
        ];
        let hits = LimitHits { memory_max: 7, oom_kills: 2, pids_max: 3, cpu_throttled_usec: 1_500_000 };
        seen.metrics = Some(VpsMetrics { hits, ..VpsMetrics::default() });
    })
    .await;
    w.api.succeeded(&answer["action"]).await;
    let shown = limits(&w, id).await;
    assert_eq!((&shown["current"], &shown["oom_kills"]), (&json!(true), &json!(2)));
    for (name, limit) in [
        ("pids", json!({"asked": 200, "plan": 4096, "applied": 200, "why": null, "hits": 3})),
        (
            "disk_write_bps",
            json!({"asked": 10 * MIB, "plan": 50 * MIB, "applied": null, "why": "not on <b>cgroup v1</b>", "hits": null}),
        ),
        ("cpu_milli", json!({"asked": 2000, "plan": 2000, "applied": 1990, "why": null, "hits": 1_500_000})),
        ("memory_bytes", json!({"asked": 1 << 30, "plan": 1 << 30, "applied": null, "why": null, "hits": 7})),
    ] {
        assert_eq!(shown["limits"][name], limit, "{name}");
    }
    w.finish_with_orphans().await;
}
