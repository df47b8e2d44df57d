//! Floating IPs of IPv6: each is a /64 that moves as an address of IPv4 does.

use std::time::Duration;

use berth_agent::plan::Effect;
use berth_proto::VpsFault;
use berth_tests::client::Answer;
use berth_tests::raw_host::RawHost;
use berth_tests::wait::until;
use berth_tests::world::World;
use chrono::Utc;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

async fn pool(w: &World, cidr: &str) {
    w.admin.post("/admin/v1/pools", json!({"name": "six", "cidr": cidr})).await.expect(201);
}

async fn create(w: &World, more: Value) -> Answer {
    let mut body = json!({"type": "ipv6"});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    w.api.post("/v1/floating_ips", body).await
}

async fn act(w: &World, floating_ip: &Value, what: &str, body: Value) -> Answer {
    w.api.post(&format!("/v1/floating_ips/{}/actions/{what}", floating_ip["id"]), body).await
}

async fn of_server(w: &World, id: i64) -> Value {
    w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"]["public_net"]["floating_ips"].take()
}

/// A server on each of two hosts.
async fn two(w: &World) -> (i64, i64) {
    w.cordon(1, true).await;
    let a = w.running(&w.create("a").await).await;
    w.cordon(1, false).await;
    w.cordon(0, true).await;
    let b = w.running(&w.create("b").await).await;
    w.cordon(0, false).await;
    (a, b)
}

#[tokio::test]
async fn it_moves_rests_and_is_remembered() {
    let w = World::builder().hosts(2).start().await;
    create(&w, json!({"home_location": w.location})).await.refused(412, "resource_unavailable");
    pool(&w, "2001:db8:0:4::/62").await; // three /64
    let (a, b) = two(&w).await; // which have one each
    let made = create(&w, json!({"server": a, "name": "front", "labels": {"a": "b"}})).await.expect(201);
    w.api.succeeded(&made["action"]).await;
    let ip = &made["floating_ip"];
    assert_eq!((&ip["type"], &ip["ip"]), (&json!("ipv6"), &json!("2001:db8:0:7::/64")));
    assert_eq!((&ip["server"], &ip["dns_ptr"]), (&json!(a), &json!([])));
    create(&w, json!({"home_location": w.location})).await.refused(412, "resource_unavailable");
    act(&w, ip, "assign", json!({"server": a})).await.refused(422, "floating_ip_assigned");
    let action = act(&w, ip, "assign", json!({"server": b})).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
    assert_eq!((of_server(&w, a).await, of_server(&w, b).await), (json!([]), json!([ip["id"]])));
    for query in ["name=front", "label_selector=a%3Db"] {
        let found = w.api.get(&format!("/v1/floating_ips?{query}")).await.expect(200);
        assert_eq!(found["floating_ips"][0]["ip"], ip["ip"], "{query}");
    }

    let action = act(&w, ip, "unassign", json!({})).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
    let path = format!("/v1/floating_ips/{}", ip["id"]);
    act(&w, ip, "change_protection", json!({"delete": true})).await.expect(201);
    w.api.delete(&path).await.refused(423, "protected");
    act(&w, ip, "change_protection", json!({"delete": false})).await.expect(201);
    w.api.delete(&path).await.expect(204);
    create(&w, json!({"home_location": w.location})).await.refused(412, "resource_unavailable");
    let holders = w.admin.get("/admin/v1/addresses/holders?ip=2001:db8:0:7::beef").await.expect(200);
    let had: Vec<&Value> =
        holders["holders"].as_array().expect("a list").iter().map(|holder| &holder["vps_id"]).collect();
    assert_eq!(had, [&Value::Null, &json!(b), &json!(a)], "the newest first");
    w.delete(a).await;
    w.delete(b).await;
    w.finish().await;
}

#[tokio::test]
async fn the_host_is_told_addresses_and_prefixes_apart() {
    let w = World::builder().hosts(0).start().await;
    pool(&w, "2001:db8::/48").await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let created = w.create("web").await;
    let id = created["server"]["id"].as_i64().expect("an id");
    let started = Utc::now();
    host.runs(id, started, |_| {}).await;
    w.api.succeeded(&created["action"]).await;
    create(&w, json!({"server": id})).await.expect(201);
    w.api.post("/v1/floating_ips", json!({"type": "ipv4", "server": id})).await.expect(201);
    let net = host.spec(id).await.net;
    assert_eq!(net.ipv6.map(|net| net.to_string()).as_deref(), Some("2001:db8:0:1::/64"));
    assert_eq!(net.floating6, ["2001:db8:0:2::/64".parse().expect("a /64")]);
    assert_eq!(net.floating.len(), 1);
    host.runs(id, started, |_| {}).await; // and confirms it
    w.finish_with_orphans().await;
}

/// A fault says nothing of where packets go; the host does.
#[tokio::test]
async fn a_move_ends_when_a_broken_server_has_no_interface_any_more() {
    let w = World::builder().hosts(2).start().await;
    pool(&w, "2001:db8::/48").await;
    let (a, b) = two(&w).await;
    let made = create(&w, json!({"server": a})).await.expect(201);
    w.api.succeeded(&made["action"]).await;
    w.fail_next(0, Effect::Apply, VpsFault::terminal("network_failed", "the kernel refuses"));
    let ip = &made["floating_ip"];
    let action = act(&w, ip, "assign", json!({"server": b})).await.expect(201)["action"].take();
    until("the old host to say that it leads there still", DEADLINE, async || {
        let stuck = "select count(*) from address_releases r join vps v on v.id = r.vps_id
                     where v.observed_routed ? host(r.ip) and v.observed_generation >= r.generation";
        if w.scalar(stuck).await == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let path = format!("/v1/actions/{}", action["id"]);
    assert_eq!(w.api.get(&path).await.expect(200)["action"]["status"], "running");
    w.lose_disk(a);
    w.api.succeeded(&action).await;
    w.delete(a).await;
    w.delete(b).await;
    w.finish().await;
}
