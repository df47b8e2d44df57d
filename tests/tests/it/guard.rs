//! The operator's walls: isolation, blocked ports, the month's traffic; and resolvers.

use std::time::Duration;

use berth_proto::{BlockedPort, FirewallHits, FirewallProtocol, Hits, RuleHits, TrafficCount, VpsSpec};
use berth_server::db::ladder::{climb, climbers};
use berth_tests::raw_host::RawHost;
use berth_tests::wait::until;
use berth_tests::world::World;
use chrono::Utc;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(90);

async fn network(w: &World, id: i64) -> Value {
    w.api.get(&format!("/berth/v1/servers/{id}/network")).await.expect(200)
}

async fn kinds(w: &World, id: i64) -> Vec<String> {
    let answer = w.api.get(&format!("/berth/v1/servers/{id}/events?per_page=50")).await.expect(200);
    let kind = |event: &Value| event["kind"].as_str().expect("a kind").to_owned();
    answer["events"].as_array().expect("events").iter().map(kind).collect()
}

async fn page(w: &World, id: i64) -> String {
    let browser = super::dashboard::member(w).await;
    let project = w.scalar("select id from projects where name = 'mine'").await;
    browser.get(&format!("/projects/{project}/servers/{id}")).await.expect(200)
}

async fn plan(w: &World, name: &str) -> i64 {
    w.scalar(&format!("select id from plans where name = '{name}'")).await
}

/// A server of this plan on a host of the test's own.
async fn on_raw_host(w: &World, host: &mut RawHost, name: &str, plan: &str) -> i64 {
    let body = json!({"name": name, "server_type": plan, "image": w.image});
    let created = w.api.post("/v1/servers", body).await.expect(201);
    let id = created["server"]["id"].as_i64().expect("an id");
    host.runs(id, Utc::now(), |_| {}).await;
    w.api.succeeded(&created["action"]).await;
    id
}

/// The host counts so much more out of a server.
async fn sends(host: &mut RawHost, id: i64, epoch: &str, out_bytes: i64) {
    let count =
        TrafficCount { epoch: epoch.into(), in_bytes: 1 << 50, in_packets: 1, out_bytes, out_packets: 1 };
    host.runs(id, Utc::now(), |seen| seen.traffic = vec![count]).await;
}

/// What the background task does; it would come by itself.
async fn look(w: &World) {
    for climber in climbers(w.inventory()).await.expect("the database answers") {
        climb(w.app(), &climber).await.expect("the database answers");
    }
}

async fn told(w: &World, host: &RawHost, id: i64, what: &str, is: impl Fn(&VpsSpec) -> bool) -> VpsSpec {
    look(w).await;
    until(what, DEADLINE, async || {
        let spec = host.spec(id).await;
        if is(&spec) {
            Ok(spec)
        } else {
            Err(format!("{:?} {:?}", spec.net.guard, spec.limits.bandwidth_mbit))
        }
    })
    .await
}

#[tokio::test]
async fn an_isolated_server_is_told_to_its_host_and_its_tenant() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let path = format!("/admin/v1/servers/{id}/isolation");
    for bad in [json!({"reason": ""}), json!({"reason": "a\nb"}), json!({"reason": "x".repeat(501)})] {
        assert_eq!(w.admin.put(&path, bad).await.wrong_fields(), ["reason"]);
    }
    w.admin
        .put("/admin/v1/servers/987654321/isolation", json!({"reason": "x"}))
        .await
        .refused(404, "not_found");
    let isolated = w.admin.put(&path, json!({"reason": "sends <spam>"})).await.expect(200);
    assert_eq!((&isolated["isolated"], &isolated["reason"]), (&json!(true), &json!("sends <spam>")));
    w.admin.put(&path, json!({"reason": "sends <spam>"})).await.expect(200);
    let shown = network(&w, id).await;
    assert_eq!((&shown["isolated"], &shown["reason"]), (&json!(true), &json!("sends <spam>")));
    let server = w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"].take();
    assert_eq!(
        (&server["public_net"]["ipv4"]["blocked"], &server["status"]),
        (&json!(true), &json!("running"))
    );
    assert!(page(&w, id).await.contains("sends &#60;spam&#62;"));
    w.settled().await;
    let applied = format!("select (observed_generation = generation)::int::bigint from vps where id = {id}");
    until("the host to have it", DEADLINE, async || match w.scalar(&applied).await {
        1 => Ok(()),
        _ => Err("not yet".to_owned()),
    })
    .await;
    let released = w.admin.delete(&path).await.expect(200);
    assert_eq!((&released["isolated"], &released["reason"]), (&json!(false), &Value::Null));
    w.admin.delete(&path).await.expect(200);
    assert_eq!(kinds(&w, id).await, ["released", "isolated", "started"]);
    w.in_other_project().api.get(&format!("/berth/v1/servers/{id}/network")).await.refused(404, "not_found");
    w.finish().await;
}

#[tokio::test]
async fn policies_of_a_plan_hold_for_servers_that_run() {
    let w = World::builder().hosts(0).start().await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let id = on_raw_host(&w, &mut host, "web", &w.plan).await;
    let before = host.spec(id).await;
    assert_eq!(before.net.guard, berth_proto::Guard::default());
    let path = format!("/admin/v1/plans/{}/policy", plan(&w, &w.plan).await);
    let shown = w.admin.get(&path).await.expect(200);
    assert_eq!((&shown["over_traffic"], &shown["blocked_ports"]), (&json!("nothing"), &json!([])));
    for (field, bad) in [
        ("over_traffic", json!({"over_traffic": "explode"})),
        ("throttle_mbit", json!({"throttle_mbit": 0})),
        ("blocked_ports", json!({"blocked_ports": ["tcp/70000"]})),
    ] {
        assert_eq!(w.admin.patch(&path, bad).await.wrong_fields(), [field]);
    }
    let set = json!({"blocked_ports": ["udp/25", "tcp/25", "tcp/25"]});
    assert_eq!(
        w.admin.patch(&path, set.clone()).await.expect(200)["blocked_ports"],
        json!(["tcp/25", "udp/25"])
    );
    let spec = host.spec(id).await;
    let port = |protocol| BlockedPort { protocol, port: 25 };
    assert_eq!(spec.net.guard.blocked_ports, [port(FirewallProtocol::Tcp), port(FirewallProtocol::Udp)]);
    assert_eq!(spec.generation, before.generation + 1);
    w.admin.patch(&path, set).await.expect(200);
    w.admin.patch(&path, json!({"throttle_mbit": 5})).await.expect(200);
    assert_eq!(host.spec(id).await.generation, spec.generation, "nothing is told that has not changed");
    assert_eq!(network(&w, id).await["blocked_ports"], json!(["tcp/25", "udp/25"]));
    let later = on_raw_host(&w, &mut host, "later", &w.plan).await;
    assert_eq!(host.spec(later).await.net.guard.blocked_ports.len(), 2);
    w.admin.get("/admin/v1/plans/987654321/policy").await.refused(404, "not_found");
    w.finish_with_orphans().await;
}

fn metered(included: i64) -> Value {
    json!({"cpu_milli": 1000, "memory_bytes": 64 << 20, "disk_bytes": 1 << 30, "included_traffic": included,
           "bandwidth_mbit": 100, "price_hourly": "0.01", "price_monthly": "3"})
}

#[tokio::test]
async fn the_ladder_is_climbed_and_left_when_the_month_begins() {
    let w = World::builder().hosts(0).start().await;
    w.control.plan("metered", &metered(1000)).await;
    let path = format!("/admin/v1/plans/{}/policy", plan(&w, "metered").await);
    w.admin.patch(&path, json!({"over_traffic": "throttle", "throttle_mbit": 7})).await.expect(200);
    let mut host = RawHost::enrol(&w, "raw").await;
    let id = on_raw_host(&w, &mut host, "web", "metered").await;
    sends(&mut host, id, "a", 850).await;
    look(&w).await;
    until("the tenant to be told", DEADLINE, async || {
        match network(&w, id).await["traffic"]["percent"].as_i64() {
            Some(80) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(host.spec(id).await.limits.bandwidth_mbit, 100);
    sends(&mut host, id, "a", 1000).await;
    told(&w, &host, id, "the throttle", |spec| spec.limits.bandwidth_mbit == 7).await;
    let shown = network(&w, id).await;
    assert_eq!((&shown["bandwidth_mbit"], &shown["traffic"]["throttled_to_mbit"]), (&json!(7), &json!(7)));
    let limits = w.api.get(&format!("/berth/v1/servers/{id}/limits")).await.expect(200);
    assert_eq!(limits["limits"]["bandwidth_mbit"]["asked"], 100, "what is desired is kept");
    assert!(page(&w, id).await.contains("bandwidth is lowered to 7 Mbit/s"));

    w.admin.patch(&path, json!({"over_traffic": "suspend"})).await.expect(200);
    let spec = told(&w, &host, id, "the suspension", |spec| spec.net.guard.isolated).await;
    assert_eq!(spec.limits.bandwidth_mbit, 100);
    assert_eq!(network(&w, id).await["reason"], Value::Null);

    w.sql(&format!("update traffic set period = period - interval '1 month' where vps_id = {id}")).await;
    told(&w, &host, id, "a new month", |spec| !spec.net.guard.isolated).await;
    let all =
        ["traffic_restored", "traffic_suspended", "traffic_throttled", "traffic_reached", "traffic_reached"];
    let kinds: Vec<String> = kinds(&w, id).await.into_iter().filter(|k| k.starts_with("traffic")).collect();
    assert_eq!(kinds, all);
    sends(&mut host, id, "a", 1001).await;
    let months = w.api.get(&format!("/berth/v1/servers/{id}/traffic")).await.expect(200);
    let bytes: Vec<&Value> =
        months["months"].as_array().expect("months").iter().map(|m| &m["out_bytes"]).collect();
    assert_eq!(bytes, [&json!(1), &json!(1000)]);
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn a_pooled_project_is_one_account() {
    let w = World::builder().hosts(0).start().await;
    w.control.plan("metered", &metered(1000)).await;
    let path = format!("/admin/v1/plans/{}/policy", plan(&w, "metered").await);
    w.admin.patch(&path, json!({"over_traffic": "suspend"})).await.expect(200);
    let project = w.scalar("select id from projects where name = 'mine'").await;
    let pooled = format!("/admin/v1/projects/{project}/traffic");
    w.admin.put(&pooled, json!({"pooled": true})).await.expect(200);
    assert_eq!(w.admin.get(&pooled).await.expect(200)["pooled"], true);
    let mut host = RawHost::enrol(&w, "raw").await;
    let one = on_raw_host(&w, &mut host, "one", "metered").await;
    let two = on_raw_host(&w, &mut host, "two", "metered").await;
    sends(&mut host, one, "a", 1700).await;
    look(&w).await;
    for id in [one, two] {
        until("both to be told", DEADLINE, async || {
            match network(&w, id).await["traffic"]["percent"].as_i64() {
                Some(80) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        assert!(!host.spec(id).await.net.guard.isolated, "1700 of 2000");
    }
    sends(&mut host, two, "b", 300).await;
    for id in [one, two] {
        told(&w, &host, id, "the suspension", |spec| spec.net.guard.isolated).await;
    }
    w.admin.put(&pooled, json!({"pooled": false})).await.expect(200);
    told(&w, &host, two, "an account of its own", |spec| !spec.net.guard.isolated).await;
    assert!(host.spec(one).await.net.guard.isolated);
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn settings_of_traffic_and_resolvers() {
    let w = World::start().await;
    assert_eq!(w.admin.get("/admin/v1/traffic").await.expect(200), json!({"reset_day": 1}));
    for bad in [0, 29, -1] {
        assert_eq!(
            w.admin.put("/admin/v1/traffic", json!({"reset_day": bad})).await.wrong_fields(),
            ["reset_day"]
        );
    }
    assert_eq!(w.admin.put("/admin/v1/traffic", json!({"reset_day": 15})).await.expect(200)["reset_day"], 15);
    let location = w
        .scalar("select location_id from datacenters d join hosts h on h.datacenter_id = d.id limit 1")
        .await;
    let path = format!("/admin/v1/locations/{location}/resolvers");
    let wanted = json!({"resolvers": ["192.0.2.53", "2001:db8::53"]});
    assert_eq!(w.admin.put(&path, wanted.clone()).await.expect(200), wanted);
    assert_eq!(w.admin.get(&path).await.expect(200), wanted);
    until("the host to be told", DEADLINE, async || {
        let settings = w.host_settings(0);
        if settings.is_some_and(|s| {
            s.resolvers.len() == 2 && !s.region.is_empty() && !s.availability_zone.is_empty()
        }) {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    let many = json!({"resolvers": ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]});
    assert_eq!(w.admin.put(&path, many).await.wrong_fields(), ["resolvers"]);
    w.admin.put("/admin/v1/locations/987654321/resolvers", wanted).await.refused(404, "not_found");
    w.finish().await;
}

#[tokio::test]
async fn hits_of_rules_are_told_and_other_rules_are_tried() {
    let w = World::builder().hosts(0).start().await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let id = on_raw_host(&w, &mut host, "web", &w.plan).await;
    let rule = |direction: &str, port: &str| match direction {
        "in" => json!({"direction": "in", "protocol": "tcp", "port": port, "source_ips": ["0.0.0.0/0"]}),
        _ => json!({"direction": "out", "protocol": "udp", "port": port, "destination_ips": ["0.0.0.0/0"]}),
    };
    let create = async |name: &str, rules: Value| {
        let to = json!([{"type": "server", "server": {"id": id}}]);
        let made = w.api.post("/v1/firewalls", json!({"name": name, "rules": rules, "apply_to": to})).await;
        made.expect(201)["firewall"]["id"].as_i64().expect("an id")
    };
    let one = create("one", json!([rule("in", "22"), rule("out", "53")])).await;
    let two = create("two", json!([rule("in", "80"), rule("in", "22")])).await;
    let hits = async |firewall: i64| {
        let answer = w.api.get(&format!("/berth/v1/firewalls/{firewall}/hits")).await.expect(200);
        answer["hits"][0].clone()
    };
    host.runs(id, Utc::now(), |_| {}).await;
    assert_eq!(
        hits(one).await,
        json!({"server": id, "rules": null, "dropped_in": null, "dropped_out": null, "private": null})
    );
    let hit = |rule, packets| RuleHits { rule, hits: Hits { packets, bytes: packets * 60 } };
    let told = FirewallHits {
        inbound: vec![hit(0, 5), hit(1, 7)],
        outbound: vec![hit(0, 9)],
        dropped_in: Hits { packets: 3, bytes: 180 },
        dropped_out: Hits { packets: i64::MAX, bytes: -4 },
    };
    host.runs(id, Utc::now(), |seen| seen.hits = Some(told.clone())).await;
    let count = |packets: i64| json!({"packets": packets, "bytes": packets * 60});
    assert_eq!(hits(one).await["rules"], json!([count(5), count(9)]));
    let shown = hits(two).await;
    assert_eq!(shown["rules"], json!([count(7), count(5)]), "a rule of both is told at both");
    assert_eq!(shown["dropped_in"], json!({"packets": 3, "bytes": 180}));

    let path = format!("/berth/v1/firewalls/{one}/actions/set_rules");
    let wanted = json!({"rules": [rule("in", "80"), rule("in", "443")]});
    assert_eq!(w.api.post(&path, wanted.clone()).await.wrong_fields(), ["dry_run"]);
    let path = format!("{path}?dry_run=true");
    let tried = w.api.post(&path, wanted).await.expect(200);
    let ports = |list: &Value| {
        let port = |rule: &Value| {
            format!("{} {}", rule["direction"].as_str().unwrap(), rule["port"].as_str().unwrap())
        };
        list.as_array().expect("rules").iter().map(port).collect::<Vec<_>>()
    };
    assert_eq!(tried["changes"][0]["server"], id);
    assert_eq!(ports(&tried["changes"][0]["added"]), ["in 443"], "80 is let in by the other");
    assert_eq!(ports(&tried["changes"][0]["removed"]), ["out 53"], "22 is let in by the other");
    let same = w.api.post(&path, json!({"rules": [rule("out", "53"), rule("in", "22")]})).await.expect(200);
    assert_eq!(same["changes"], json!([]));
    assert_eq!(w.api.post(&path, json!({"rules": [rule("in", "0")]})).await.wrong_fields(), ["rules.0.port"]);
    let kept = w.api.get(&format!("/v1/firewalls/{one}")).await.expect(200);
    assert_eq!(kept["firewall"]["rules"][1]["port"], "53", "nothing was changed");
    assert_eq!(hits(one).await["rules"], json!([count(5), count(9)]));

    // rules that are others are not those that were counted
    let set = json!({"rules": [rule("in", "443")]});
    w.api.post(&format!("/v1/firewalls/{one}/actions/set_rules"), set).await.expect(201);
    let old = host.spec(id).await.generation - 1;
    host.runs(id, Utc::now(), |seen| (seen.generation, seen.hits) = (old, Some(told))).await;
    assert_eq!(hits(one).await["rules"], Value::Null);
    w.in_other_project().api.get(&format!("/berth/v1/firewalls/{one}/hits")).await.refused(404, "not_found");

    // in private networks, for the firewall that holds there
    w.api.put(&format!("/berth/v1/firewalls/{one}"), json!({"private": true})).await.expect(200);
    let told = FirewallHits { inbound: vec![hit(0, 4)], ..FirewallHits::default() };
    host.runs(id, Utc::now(), |seen| seen.private_hits = Some(told.clone())).await;
    let shown = hits(one).await;
    assert_eq!((&shown["private"]["rules"], &shown["rules"]), (&json!([count(4)]), &Value::Null));
    assert_eq!(hits(two).await["private"], Value::Null);
    host.runs(id, Utc::now(), |_| {}).await;
    w.finish_with_orphans().await;
}
