//! How public addresses reach hosts: kinds of pools, BGP, and how moves of floating IPs end.

use std::time::Duration;

use berth_agent::plan::Effect;
use berth_proto::VpsFault;
use berth_tests::wait::until;
use berth_tests::world::World;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

/// Replaces the world's pool by one of this kind.
async fn pool(w: &World, kind: &str) -> Value {
    let all = w.admin.get("/admin/v1/pools").await.expect(200)["pools"].take();
    for pool in all.as_array().expect("pools") {
        w.admin.delete(&format!("/admin/v1/pools/{}", pool["id"])).await.expect(204);
    }
    let new = json!({"name": "public", "cidr": "192.0.2.0/24", "kind": kind});
    w.admin.post("/admin/v1/pools", new).await.expect(201)["pool"].take()
}

/// A server on each of two hosts, and a floating IP of the first.
async fn two_and_one(w: &World) -> (i64, i64, Value) {
    w.cordon(1, true).await;
    let a = w.running(&w.create("a").await).await;
    w.cordon(1, false).await;
    w.cordon(0, true).await;
    let b = w.running(&w.create("b").await).await;
    let made = w.api.post("/v1/floating_ips", json!({"type": "ipv4", "server": a})).await.expect(201);
    w.api.succeeded(&made["action"]).await;
    (a, b, made["floating_ip"].clone())
}

async fn assign(w: &World, ip: &Value, server: i64) -> Value {
    let path = format!("/v1/floating_ips/{}/actions/assign", ip["id"]);
    w.api.post(&path, json!({"server": server})).await.expect(201)["action"].take()
}

#[tokio::test]
async fn hosts_are_told_which_pools_to_answer_for_and_whom_to_announce_to() {
    let w = World::start().await;
    let told = async |what: &str, is: fn(&berth_proto::Gateways) -> bool| {
        until(what, DEADLINE, async || {
            let gateways = w.host_settings(0).map(|settings| settings.gateways).unwrap_or_default();
            if is(&gateways) { Ok(()) } else { Err(format!("{gateways:?}")) }
        })
        .await;
    };
    assert_eq!(pool(&w, "proxy_arp").await["kind"], "proxy_arp");
    told("the pool to be answered for", |g| g.proxied.len() == 1 && g.announced.is_empty()).await;
    assert_eq!(pool(&w, "bgp").await["kind"], "bgp");
    told("the pool to be announced", |g| g.proxied.is_empty() && g.announced.len() == 1).await;
    let odd = json!({"name": "odd", "cidr": "198.51.100.0/24", "kind": "pigeons"});
    assert_eq!(w.admin.post("/admin/v1/pools", odd).await.wrong_fields(), ["kind"]);

    let hosts = w.admin.get("/admin/v1/hosts").await.expect(200);
    let path = format!("/admin/v1/hosts/{}/bgp", hosts["hosts"][0]["id"]);
    assert_eq!(w.admin.get(&path).await.expect(200)["bgp"], Value::Null);
    let good = json!({"asn": 64512, "neighbours": [{"address": "192.0.2.1", "asn": 64500}]});
    for (key, bad) in [
        ("asn", json!(0)),
        ("asn", json!("64512")),
        ("router_id", json!("2001:db8::1")),
        ("neighbours", json!([])),
        ("neighbours", json!([{"address": "127.0.0.1", "asn": 64500}])),
    ] {
        let mut body = good.clone();
        body[key] = bad;
        assert_eq!(w.admin.put(&path, body.clone()).await.wrong_fields(), [key], "{body}");
    }
    let set = w.admin.put(&path, good).await.expect(200);
    assert_eq!(set["bgp"]["neighbours"][0]["address"], "192.0.2.1");
    told("the routers", |g| g.bgp.as_ref().is_some_and(|bgp| bgp.neighbours.len() == 1)).await;
    w.admin.delete(&path).await.expect(204);
    told("nobody", |g| g.bgp.is_none()).await;
    w.admin.get("/admin/v1/hosts/987654321/bgp").await.refused(404, "not_found");
    w.finish().await;
}

/// While both hosts answered, somebody may have believed the old one last.
#[tokio::test]
async fn neighbours_are_told_again_when_the_old_host_has_let_go() {
    let w = World::builder().hosts(2).start().await;
    pool(&w, "proxy_arp").await;
    let (_, b, ip) = two_and_one(&w).await;
    let epoch = async || w.scalar(&format!("select announce_epoch from vps where id = {b}")).await;
    assert_eq!(epoch().await, 0);
    let action = assign(&w, &ip, b).await;
    w.api.succeeded(&action).await;
    assert_eq!(epoch().await, 1);
    let done = format!(
        "select count(*) from vps v join actions a on a.vps_id = v.id
         where a.id = {} and v.observed_generation >= a.generation and v.generation = a.generation",
        action["id"]
    );
    assert_eq!(w.scalar(&done).await, 1, "the action has waited for that");
    w.finish().await;
}

/// A fault says nothing of where packets go; the host does.
#[tokio::test]
async fn a_move_ends_when_a_broken_server_has_no_interface_any_more() {
    let w = World::builder().hosts(2).start().await;
    let (a, b, ip) = two_and_one(&w).await;
    w.fail_next(0, Effect::Apply, VpsFault::terminal("network_failed", "the kernel refuses"));
    let action = assign(&w, &ip, b).await;
    until("both hosts to have answered", DEADLINE, async || {
        let answered = format!(
            "select count(*) from vps where id in ({a}, {b}) and observed_generation = generation
             and (observed_fault is null) = (id = {b})"
        );
        if w.scalar(&answered).await == 2 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let stuck = "select count(*) from address_releases r join vps v on v.id = r.vps_id
                 where v.observed_routed ? host(r.ip)";
    assert_eq!(w.scalar(stuck).await, 1, "the address leads to the old one still, and its host says so");
    let path = format!("/v1/actions/{}", action["id"]);
    assert_eq!(w.api.get(&path).await.expect(200)["action"]["status"], "running");

    w.lose_disk(a);
    w.api.succeeded(&action).await;
    let fault =
        format!("select count(*) from vps where id = {a} and observed_fault->>'code' = 'disk_missing'");
    assert_eq!(w.scalar(&fault).await, 1);
    w.delete(a).await;
    w.finish().await;
}
