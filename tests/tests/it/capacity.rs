//! Many at once: nothing is sold twice.

use std::collections::HashSet;

use berth_tests::world::World;
use futures_util::future::join_all;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_creates_against_room_for_thirty() {
    let w = World::builder().hosts(3).room_for(10).start().await;
    let creates = (0..50).map(|n| {
        let body = json!({"name": format!("web-{n}"), "server_type": w.plan, "image": w.image});
        w.api.post("/v1/servers", body)
    });
    let answers = join_all(creates).await;

    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (30, 20));
    for answer in refused {
        answer.refused(412, "resource_unavailable");
    }
    let mut addresses = HashSet::new();
    for created in &made {
        w.api.succeeded(&created.body["action"]).await;
        let id = created.body["server"]["id"].as_i64().expect("an id");
        let server = w.api.server_is(id, "running").await;
        let ip = server["public_net"]["ipv4"]["ip"].as_str().expect("it has an address").to_owned();
        assert!(addresses.insert(ip.clone()), "{ip} was given out twice");
    }
    w.holds(30).await;
    assert_eq!(w.running_guests(), 30, "on the hosts themselves");
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_and_deletes_at_once_add_up() {
    let w = World::builder().hosts(2).room_for(4).start().await;
    join_all((0..8).map(async |n| {
        for round in 0..3 {
            let body = json!({"name": format!("web-{n}-{round}"), "server_type": w.plan, "image": w.image});
            let created = w.api.post("/v1/servers", body).await;
            if created.status == 201 {
                let id = created.body["server"]["id"].as_i64().expect("an id");
                if round != 1 {
                    w.api.succeeded(&created.body["action"]).await;
                } // else: deleted in the middle of its creation
                w.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
                w.api.server_is_gone(id).await;
            } else {
                created.refused(412, "resource_unavailable");
            }
        }
    }))
    .await;
    w.holds_nothing().await;
    w.finish().await;
}
