//! Floating IPs of the hcloud API: addresses that move between running servers.

use std::time::Duration;

use berth_tests::client::Answer;
use berth_tests::proxy::Mode;
use berth_tests::wait::until;
use berth_tests::world::World;
use serde_json::{Value, json};

async fn create(w: &World, more: Value) -> Answer {
    let mut body = json!({"type": "ipv4"});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    w.api.post("/v1/floating_ips", body).await
}

async fn act(w: &World, floating_ip: &Value, what: &str, body: Value) -> Answer {
    w.api.post(&format!("/v1/floating_ips/{}/actions/{what}", floating_ip["id"]), body).await
}

async fn shown(w: &World, floating_ip: &Value) -> Value {
    w.api.get(&format!("/v1/floating_ips/{}", floating_ip["id"])).await.expect(200)["floating_ip"].take()
}

async fn of_server(w: &World, id: i64) -> Value {
    w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"]["public_net"]["floating_ips"].take()
}

/// How an action stands right now.
async fn status(w: &World, action: &Value) -> Value {
    w.api.get(&format!("/v1/actions/{}", action["id"])).await.expect(200)["action"]["status"].take()
}

#[tokio::test]
async fn it_moves_between_running_servers() {
    let w = World::start().await;
    let (a, b) = (w.running(&w.create("a").await).await, w.running(&w.create("b").await).await);
    let made = create(&w, json!({"server": a, "description": "the front"})).await.expect(201);
    w.api.succeeded(&made["action"]).await;
    let ip = &made["floating_ip"];
    assert_eq!((&ip["server"], &ip["name"]), (&json!(a), &json!(format!("floating_ip-{}", ip["id"]))));
    assert_eq!(of_server(&w, a).await, json!([ip["id"]]));
    act(&w, ip, "assign", json!({"server": a})).await.refused(422, "floating_ip_assigned");
    let action = act(&w, ip, "assign", json!({"server": b})).await.expect(201)["action"].take();
    assert_eq!(action["command"], "assign_floating_ip");
    w.api.succeeded(&action).await;
    assert_eq!((of_server(&w, a).await, of_server(&w, b).await), (json!([]), json!([ip["id"]])));

    let path = format!("/v1/floating_ips/{}", ip["id"]);
    w.api.delete(&path).await.refused(422, "resource_in_use");
    let change = json!({"name": "front", "description": "", "labels": {"a": "b"}});
    assert_eq!(w.api.put(&path, change).await.expect(200)["floating_ip"]["name"], "front");
    for query in ["name=front", "label_selector=a%3Db"] {
        let found = w.api.get(&format!("/v1/floating_ips?{query}")).await.expect(200);
        assert_eq!(found["floating_ips"].as_array().map(Vec::len), Some(1), "{query}");
    }
    w.delete(b).await;
    assert_eq!(shown(&w, ip).await["server"], Value::Null, "it stays with the project");
    assert_eq!(act(&w, ip, "unassign", json!({})).await.wrong_fields(), ["id"]);
    act(&w, ip, "change_protection", json!({"delete": true})).await.expect(201);
    w.api.delete(&path).await.refused(423, "protected");
    act(&w, ip, "change_protection", json!({"delete": false})).await.expect(201);
    let listed = w.api.get(&format!("{path}/actions")).await.expect(200);
    assert_eq!(listed["actions"].as_array().map(Vec::len), Some(4));
    w.api.delete(&path).await.expect(204);
    w.delete(a).await;
    w.finish().await;
}

/// Whoever had it may still answer until their host has said otherwise; nothing that follows is done before.
#[tokio::test]
async fn no_move_is_done_before_the_old_host_has_let_go() {
    let w = World::builder().hosts(2).start().await;
    w.cordon(1, true).await;
    let a = w.running(&w.create("a").await).await;
    w.cordon(1, false).await;
    w.cordon(0, true).await;
    let (b, c) = (w.running(&w.create("b").await).await, w.running(&w.create("c").await).await);
    let made = create(&w, json!({"server": a})).await.expect(201);
    w.api.succeeded(&made["action"]).await;
    let ip = &made["floating_ip"];

    w.link(0).set(Mode::Cut);
    w.link(0).break_connections();
    let to_b = act(&w, ip, "assign", json!({"server": b})).await.expect(201)["action"].take();
    until("the new host to have it", Duration::from_secs(60), async || {
        let behind = format!("select count(*) from vps where id = {b} and observed_generation < generation");
        if w.scalar(&behind).await == 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let to_c = act(&w, ip, "assign", json!({"server": c})).await.expect(201)["action"].take();
    let away = act(&w, ip, "unassign", json!({})).await.expect(201)["action"].take();
    until("all others to have it so", Duration::from_secs(60), async || {
        let behind =
            format!("select count(*) from vps where id in ({b}, {c}) and observed_generation < generation");
        if w.scalar(&behind).await == 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    for action in [&to_b, &to_c, &away] {
        assert_eq!(status(&w, action).await, "running", "the first may still answer");
    }
    // Given back it is nobody's, however little it has to rest, and although those who waited are gone.
    let path = format!("/v1/floating_ips/{}", ip["id"]);
    w.api.delete(&path).await.refused(423, "locked");
    w.delete(b).await;
    w.delete(c).await;
    w.api.delete(&path).await.expect(204);
    w.sql("update pools set quarantine_s = 0").await;
    let only = ip["ip"].as_str().expect("an address");
    w.sql(&format!("delete from addresses where not held and ip <> '{only}'")).await;
    create(&w, json!({"home_location": w.location})).await.refused(412, "resource_unavailable");

    w.link(0).set(Mode::Pass);
    until("the address to be free", Duration::from_secs(60), async || {
        let answer = create(&w, json!({"home_location": w.location})).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.body.to_string()) }
    })
    .await;
    w.finish().await;
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field_and_others_see_nothing() {
    let w = World::start().await;
    let mine =
        create(&w, json!({"home_location": w.location, "name": "mine"})).await.expect(201)["floating_ip"]
            .take();
    for (body, field) in [
        (json!({}), "home_location"),
        (json!({"home_location": "nowhere"}), "home_location"),
        (json!({"home_location": w.location, "type": "ipx"}), "type"),
        (json!({"home_location": w.location, "name": "floating_ip-7"}), "name"),
        (json!({"home_location": w.location, "description": "x".repeat(256)}), "description"),
        (json!({"home_location": w.location, "labels": {"-": "x"}}), "labels"),
        (json!({"server": 987_654}), "server"),
    ] {
        assert_eq!(create(&w, body.clone()).await.wrong_fields(), [field], "{body}");
    }
    create(&w, json!({"home_location": w.location, "name": "mine"})).await.refused(409, "uniqueness_error");
    assert_eq!(act(&w, &mine, "assign", json!({"server": 987_654})).await.wrong_fields(), ["server"]);
    w.admin.post("/admin/v1/locations", json!({"name": "far"})).await.expect(201);
    create(&w, json!({"home_location": "far"})).await.refused(412, "resource_unavailable");

    let other = w.in_other_project();
    let path = format!("/v1/floating_ips/{}", mine["id"]);
    let theirs = other.running(&other.create("theirs").await).await;
    other.api.get(&path).await.refused(404, "not_found");
    other.api.delete(&path).await.refused(404, "not_found");
    other
        .api
        .post(&format!("{path}/actions/assign"), json!({"server": theirs}))
        .await
        .refused(404, "not_found");
    assert_eq!(act(&w, &mine, "assign", json!({"server": theirs})).await.wrong_fields(), ["server"]);
    other.delete(theirs).await;
    w.api.delete(&path).await.expect(204);
    w.finish().await;
}

/// Everybody pulls at one address and two servers; nothing waits for itself, and the end is one that was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulling_from_both_sides_ends() {
    let w = World::builder().hosts(2).room_for(4).start().await;
    let (a, b) = (w.running(&w.create("a").await).await, w.running(&w.create("b").await).await);
    let made = create(&w, json!({"home_location": w.location})).await.expect(201);
    let ip = &made["floating_ip"];
    let pulls = (0..24).map(|n| act(&w, ip, "assign", json!({"server": if n % 2 == 0 { a } else { b }})));
    let answers = futures_util::future::join_all(pulls).await;
    assert!(answers.iter().any(|answer| answer.status == 201));
    for answer in answers {
        match answer.status {
            201 => drop(w.api.succeeded(&answer.body["action"]).await),
            409 => drop(answer.refused(409, "conflict")),
            _ => drop(answer.refused(422, "floating_ip_assigned")),
        }
    }
    let holder = shown(&w, ip).await["server"].as_i64().expect("somebody has it");
    assert!([a, b].contains(&holder));
    w.finish().await;
}
