//! Ports of hosts that lead to servers with private addresses: who gets which, and when there are none left.

use std::collections::HashSet;

use berth_tests::client::Answer;
use berth_tests::raw_host::RawHost;
use berth_tests::world::{World, underlay};
use chrono::Utc;
use serde_json::{Value, json};

use crate::dashboard::member;

/// The path of the world's pool.
async fn pool(w: &World) -> String {
    let all = w.admin.get("/admin/v1/pools").await.expect(200);
    format!("/admin/v1/pools/{}", all["pools"][0]["id"])
}

async fn give(w: &World, ports: &str, per_vps: i64) -> Answer {
    let body = json!({"ports": ports, "ports_per_vps": per_vps});
    w.admin.put(&format!("{}/ports", pool(w).await), body).await
}

async fn ordered(w: &World, name: &str, more: Value) -> Answer {
    let mut body = json!({"name": name, "server_type": w.plan, "image": w.image});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    w.api.post("/v1/servers", body).await
}

async fn ports(w: &World, id: i64) -> Value {
    w.api.get(&format!("/berth/v1/servers/{id}/ports")).await.expect(200)["ports"].take()
}

fn id_of(created: &Value) -> i64 {
    created["server"]["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn each_server_has_ports_of_its_host_that_rest_after_it() {
    let w = World::builder().hosts(2).start().await;
    let made = give(&w, "10000-10059", 20).await.expect(200)["pool"].take();
    assert_eq!((&made["ports"], &made["ports_per_vps"]), (&json!("10000-10059"), &json!(20)));
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for n in 0..6 {
        let id = w.running(&w.create(&format!("s{n}")).await).await;
        let ports = ports(&w, id).await;
        let first = ports["first"].as_i64().expect("a port");
        assert!([10_000, 10_020, 10_040].contains(&first) && ports["last"] == first + 19, "{ports}");
        let address = ports["address"].as_str().expect("the host has said it").to_owned();
        assert!([underlay(0), underlay(1)].contains(&address), "{ports}");
        assert!(seen.insert((address, first)), "{ports} twice");
        ids.push(id);
    }
    // All hosts are full of them, though not of servers; nothing is reserved for the one that cannot be.
    let held =
        "select (select count(*) from primary_ips) * 1000 + (select sum(vps_count) from hosts)::bigint";
    let before = w.scalar(held).await;
    ordered(&w, "more", json!({})).await.refused(412, "resource_unavailable");
    let none = json!({"public_net": {"enable_ipv4": false}});
    w.running(&ordered(&w, "without", none).await.expect(201)).await;
    assert_eq!(w.scalar(held).await, before + 1);

    let (gone, was) = (ids[2], ports(&w, ids[2]).await);
    w.delete(gone).await;
    ordered(&w, "more", json!({})).await.refused(412, "resource_unavailable");
    w.admin.patch(&pool(&w).await, json!({"quarantine_s": 0})).await.expect(200);
    let next = w.running(&ordered(&w, "more", json!({})).await.expect(201)).await;
    assert_eq!(ports(&w, next).await, was, "the only ones that are left");
    w.in_other_project().api.get(&format!("/berth/v1/servers/{next}/ports")).await.refused(404, "not_found");
    w.finish().await;
}

/// Thirty who want one of nine ranges.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_never_get_the_same() {
    let w = World::builder().hosts(3).room_for(40).start().await;
    give(&w, "20000-20002", 1).await.expect(200);
    let creates = (0..30).map(|n| {
        let w = &w;
        async move { ordered(w, &format!("s{n}"), json!({})).await }
    });
    let answers = futures_util::future::join_all(creates).await;
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((refused.status, &refused.body["error"]["code"]), (412, &json!("resource_unavailable")));
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 9);
    assert_eq!(w.scalar("select count(distinct (host_id, first_port)) from port_ranges").await, 9);
    assert_eq!(w.scalar("select count(*) from addresses where held").await, 9);
    w.finish().await;
}

#[tokio::test]
async fn servers_that_are_there_get_them_and_lose_them_again() {
    let w = World::builder().hosts(0).start().await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let created = w.create("web").await;
    let id = id_of(&created);
    assert_eq!(host.spec(id).await.net.ports, None);
    host.runs(id, Utc::now(), |_| {}).await;
    w.api.succeeded(&created["action"]).await;
    assert_eq!(ports(&w, id).await, Value::Null);

    let told = async |host: &RawHost| {
        let spec = host.spec(id).await;
        (spec.net.ports.map(|ports| (ports.first, ports.last)), spec.generation)
    };
    let (_, generation) = told(&host).await;
    give(&w, "10000-10999", 10).await.expect(200);
    assert_eq!(told(&host).await, (Some((10_000, 10_009)), generation + 1));
    give(&w, "12000-12999", 100).await.expect(200);
    assert_eq!(told(&host).await, (Some((12_000, 12_099)), generation + 2));
    // By which address: the operator's word goes before the host's, and this one has said nothing.
    assert_eq!(ports(&w, id).await, json!({"address": null, "first": 12_000, "last": 12_099}));
    let browser = member(&w).await;
    let project = w.scalar("select project_id from vps").await;
    let page = async || browser.get(&format!("/projects/{project}/servers/{id}")).await.body;
    assert!(page().await.contains("ports 12000 to 12099"));
    let path = format!("/admin/v1/hosts/{}/address", host.id);
    assert_eq!(w.admin.get(&path).await.expect(200).to_string(), r#"{"address":null,"chosen":false}"#);
    for bad in ["2001:db8::1", "host", ""] {
        assert_eq!(w.admin.put(&path, json!({"address": bad})).await.wrong_fields(), ["address"]);
    }
    let set = w.admin.put(&path, json!({"address": "203.0.113.7"})).await.expect(200);
    assert_eq!((&set["address"], &set["chosen"]), (&json!("203.0.113.7"), &json!(true)));
    assert_eq!(ports(&w, id).await["address"], "203.0.113.7");
    let shown = page().await;
    assert!(
        shown.contains("ssh -p 12000 root@203.0.113.7")
            && shown.contains("203.0.113.7, ports 12000 to 12099")
    );
    w.admin.delete(&path).await.expect(204);
    assert_eq!(ports(&w, id).await["address"], Value::Null);
    w.admin
        .put("/admin/v1/hosts/987654321/address", json!({"address": "203.0.113.7"}))
        .await
        .refused(404, "not_found");

    w.admin.delete(&format!("{}/ports", pool(&w).await)).await.expect(204);
    assert_eq!(told(&host).await, (None, generation + 3));
    assert_eq!(ports(&w, id).await, Value::Null);
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn ports_stay_with_a_server_whatever_its_address() {
    let w = World::start().await;
    give(&w, "10000-10039", 20).await.expect(200);
    let a = w.running(&w.create("a").await).await;
    let b = w.running(&w.create("b").await).await;
    let of_b = ports(&w, b).await;
    let none = json!({"public_net": {"enable_ipv4": false}, "start_after_create": false});
    let c = ordered(&w, "c", none).await.expect(201);
    w.api.succeeded(&c["action"]).await;
    let c = id_of(&c);

    w.act(b, "poweroff", "stop_server").await;
    let server = w.api.get(&format!("/v1/servers/{b}")).await.expect(200)["server"].take();
    let ip = &server["public_net"]["ipv4"]["id"];
    let act = async |what: &str, body: Value| {
        w.api.post(&format!("/v1/primary_ips/{ip}/actions/{what}"), body).await
    };
    let action = act("unassign", json!({})).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
    assert_eq!(ports(&w, b).await, Value::Null);
    // Another server cannot have the address: the ports are for this one while it is there.
    let to = |id: i64| json!({"assignee_id": id, "assignee_type": "server"});
    act("assign", to(c)).await.refused(412, "resource_unavailable");
    let new = json!({"name": "x", "type": "ipv4", "assignee_type": "server", "assignee_id": c});
    w.api.post("/v1/primary_ips", new.clone()).await.refused(412, "resource_unavailable");
    let chosen = json!({"public_net": {"ipv4": ip}});
    ordered(&w, "d", chosen.clone()).await.refused(412, "resource_unavailable");
    let action = act("assign", to(b)).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
    assert_eq!(ports(&w, b).await, of_b);

    w.admin.patch(&pool(&w).await, json!({"quarantine_s": 0})).await.expect(200);
    w.delete(a).await;
    let made = w.api.post("/v1/primary_ips", new).await.expect(201);
    w.api.succeeded(&made["action"]).await;
    assert_eq!(ports(&w, c).await["first"], 10_000);
    w.finish().await;
}

#[tokio::test]
async fn impossible_ports_are_refused() {
    let w = World::start().await;
    for (text, per_vps, field) in [
        ("1000-2000", 20, "ports"),
        ("4000-5000", 20, "ports"),
        ("30000-33000", 20, "ports"),
        ("10000-", 20, "ports"),
        ("10000-10009", 20, "ports_per_vps"),
        ("10000-10009", 0, "ports_per_vps"),
        ("10000-10009", 70_000, "ports_per_vps"),
    ] {
        assert_eq!(give(&w, text, per_vps).await.wrong_fields(), [field], "{text}");
        let new = json!({"name": "x", "cidr": "10.9.0.0/24", "ports": text, "ports_per_vps": per_vps});
        assert_eq!(w.admin.post("/admin/v1/pools", new).await.wrong_fields(), [field], "{text}");
    }
    let forced = json!({"ports": "30000-33000", "force": true});
    let path = format!("{}/ports", pool(&w).await);
    assert_eq!(w.admin.put(&path, forced).await.expect(200)["pool"]["ports_per_vps"], 20);
    // Pools of one location share its hosts.
    let new = |cidr: &str, kind: &str, ports: &str| json!({"name": format!("{kind}{}", ports.len()), "cidr": cidr, "kind": kind, "ports": ports});
    for refused in [
        new("10.9.0.0/24", "nat", "29000-30000"),
        new("192.0.2.0/24", "routed", "10000-10100"),
        new("2001:db8::/48", "routed", "10000-10100"),
    ] {
        assert_eq!(
            w.admin.post("/admin/v1/pools", refused.clone()).await.wrong_fields(),
            ["ports"],
            "{refused}"
        );
    }
    let second = w.admin.post("/admin/v1/pools", new("10.9.0.0/24", "nat", "29000-29999")).await.expect(201);
    let path = format!("/admin/v1/pools/{}/ports", second["pool"]["id"]);
    let overlap = json!({"ports": "29000-30000", "force": true});
    assert_eq!(w.admin.put(&path, overlap).await.wrong_fields(), ["ports"]);
    w.admin
        .put("/admin/v1/pools/987654321/ports", json!({"ports": "20000-20100"}))
        .await
        .refused(404, "not_found");

    // More servers than there would be ranges.
    for name in ["a", "b"] {
        w.running(&w.create(name).await).await;
    }
    let of_two = w.scalar("select count(*) from port_ranges").await;
    give(&w, "20000-20019", 20).await.refused(412, "resource_unavailable");
    assert_eq!(w.scalar("select count(*) from port_ranges").await, of_two, "all is as it was");
    w.finish().await;
}
