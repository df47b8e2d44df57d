//! What is guaranteed to one server is guaranteed to no other, however many ask at once.

use berth_tests::world::World;
use serde_json::json;

const MIB: i64 = 1 << 20;

/// Simulated hosts have 64 cores, each sold four times; so eight guarantees of eight cores fit, and no ninth.
#[tokio::test]
async fn creates_never_overbook_guarantees() {
    let w = World::builder().room_for(64).start().await;
    let plan = json!({"cpu_milli": 8000, "cpu_guarantee_milli": 8000, "memory_bytes": 64 * MIB,
        "memory_guarantee_bytes": 64 * MIB, "disk_bytes": 1 << 30, "price_hourly": "0.01", "price_monthly": "3"});
    w.control.plan("sure", &plan).await;
    let order = |n: usize| json!({"name": format!("s{n}"), "server_type": "sure", "image": w.image});
    let all = futures_util::future::join_all((0..12).map(|n| w.api.post("/v1/servers", order(n)))).await;
    let (made, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (8, 4));
    for answer in refused {
        let error = answer.refused(412, "resource_unavailable");
        assert!(error["message"].as_str().is_some_and(|m| m.contains("8 guaranteed cores")), "{error}");
    }
    w.consistent().await;
    let mut ids = Vec::new();
    for answer in &made {
        ids.push(w.running(&answer.body).await);
    }
    w.running(&w.create("without-guarantee").await).await;
    w.delete(ids[0]).await;
    w.running(&w.api.post("/v1/servers", order(20)).await.expect(201)).await;
    w.finish().await;
}

#[tokio::test]
async fn creates_and_changes_compete_for_the_same_cores() {
    let w = World::builder().room_for(64).start().await;
    let plan = json!({"cpu_milli": 16_000, "memory_bytes": 64 * MIB, "disk_bytes": 1 << 30,
        "price_hourly": "0.01", "price_monthly": "3"});
    w.control.plan("wide", &plan).await;
    let mut sure = plan.clone();
    sure["cpu_guarantee_milli"] = json!(16_000);
    w.control.plan("sure", &sure).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let body = json!({"name": format!("w{n}"), "server_type": "wide", "image": w.image});
        ids.push(w.running(&w.api.post("/v1/servers", body).await.expect(201)).await);
    }
    let limits = ids.iter().map(async |id| {
        w.admin
            .patch(&format!("/admin/v1/servers/{id}/limits"), json!({"cpu_guarantee_milli": 16_000}))
            .await
            .status
    });
    let types = ids.iter().map(async |id| {
        let body = json!({"server_type": "sure", "upgrade_disk": false});
        w.api.post(&format!("/v1/servers/{id}/actions/change_type"), body).await.status
    });
    let creates = (0..3).map(async |n| {
        let body = json!({"name": format!("c{n}"), "server_type": "sure", "image": w.image});
        w.api.post("/v1/servers", body).await.status
    });
    let (limits, types, creates) = futures_util::join!(
        futures_util::future::join_all(limits),
        futures_util::future::join_all(types),
        futures_util::future::join_all(creates)
    );
    for status in limits.iter().chain(&types).chain(&creates) {
        assert!(matches!(status, 200 | 201 | 412), "{limits:?} {types:?} {creates:?}");
    }
    w.consistent().await;
    let sum = w.scalar("select sum(cpu_guarantee_milli)::bigint from vps where deleted_at is null").await;
    assert_eq!(sum, 64_000, "all that can be promised is, and no more");
    w.finish().await;
}
