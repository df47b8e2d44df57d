//! Quotas of projects: what is made at once does not pass them, and what is refused reserves nothing.

use berth_tests::client::{Answer, Api};
use berth_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::dashboard::member;

const GIB: i64 = 1 << 30;

async fn project(w: &World) -> i64 {
    w.scalar("select id from projects where name = 'mine'").await
}

async fn allow(w: &World, quotas: Value) {
    let path = format!("/admin/v1/projects/{}/quotas", project(w).await);
    w.admin.patch(&path, quotas).await.expect(200);
}

async fn quota(w: &World, what: &str) -> (Value, Value) {
    let answer = w.api.get("/berth/v1/quotas").await.expect(200);
    let one = &answer["quotas"][what];
    (one["used"].clone(), one["most"].clone())
}

fn body(w: &World, name: &str) -> Value {
    json!({"name": name, "server_type": w.plan, "image": w.image})
}

/// Makes something as clients do: what is busy is asked again.
async fn make(api: &Api, path: &str, body: Value) -> Answer {
    loop {
        let answer = api.post(path, body.clone()).await;
        if answer.status != 409 {
            return answer;
        }
        answer.refused(409, "conflict");
    }
}

fn over(answer: Answer, figure: &str) {
    let told = answer.refused(403, "resource_limit_exceeded").to_string();
    assert!(told.contains(figure), "{figure}: {told}");
}

fn split(answers: Vec<Answer>) -> (Vec<Answer>, Vec<Answer>) {
    answers.into_iter().partition(|answer| answer.status == 201)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_come_exactly_to_the_quota() {
    let w = World::builder().hosts(3).room_for(10).replicas(2).start().await;
    allow(&w, json!({"servers": 7})).await;
    let creates = (0..24).map(|n| {
        let api = w.api.at(w.url(n % 2)); // two replicas: nothing in memory decides this
        let body = body(&w, &format!("web-{n}"));
        async move { make(&api, "/v1/servers", body).await }
    });
    let (made, refused) = split(join_all(creates).await);
    assert_eq!((made.len(), refused.len()), (7, 17));
    refused.into_iter().for_each(|answer| over(answer, "quota is 7 servers"));
    for created in &made {
        w.api.succeeded(&created.body["action"]).await;
    }
    w.holds(7).await;
    assert_eq!(quota(&w, "servers").await, (json!(7), json!(7)));
    // Others are not touched by it, and what was given back can be had again.
    w.in_other_project().create("theirs").await;
    w.delete(made[0].body["server"]["id"].as_i64().expect("an id")).await;
    w.api.post("/v1/servers", body(&w, "again")).await.expect(201);
    over(w.api.post("/v1/servers", body(&w, "more")).await, "would have 8 servers");
    w.settled().await;
    w.consistent().await;
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resizes_and_creates_at_once_share_one_quota() {
    let w = World::builder().hosts(2).room_for(20).start().await;
    let larger = w.control.larger_plan().await; // two cores, 1 GiB, 8 GiB of disk
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(w.running(&w.create(&format!("web-{n}")).await).await);
    }
    allow(&w, json!({"cpu_milli": 6000})).await;
    let change = |id: &i64| {
        let path = format!("/v1/servers/{id}/actions/change_type");
        let (api, body) = (w.api.clone(), json!({"server_type": larger, "upgrade_disk": false}));
        async move { make(&api, &path, body).await }
    };
    let create = |n: i32| {
        let (api, body) = (w.api.clone(), body(&w, &format!("new-{n}")));
        async move { make(&api, "/v1/servers", body).await }
    };
    let (resized, created) = tokio::join!(join_all(ids.iter().map(change)), join_all((0..4).map(create)));
    let (made, refused) = split(resized.into_iter().chain(created).collect());
    assert_eq!((made.len(), refused.len()), (2, 6), "two cores were left");
    refused.into_iter().for_each(|answer| over(answer, "quota is 6 cores"));
    assert_eq!(quota(&w, "cpu_milli").await, (json!(6000), json!(6000)));
    w.settled().await;
    w.consistent().await;
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_count_whoever_has_them() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await; // with a primary IP
    allow(&w, json!({"addresses": 3})).await;
    let take = |n: usize| {
        let api = w.api.clone();
        async move {
            match n % 2 {
                0 => make(&api, "/v1/floating_ips", json!({"type": "ipv4", "home_location": "local"})).await,
                _ => {
                    let body = json!({"type": "ipv4", "name": format!("p{n}"), "assignee_type": "server",
                                      "location": "local"});
                    make(&api, "/v1/primary_ips", body).await
                }
            }
        }
    };
    let (made, refused) = split(join_all((0..8).map(take)).await);
    assert_eq!((made.len(), refused.len()), (2, 6));
    refused.into_iter().for_each(|answer| over(answer, "quota is 3 IPv4 addresses"));
    let held = w.scalar("select count(*) from addresses where held").await;
    assert_eq!(held, 3, "what was refused reserved nothing");
    over(w.api.post("/v1/servers", body(&w, "one-more")).await, "would have 4 IPv4 addresses");
    let mut none = body(&w, "without");
    none["public_net"] = json!({"enable_ipv4": false, "enable_ipv6": false});
    w.api.post("/v1/servers", none).await.expect(201);
    w.delete(id).await;
    assert_eq!(quota(&w, "addresses").await, (json!(2), json!(3)));
    w.settled().await;
    w.consistent().await;
    w.finish().await;
}

#[tokio::test]
async fn a_quota_that_was_lowered_takes_nothing_away() {
    let w = World::start().await;
    let larger = w.control.larger_plan().await;
    let id = w.running(&w.create("web").await).await;
    let path = format!("/v1/servers/{id}/actions/change_type");
    let change = async |plan: &str, disk: bool| {
        w.api.post(&path, json!({"server_type": plan, "upgrade_disk": disk})).await
    };
    w.api.succeeded(&change(larger, false).await.expect(201)["action"]).await;
    allow(&w, json!({"servers": 0, "memory_bytes": GIB / 2, "disk_bytes": 4 * GIB})).await;
    w.api.server_is(id, "running").await;
    over(change(larger, true).await, "would have 8 GiB of disk");
    over(
        w.api.patch(&format!("/berth/v1/servers/{id}/limits"), json!({"disk_bytes": 5 * GIB})).await,
        "5 GiB",
    );
    w.api.succeeded(&change("small", false).await.expect(201)["action"]).await; // less
    over(change(larger, false).await, "would have 1 GiB of memory");
    over(w.api.post("/v1/servers", body(&w, "other")).await, "quota is 0 servers");
    // An operator gives more all the same.
    let limits = format!("/admin/v1/servers/{id}/limits");
    w.admin.patch(&limits, json!({"memory_bytes": 2 * GIB})).await.expect(200);
    assert_eq!(quota(&w, "memory_bytes").await, (json!(2 * GIB), json!(GIB / 2)));
    w.settled().await;
    w.consistent().await;
    w.finish().await;
}

#[tokio::test]
async fn operators_set_quotas_and_tenants_see_them() {
    let w = World::builder().hosts(0).start().await;
    let id = project(&w).await;
    let path = format!("/admin/v1/projects/{id}/quotas");
    for (bad, field) in [(json!({"servers": -1}), "servers"), (json!({"disk_bytes": i64::MAX}), "disk_bytes")]
    {
        assert_eq!(w.admin.patch(&path, bad).await.wrong_fields(), [field]);
    }
    assert_eq!(w.admin.patch(&path, json!({"servers": "many"})).await.wrong_fields(), ["servers"]);
    assert!((400..500).contains(&w.admin.patch(&path, json!({"server": 1})).await.status));
    w.admin.patch("/admin/v1/projects/99999/quotas", json!({})).await.refused(404, "not_found");
    allow(&w, json!({"servers": 5, "addresses": 2})).await;
    allow(&w, json!({"addresses": null})).await;
    let now = w.admin.get(&path).await.expect(200);
    assert_eq!((&now["servers"]["most"], &now["addresses"]["most"]), (&json!(5), &Value::Null));
    assert_eq!(quota(&w, "servers").await, (json!(0), json!(5)));
    let page = member(&w).await.get(&format!("/projects/{id}/usage")).await.expect(200);
    assert!(page.contains("0 of 5") && page.contains("no limit"), "{page}");
    let trail = w.api.get("/berth/v1/audit?event=project.changed").await.expect(200);
    assert!(trail.to_string().contains("quota_servers"), "{trail}");

    // Projects that people make themselves begin with what is set for them.
    w.admin.patch("/admin/v1/default_quotas", json!({"servers": 2, "memory_bytes": GIB})).await.expect(200);
    let browser = super::dashboard::signed_in(&w, "anna@berth.example", false, &[]).await;
    browser.post("/account/projects", &[("project", "own")]).await.location();
    let made = w.scalar("select id from projects where name = 'own'").await;
    let own = w.admin.get(&format!("/admin/v1/projects/{made}/quotas")).await.expect(200);
    assert_eq!((&own["servers"]["most"], &own["cpu_milli"]["most"]), (&json!(2), &Value::Null));
    w.finish().await;
}
