//! Hosts that lack what an address needs: they are passed over, and say what it is.

use berth_proto::{HostFacts, MissingFeature};
use berth_tests::client::Answer;
use berth_tests::raw_host::RawHost;
use berth_tests::world::World;
use serde_json::{Value, json};

async fn pool(w: &World, name: &str, cidr: &str, kind: &str) {
    let new = json!({"name": name, "cidr": cidr, "kind": kind});
    w.admin.post("/admin/v1/pools", new).await.expect(201);
}

async fn delete_pools(w: &World) {
    let all = w.admin.get("/admin/v1/pools").await.expect(200)["pools"].take();
    for pool in all.as_array().expect("pools") {
        w.admin.delete(&format!("/admin/v1/pools/{}", pool["id"])).await.expect(204);
    }
}

async fn order(w: &World, name: &str, public_net: Value) -> Answer {
    let body = json!({"name": name, "server_type": w.plan, "image": w.image, "public_net": public_net});
    w.api.post("/v1/servers", body).await
}

async fn floating_ip(w: &World, kind: &str) -> Value {
    let body = json!({"type": kind, "home_location": w.location});
    w.api.post("/v1/floating_ips", body).await.expect(201)["floating_ip"].take()
}

async fn assign(w: &World, floating_ip: &Value, server: i64) -> Answer {
    let path = format!("/v1/floating_ips/{}/actions/assign", floating_ip["id"]);
    w.api.post(&path, json!({"server": server})).await
}

/// Refused for want of something that a host has not.
fn lacks(answer: Answer, what: &str) {
    let error = answer.refused(412, "resource_unavailable");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(what)), "{error}");
}

async fn host_of(w: &World, server: i64) -> i64 {
    w.scalar(&format!("select host_id from vps where id = {server}")).await
}

async fn hosts(w: &World) -> Vec<Value> {
    let hosts = w.admin.get("/admin/v1/hosts").await.expect(200)["hosts"].take();
    hosts.as_array().expect("a list").clone()
}

fn id_of(created: &Value) -> i64 {
    created["server"]["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn one_without_ipv6_is_passed_over_where_there_is_to_be_some() {
    let w = World::start().await;
    pool(&w, "six", "2001:db8::/48", "routed").await;
    let mut old = RawHost::enrol(&w, "old").await;
    let lack = MissingFeature { feature: "ipv6".into(), consequence: "no IPv6".into(), fatal: false };
    let facts = HostFacts { missing: vec![lack], ..HostFacts::default() };
    old.report(|report| report.facts = Some(facts)).await;
    let listed = hosts(&w).await;
    let lacking = listed.iter().find(|host| host["id"] == old.id).expect("it is listed");
    assert_eq!(lacking["lacks"], json!(["ipv6"]));

    w.cordon(0, true).await;
    for net in [json!({"enable_ipv6": true}), json!({"enable_ipv4": false, "enable_ipv6": true}), json!({})] {
        lacks(order(&w, "a", net).await, "no host in any location that has room has IPv6");
    }
    let kept = json!({"name": "kept", "type": "ipv6", "assignee_type": "server", "location": w.location});
    let kept = w.api.post("/v1/primary_ips", kept).await.expect(201)["primary_ip"].take();
    lacks(order(&w, "a", json!({"ipv6": kept["id"]})).await, "has IPv6");
    let four = order(&w, "four", json!({"enable_ipv6": false})).await.expect(201);
    assert_eq!(host_of(&w, id_of(&four)).await, old.id);
    old.runs(id_of(&four), chrono::Utc::now(), |_| {}).await;
    w.api.succeeded(&four["action"]).await;
    let body = json!({"type": "ipv6", "server": id_of(&four)});
    lacks(w.api.post("/v1/floating_ips", body).await, "the host old of this server lacks IPv6");
    let floating = floating_ip(&w, "ipv6").await;
    lacks(assign(&w, &floating, id_of(&four)).await, "the host old of this server lacks IPv6");

    w.cordon(0, false).await;
    let six = order(&w, "six", json!({"ipv6": kept["id"]})).await.expect(201);
    assert_ne!(host_of(&w, id_of(&six)).await, old.id);
    w.running(&six).await;
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn one_without_routers_gets_no_address_that_is_announced() {
    let w = World::builder().hosts(2).start().await;
    delete_pools(&w).await;
    pool(&w, "four", "192.0.2.0/24", "bgp").await;
    lacks(order(&w, "a", json!({})).await, "has routers to announce such addresses to");
    let all = hosts(&w).await;
    assert!(all.iter().all(|host| host["lacks"] == json!(["routers"])), "{all:?}");

    let speaks = all[1]["id"].as_i64().expect("an id");
    let path = format!("/admin/v1/hosts/{speaks}/bgp");
    let four = json!({"address": "192.0.2.1", "asn": 64500});
    w.admin.put(&path, json!({"asn": 64512, "neighbours": [four]})).await.expect(200);
    let a = w.running(&order(&w, "a", json!({})).await.expect(201)).await;
    assert_eq!(host_of(&w, a).await, speaks);
    assert_eq!(hosts(&w).await[1]["lacks"], json!([]));
    // Each family has routers of its own.
    pool(&w, "six", "2001:db8::/48", "bgp").await;
    lacks(order(&w, "b", json!({"enable_ipv6": true})).await, "has routers");
    assert_eq!(hosts(&w).await[1]["lacks"], json!(["routers"]));
    let six = json!({"address": "2001:db8:f::1", "asn": 64500});
    w.admin.put(&path, json!({"asn": 64512, "neighbours": [four, six]})).await.expect(200);
    let b = w.running(&order(&w, "b", json!({"enable_ipv6": true})).await.expect(201)).await;
    assert_eq!(host_of(&w, b).await, speaks);

    // Beside a pool that anybody serves: its addresses go to whoever cannot have the others.
    let announced = floating_ip(&w, "ipv4").await;
    pool(&w, "nat", "10.78.0.0/24", "nat").await;
    w.cordon_id(speaks, true).await;
    let c = order(&w, "c", json!({"enable_ipv6": false})).await.expect(201);
    let ip = c["server"]["public_net"]["ipv4"]["ip"].as_str().expect("an address");
    assert!(ip.starts_with("10.78.0."), "{ip}");
    let c = w.running(&c).await;
    lacks(assign(&w, &announced, c).await, "lacks routers to announce such addresses to");
    let body = json!({"type": "ipv4", "server": c});
    let made = w.api.post("/v1/floating_ips", body).await.expect(201);
    assert!(made["floating_ip"]["ip"].as_str().is_some_and(|ip| ip.starts_with("10.78.0.")), "{made}");
    w.api.succeeded(&made["action"]).await;
    for id in [a, b, c] {
        w.delete(id).await;
    }
    w.finish().await;
}
