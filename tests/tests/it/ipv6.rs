//! Public IPv6: prefixes of which each server gets a /64.

use std::collections::HashSet;

use berth_tests::client::Answer;
use berth_tests::raw_host::RawHost;
use berth_tests::world::World;
use chrono::Utc;
use serde_json::{Value, json};

async fn pool(w: &World, cidr: &str) -> Value {
    let body = json!({"name": "six", "cidr": cidr});
    w.admin.post("/admin/v1/pools", body).await.expect(201)["pool"].take()
}

fn order(w: &World, name: &str, public_net: &Value) -> Value {
    json!({"name": name, "server_type": w.plan, "image": w.image, "public_net": public_net})
}

async fn ordered(w: &World, name: &str, public_net: Value) -> Answer {
    w.api.post("/v1/servers", order(w, name, &public_net)).await
}

async fn reserve(w: &World, name: &str) -> Answer {
    let body = json!({"name": name, "type": "ipv6", "assignee_type": "server", "location": w.location});
    w.api.post("/v1/primary_ips", body).await
}

async fn act(w: &World, primary_ip: &Value, what: &str, body: Value) -> Answer {
    w.api.post(&format!("/v1/primary_ips/{}/actions/{what}", primary_ip["id"]), body).await
}

async fn public_net(w: &World, id: i64) -> Value {
    w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"]["public_net"].take()
}

fn id_of(created: &Value) -> i64 {
    created["server"]["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn a_server_gets_a_prefix_where_there_are_any() {
    let w = World::builder().room_for(8).start().await;
    // Without a pool: what clients send by default changes nothing, and whoever asks is told.
    for (name, net) in [("a", json!({})), ("b", json!({"enable_ipv4": true, "enable_ipv6": true}))] {
        let made = ordered(&w, name, net).await.expect(201);
        assert_eq!(made["server"]["public_net"]["ipv6"], Value::Null);
        w.running(&made).await;
    }
    for net in [json!({"enable_ipv6": true}), json!({"enable_ipv4": false, "enable_ipv6": true})] {
        ordered(&w, "c", net).await.refused(412, "resource_unavailable");
    }
    reserve(&w, "none").await.refused(412, "resource_unavailable");

    let made = pool(&w, "2001:db8::/48").await;
    let shape = |pool: &Value| (pool["kind"].clone(), pool["addresses"].clone(), pool["used"].clone());
    assert_eq!(shape(&made), (json!("routed"), json!(65_535), json!(0)));
    let created = ordered(&w, "d", json!({})).await.expect(201);
    let ipv6 = &created["server"]["public_net"]["ipv6"];
    assert_eq!((&ipv6["ip"], &ipv6["blocked"]), (&json!("2001:db8:0:1::/64"), &json!(false)));
    assert_eq!(ipv6["dns_ptr"], json!([]));
    let id = w.running(&created).await;
    let own = w.api.get(&format!("/v1/primary_ips/{}", ipv6["id"])).await.expect(200)["primary_ip"].take();
    assert_eq!(
        (&own["type"], &own["ip"], &own["assignee_id"], &own["auto_delete"]),
        (&json!("ipv6"), &ipv6["ip"], &json!(id), &json!(true))
    );
    for ip in ["2001:db8:0:1::", "2001:db8:0:1::/64", "2001:db8:0:1::1"] {
        let found = w.api.get(&format!("/v1/primary_ips?ip={ip}")).await.expect(200);
        assert_eq!(found["primary_ips"][0]["id"], own["id"], "{ip}");
    }
    // Six only, and four only.
    let six = ordered(&w, "e", json!({"enable_ipv4": false, "enable_ipv6": true})).await.expect(201);
    assert_eq!(six["server"]["public_net"]["ipv4"], Value::Null);
    assert_eq!(six["server"]["public_net"]["ipv6"]["ip"], "2001:db8:0:2::/64");
    w.running(&six).await;
    let four = ordered(&w, "f", json!({"enable_ipv6": false})).await.expect(201);
    assert_eq!(four["server"]["public_net"]["ipv6"], Value::Null);
    w.running(&four).await;
    assert_eq!(w.scalar("select count(*) from addresses where family(ip) = 6").await, 256, "not all at once");

    w.delete(id).await;
    w.api.get(&format!("/v1/primary_ips/{}", own["id"])).await.refused(404, "not_found");
    let pools = w.admin.get("/admin/v1/pools").await.expect(200);
    let six = pools["pools"].as_array().expect("a list").iter().find(|p| p["name"] == "six").expect("it");
    assert_eq!((&six["used"], &six["resting"]), (&json!(1), &json!(1)));
    // A complaint names an address, and not its prefix.
    let path = "/admin/v1/addresses/holders?ip=2001:db8:0:1:dead::beef";
    let holders = w.admin.get(path).await.expect(200);
    let holder = &holders["holders"][0];
    assert_eq!((&holder["ip"], &holder["vps"]), (&json!("2001:db8:0:1::/64"), &json!("d")));
    w.finish().await;
}

#[tokio::test]
async fn the_host_is_told_the_prefix() {
    let w = World::builder().hosts(0).start().await;
    pool(&w, "2001:db8:7::/64").await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let created = ordered(&w, "web", json!({})).await.expect(201);
    let id = id_of(&created);
    let spec = host.spec(id).await;
    assert_eq!(spec.net.ipv6.map(|net| net.to_string()).as_deref(), Some("2001:db8:7::/64"));
    assert!(spec.net.ipv4.is_some());
    assert_eq!(host.watch("").await.settings.expect("settings").nat_pools.len(), 1, "of IPv4 only");
    host.runs(id, Utc::now(), |_| {}).await;
    w.api.succeeded(&created["action"]).await;
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn it_is_chosen_assigned_and_taken_away_as_one_of_ipv4() {
    let w = World::builder().room_for(4).start().await;
    pool(&w, "2001:db8::/48").await;
    let kept = reserve(&w, "kept").await.expect(201)["primary_ip"].take();
    assert_eq!((&kept["type"], &kept["assignee_id"]), (&json!("ipv6"), &Value::Null));
    let wrong = json!({"ipv4": kept["id"]});
    ordered(&w, "a", wrong).await.refused(422, "primary_ip_version_mismatch");
    let contradiction = json!({"ipv6": kept["id"], "enable_ipv6": false});
    assert_eq!(ordered(&w, "a", contradiction).await.wrong_fields(), ["public_net.ipv6"]);
    assert_eq!(ordered(&w, "a", json!({"ipv6": 987_654})).await.wrong_fields(), ["public_net.ipv6"]);
    let theirs = order(&w, "a", &json!({"ipv6": kept["id"]}));
    let other = w.in_other_project();
    assert_eq!(other.api.post("/v1/servers", theirs).await.wrong_fields(), ["public_net.ipv6"]);

    let a = w.running(&ordered(&w, "a", json!({"ipv6": kept["id"]})).await.expect(201)).await;
    assert_eq!(public_net(&w, a).await["ipv6"]["id"], kept["id"]);
    ordered(&w, "b", json!({"ipv6": kept["id"]})).await.refused(422, "primary_ip_assigned");
    let b = w.running(&ordered(&w, "b", json!({})).await.expect(201)).await;
    act(&w, &kept, "unassign", json!({})).await.refused(422, "server_not_stopped");
    w.act(a, "poweroff", "stop_server").await;
    w.act(b, "poweroff", "stop_server").await;
    let to = json!({"assignee_id": b, "assignee_type": "server"});
    act(&w, &kept, "assign", to.clone()).await.refused(422, "server_has_ipv6");
    let own = public_net(&w, b).await["ipv6"].take();
    for (primary_ip, server) in [(&own, b), (&kept, a)] {
        let action = act(&w, primary_ip, "unassign", json!({})).await.expect(201)["action"].take();
        w.api.succeeded(&action).await;
        let now = public_net(&w, server).await;
        assert!(now["ipv6"].is_null() && now["ipv4"].is_object(), "{now}");
    }
    let action = act(&w, &kept, "assign", to).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
    assert_eq!(public_net(&w, b).await["ipv6"]["id"], kept["id"]);
    w.delete(b).await;
    w.delete(a).await;
    for primary_ip in [&kept, &own] {
        w.api.delete(&format!("/v1/primary_ips/{}", primary_ip["id"])).await.expect(204);
    }
    w.finish().await;
}

#[tokio::test]
async fn impossible_pools_are_refused_and_used_ones_stay() {
    let w = World::start().await;
    for (cidr, kind, field) in [
        ("2001:db8::/65", None, "cidr"),
        ("2000::/31", None, "cidr"),
        ("2001:db8::1/64", None, "cidr"),
        ("fe80::/64", None, "cidr"),
        ("2001:db8::/64 or so", None, "cidr"),
        ("2001:db8::/64", Some("nat"), "kind"),
    ] {
        let mut body = json!({"name": "x", "cidr": cidr});
        if let Some(kind) = kind {
            body["kind"] = json!(kind);
        }
        assert_eq!(w.admin.post("/admin/v1/pools", body).await.wrong_fields(), [field], "{cidr}");
    }
    for (n, kind) in ["routed", "proxy_arp", "bgp"].iter().enumerate() {
        let body =
            json!({"name": kind.replace('_', "-"), "cidr": format!("2001:db8:f{n}::/48"), "kind": kind});
        let made = w.admin.post("/admin/v1/pools", body).await.expect(201)["pool"].take();
        assert_eq!(made["kind"], **kind);
        w.admin.delete(&format!("/admin/v1/pools/{}", made["id"])).await.expect(204);
    }
    let six = pool(&w, "2001:db8::/48").await;
    let overlap = json!({"name": "y", "cidr": "2001:db8:0:ff00::/56"});
    assert_eq!(w.admin.post("/admin/v1/pools", overlap).await.wrong_fields(), ["cidr"]);
    let kept = reserve(&w, "kept").await.expect(201)["primary_ip"].take();
    let path = format!("/admin/v1/pools/{}", six["id"]);
    w.admin.delete(&path).await.refused(422, "resource_in_use");
    w.api.delete(&format!("/v1/primary_ips/{}", kept["id"])).await.expect(204);
    w.admin.delete(&path).await.expect(204);
    assert_eq!(w.scalar("select count(*) from addresses where family(ip) = 6").await, 0);
    w.finish().await;
}

/// A pool of 3 prefixes, and ten who want one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_pool_is_given_out_once_and_prefixes_rest() {
    let w = World::builder().room_for(20).start().await;
    let six = pool(&w, "2001:db8:0:4::/62").await;
    let creates = (0..10).map(|n| {
        let w = &w;
        async move { ordered(w, &format!("s{n}"), json!({})).await }
    });
    let answers = futures_util::future::join_all(creates).await;
    let mut prefixes = HashSet::new();
    for answer in &answers {
        if answer.status == 201 {
            let ip = answer.body["server"]["public_net"]["ipv6"]["ip"].as_str().expect("a prefix");
            assert!(prefixes.insert(ip.to_owned()), "{ip} twice");
        } else {
            assert_eq!((answer.status, &answer.body["error"]["code"]), (412, &json!("resource_unavailable")));
        }
    }
    let all = ["2001:db8:0:5::/64", "2001:db8:0:6::/64", "2001:db8:0:7::/64"];
    assert_eq!(prefixes, HashSet::from(all.map(str::to_owned)), "all that there are, and no more");
    w.settled().await;
    reserve(&w, "more").await.refused(412, "resource_unavailable");
    w.running(&ordered(&w, "four", json!({"enable_ipv6": false})).await.expect(201)).await;

    let first = answers.iter().find(|answer| answer.status == 201).expect("one was made");
    w.delete(id_of(&first.body)).await;
    reserve(&w, "more").await.refused(412, "resource_unavailable");
    let path = format!("/admin/v1/pools/{}", six["id"]);
    w.admin.patch(&path, json!({"quarantine_s": 0})).await.expect(200);
    let next = reserve(&w, "more").await.expect(201);
    assert_eq!(next["primary_ip"]["ip"], first.body["server"]["public_net"]["ipv6"]["ip"]);
    w.finish().await;
}

/// Rows are made while many wait for them; each /64 goes to one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_make_rows_together() {
    let w = World::start().await;
    pool(&w, "2001:db8::/48").await;
    let mut seen = HashSet::new();
    for round in 0..10 {
        let wanted = (0..30).map(|n| {
            let w = &w;
            async move { reserve(w, &format!("r{round}-{n}")).await.expect(201) }
        });
        for made in futures_util::future::join_all(wanted).await {
            let ip = made["primary_ip"]["ip"].as_str().expect("a prefix").to_owned();
            assert!(seen.insert(ip.clone()), "{ip} twice");
        }
    }
    assert_eq!(seen.len(), 300);
    let rows = w.scalar("select count(*) from addresses where family(ip) = 6").await;
    assert_eq!(rows, 512);
    w.finish().await;
}
