//! Primary IPs of the hcloud API: who has an address, what becomes of it, and who had it before.

use berth_tests::client::Answer;
use berth_tests::world::World;
use serde_json::{Value, json};

async fn create(w: &World, name: &str, more: Value) -> Answer {
    let mut body = json!({"name": name, "type": "ipv4", "assignee_type": "server"});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    w.api.post("/v1/primary_ips", body).await
}

async fn reserved(w: &World, name: &str) -> Value {
    create(w, name, json!({"location": w.location})).await.expect(201)["primary_ip"].take()
}

async fn act(w: &World, primary_ip: &Value, what: &str, body: Value) -> Answer {
    w.api.post(&format!("/v1/primary_ips/{}/actions/{what}", primary_ip["id"]), body).await
}

async fn shown(w: &World, primary_ip: &Value) -> Value {
    w.api.get(&format!("/v1/primary_ips/{}", primary_ip["id"])).await.expect(200)["primary_ip"].take()
}

fn to(id: i64) -> Value {
    json!({"assignee_id": id, "assignee_type": "server"})
}

fn order(w: &World, name: &str, public_net: &Value) -> Value {
    json!({"name": name, "server_type": w.plan, "image": w.image, "public_net": public_net})
}

async fn holders(w: &World, ip: &Value, at: &str) -> Vec<Value> {
    let ip = ip.as_str().expect("an address");
    let path = format!("/admin/v1/addresses/holders?ip={ip}{at}");
    w.admin.get(&path).await.expect(200)["holders"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_server_gets_one_of_its_own_that_goes_with_it() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let ipv4 =
        w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"]["public_net"]["ipv4"].take();
    let own = shown(&w, &ipv4).await;
    assert_eq!((&own["ip"], &own["assignee_id"]), (&ipv4["ip"], &json!(id)));
    assert_eq!(
        (&own["auto_delete"], &own["name"]),
        (&json!(true), &json!(format!("primary_ip-{}", own["id"])))
    );
    w.api.delete(&format!("/v1/primary_ips/{}", own["id"])).await.refused(422, "resource_in_use");
    act(&w, &own, "unassign", json!({})).await.refused(422, "server_not_stopped");
    w.delete(id).await;
    assert_eq!(w.api.get("/v1/primary_ips").await.expect(200)["primary_ips"], json!([]));
    w.finish().await;
}

#[tokio::test]
async fn one_that_was_reserved_is_chosen_moved_and_outlives_its_servers() {
    let w = World::start().await;
    let kept = reserved(&w, "front").await;
    assert_eq!((&kept["assignee_id"], &kept["auto_delete"]), (&Value::Null, &json!(false)));
    let chosen = json!({"ipv4": kept["id"], "enable_ipv4": true});
    let a = w.api.post("/v1/servers", order(&w, "a", &chosen)).await.expect(201);
    assert_eq!(a["server"]["public_net"]["ipv4"]["ip"], kept["ip"]);
    let a = w.running(&a).await;
    w.api.post("/v1/servers", order(&w, "b", &chosen)).await.refused(422, "primary_ip_assigned");
    let b = w.running(&w.create("b").await).await;

    // To the other server, both off, which must have none.
    act(&w, &kept, "unassign", json!({})).await.refused(422, "server_not_stopped");
    w.act(a, "poweroff", "stop_server").await;
    act(&w, &kept, "assign", to(b)).await.refused(422, "server_not_stopped");
    w.act(b, "poweroff", "stop_server").await;
    act(&w, &kept, "assign", to(b)).await.refused(422, "server_has_ipv4");
    let own = w.api.get(&format!("/v1/servers/{b}")).await.expect(200)["server"]["public_net"]["ipv4"].take();
    for (primary_ip, server) in [(&own, b), (&kept, a)] {
        let action = act(&w, primary_ip, "unassign", json!({})).await.expect(201)["action"].take();
        assert_eq!(action["command"], "unassign_primary_ip");
        w.api.succeeded(&action).await;
        let server = w.api.get(&format!("/v1/servers/{server}")).await.expect(200);
        assert_eq!(server["server"]["public_net"]["ipv4"], Value::Null);
    }
    assert_eq!(act(&w, &kept, "unassign", json!({})).await.wrong_fields(), ["id"]);
    let action = act(&w, &kept, "assign", to(b)).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
    act(&w, &kept, "assign", to(a)).await.refused(422, "primary_ip_already_assigned");
    w.act(b, "poweron", "start_server").await;
    let spec = w.api.get(&format!("/v1/servers/{b}")).await.expect(200);
    assert_eq!(spec["server"]["public_net"]["ipv4"]["id"], kept["id"]);
    let actions = w.api.get(&format!("/v1/primary_ips/{}/actions", kept["id"])).await.expect(200);
    let commands: Vec<_> =
        actions["actions"].as_array().expect("a list").iter().map(|a| &a["command"]).collect();
    assert_eq!(commands, ["unassign_primary_ip", "assign_primary_ip"]);

    w.delete(b).await;
    assert_eq!(shown(&w, &kept).await["assignee_id"], Value::Null, "it stays with the project");
    w.delete(a).await;
    for primary_ip in [&kept, &own] {
        w.api.delete(&format!("/v1/primary_ips/{}", primary_ip["id"])).await.expect(204);
    }
    // The whole story, newest first: held, b, held, a, held.
    let story = holders(&w, &kept["ip"], "").await;
    let who: Vec<_> = story.iter().map(|h| h["vps_id"].clone()).collect();
    assert_eq!(who, [Value::Null, json!(b), Value::Null, json!(a), Value::Null]);
    assert!(story.iter().all(|h| h["until_at"].is_string()), "it is over: {story:?}");
    w.finish().await;
}

#[tokio::test]
async fn it_is_made_for_a_server_that_is_off() {
    let w = World::start().await;
    let none = json!({"enable_ipv4": false, "enable_ipv6": false});
    let id = w.running(&w.api.post("/v1/servers", order(&w, "bare", &none)).await.expect(201)).await;
    create(&w, "late", to(id)).await.refused(422, "server_not_stopped");
    w.act(id, "poweroff", "stop_server").await;
    let made = create(&w, "late", to(id)).await.expect(201);
    w.api.succeeded(&made["action"]).await;
    assert_eq!(made["primary_ip"]["assignee_id"], id);
    create(&w, "second", to(id)).await.refused(422, "server_has_ipv4");
    let protect =
        act(&w, &made["primary_ip"], "change_protection", json!({"delete": true})).await.expect(201);
    assert_eq!(protect["action"]["status"], "success");
    let change = json!({"name": "renamed", "labels": {"a": "b"}, "auto_delete": true});
    let path = format!("/v1/primary_ips/{}", made["primary_ip"]["id"]);
    let changed = w.api.put(&path, change).await.expect(200);
    assert_eq!(
        (&changed["primary_ip"]["name"], &changed["primary_ip"]["auto_delete"]),
        (&json!("renamed"), &json!(true))
    );
    let ip = made["primary_ip"]["ip"].as_str().expect("an address");
    for query in ["name=renamed".into(), format!("ip={ip}"), "label_selector=a%3Db".into()] {
        let found = w.api.get(&format!("/v1/primary_ips?{query}")).await.expect(200);
        assert_eq!(found["primary_ips"].as_array().map(Vec::len), Some(1), "{query}");
    }
    // Protected it stays although it would go with its server.
    w.delete(id).await;
    w.api.delete(&path).await.refused(423, "protected");
    act(&w, &made["primary_ip"], "change_protection", json!({"delete": false})).await.expect(201);
    w.api.delete(&path).await.expect(204);
    w.finish().await;
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field_and_others_see_nothing() {
    let w = World::start().await;
    let mine = reserved(&w, "mine").await;
    for (body, field) in [
        (json!({"location": "nowhere"}), "location"),
        (json!({}), "location"),
        (json!({"datacenter": "nowhere"}), "datacenter"),
        (json!({"location": w.location, "datacenter": "local-dc1"}), "location"),
        (json!({"location": w.location, "type": "ipv5"}), "type"),
        (json!({"location": w.location, "assignee_type": "load_balancer"}), "assignee_type"),
        (json!({"location": w.location, "name": "primary_ip-7"}), "name"),
        (json!({"location": w.location, "labels": {"-": "x"}}), "labels"),
        (json!({"assignee_id": 987_654}), "assignee_id"),
    ] {
        assert_eq!(create(&w, "x", body.clone()).await.wrong_fields(), [field], "{body}");
    }
    create(&w, "mine", json!({"location": w.location})).await.refused(409, "uniqueness_error");
    assert_eq!(act(&w, &mine, "assign", to(987_654)).await.wrong_fields(), ["assignee_id"]);
    let contradiction = json!({"ipv4": mine["id"], "enable_ipv4": false});
    let answer = w.api.post("/v1/servers", order(&w, "x", &contradiction)).await;
    assert_eq!(answer.wrong_fields(), ["public_net.ipv4"]);

    let other = w.in_other_project();
    let path = format!("/v1/primary_ips/{}", mine["id"]);
    other.api.get(&path).await.refused(404, "not_found");
    other.api.delete(&path).await.refused(404, "not_found");
    other.api.post(&format!("{path}/actions/unassign"), json!({})).await.refused(404, "not_found");
    let theirs = order(&w, "x", &json!({"ipv4": mine["id"]}));
    assert_eq!(other.api.post("/v1/servers", theirs).await.wrong_fields(), ["public_net.ipv4"]);
    assert_eq!(other.api.get("/v1/primary_ips").await.expect(200)["primary_ips"], json!([]));

    // Another location has other addresses, and no host.
    w.admin.post("/admin/v1/locations", json!({"name": "far"})).await.expect(201);
    let mut far = order(&w, "x", &json!({"ipv4": mine["id"]}));
    far["location"] = json!("far");
    w.api.post("/v1/servers", far).await.refused(422, "primary_ip_datacenter_mismatch");
    create(&w, "far", json!({"location": "far"})).await.refused(412, "resource_unavailable");
    w.holds_nothing().await;
    w.api.delete(&path).await.expect(204);
    w.finish().await;
}

#[tokio::test]
async fn what_was_given_back_rests_and_the_longest_rested_goes_first() {
    let w = World::builder().pool("10.77.0.0/29").start().await; // five addresses
    let mut all = Vec::new();
    for n in 0..5 {
        all.push(reserved(&w, &format!("ip{n}")).await);
    }
    let full = create(&w, "more", json!({"location": w.location})).await;
    full.refused(412, "resource_unavailable");
    w.api.post("/v1/servers", order(&w, "x", &json!({}))).await.refused(412, "resource_unavailable");
    for n in [3, 1] {
        w.api.delete(&format!("/v1/primary_ips/{}", all[n]["id"])).await.expect(204);
    }
    create(&w, "more", json!({"location": w.location})).await.refused(412, "resource_unavailable");
    let pool = w.admin.get("/admin/v1/pools").await.expect(200)["pools"][0].take();
    assert_eq!((&pool["used"], &pool["resting"], &pool["quarantine_s"]), (&json!(3), &json!(2), &json!(300)));

    let path = format!("/admin/v1/pools/{}", pool["id"]);
    for wrong in [json!({"quarantine_s": -1}), json!({"quarantine_s": 1_i64 << 40}), json!({})] {
        assert_eq!(w.admin.patch(&path, wrong).await.wrong_fields(), ["quarantine_s"]);
    }
    w.admin.patch(&path, json!({"quarantine_s": 0})).await.expect(200);
    assert_eq!(reserved(&w, "next").await["ip"], all[3]["ip"], "given back first");
    assert_eq!(reserved(&w, "last").await["ip"], all[1]["ip"]);
    w.finish().await;
}

#[tokio::test]
async fn it_is_known_who_had_an_address_at_a_time() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let ip = w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"]["public_net"]["ipv4"]["ip"]
        .take();
    let now = holders(&w, &ip, "").await;
    let since = now[0]["from_at"].as_str().expect("a time").to_owned();
    assert_eq!(
        (&now[0]["vps_id"], &now[0]["vps"], &now[0]["until_at"]),
        (&json!(id), &json!("web"), &Value::Null)
    );
    w.delete(id).await;
    w.sql("update pools set quarantine_s = 0").await;
    w.sql("delete from addresses where primary_ip_id is null and released_at is null").await;
    let other = w.in_other_project().create("heir").await;
    assert_eq!(other["server"]["public_net"]["ipv4"]["ip"], ip, "the only one that is left");
    let heir = w.in_other_project().running(&other).await;
    let then = holders(&w, &ip, &format!("&at={since}")).await;
    assert_eq!((then.len(), &then[0]["vps_id"], &then[0]["project"]), (1, &json!(id), &json!("mine")));
    let now = holders(
        &w,
        &ip,
        &format!("&at={}", chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
    )
    .await;
    assert_eq!((now.len(), &now[0]["vps_id"], &now[0]["project"]), (1, &json!(heir), &json!("others")));
    assert_eq!(holders(&w, &ip, "&at=2001-01-01T00:00:00Z").await, Vec::<Value>::new());
    for (query, field) in [("ip=ten", "ip"), ("ip=10.0.0.1&at=yesterday", "at")] {
        let answer = w.admin.get(&format!("/admin/v1/addresses/holders?{query}")).await;
        assert_eq!(answer.wrong_fields(), [field]);
    }
    w.in_other_project().delete(heir).await;
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_never_share_an_address() {
    let w = World::builder().room_for(20).pool("10.77.0.0/28").start().await; // 13 addresses
    let creates = (0..10).map(|n| w.api.post("/v1/servers", order(&w, &format!("s{n}"), &json!({}))));
    let reserves = (0..10).map(|n| {
        let body = json!({"name": format!("r{n}"), "type": "ipv4", "assignee_type": "server", "location": w.location});
        w.api.post("/v1/primary_ips", body)
    });
    let (servers, reserved) = futures_util::future::join(
        futures_util::future::join_all(creates),
        futures_util::future::join_all(reserves),
    )
    .await;
    let (mut made, mut ips) = (0, std::collections::HashSet::new());
    for answer in servers.iter().chain(&reserved) {
        if answer.status == 201 {
            made += 1;
            let server = &answer.body["server"]["public_net"]["ipv4"]["ip"];
            let ip = if server.is_null() { &answer.body["primary_ip"]["ip"] } else { server };
            assert!(ips.insert(ip.as_str().expect("an address").to_owned()), "{ip} twice");
        } else {
            assert_eq!((answer.status, &answer.body["error"]["code"]), (412, &json!("resource_unavailable")));
        }
    }
    assert_eq!(made, 13, "all that there are, and no more");
    w.settled().await;
    w.finish().await;
}

/// Two requests want one address for two servers, and two addresses for one server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assigning_at_once_has_one_winner() {
    let w = World::start().await;
    let none = json!({"enable_ipv4": false});
    let mut servers = Vec::new();
    for name in ["a", "b"] {
        let body = order(&w, name, &none);
        let id = w.running(&w.api.post("/v1/servers", body).await.expect(201)).await;
        w.act(id, "poweroff", "stop_server").await;
        servers.push(id);
    }
    let (x, y) = (reserved(&w, "x").await, reserved(&w, "y").await);
    let pairs = [(&x, servers[0]), (&x, servers[1]), (&y, servers[0]), (&y, servers[1])];
    let answers =
        futures_util::future::join_all(pairs.map(|(ip, server)| act(&w, ip, "assign", to(server)))).await;
    let won: Vec<_> = answers.iter().filter(|a| a.status == 201).collect();
    assert_eq!(won.len(), 2, "{answers:?}");
    for answer in won {
        w.api.succeeded(&answer.body["action"]).await;
    }
    let has = w.scalar("select count(distinct vps_id) from addresses where vps_id is not null").await;
    assert_eq!(has, 2, "each has one");
    w.finish().await;
}
