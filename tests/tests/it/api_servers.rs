//! What the tenant API promises beyond a plain life of a server: repeated requests, commands that overtake each other,
//! options of a create, metrics, links between pages.

use std::time::Duration;

use berth_tests::client::Answer;
use berth_tests::world::World;
use serde_json::{Value, json};

fn id(created: &Value) -> i64 {
    created["server"]["id"].as_i64().expect("an id")
}

async fn command(w: &World, id: i64, what: &str) -> Answer {
    w.api.post(&format!("/v1/servers/{id}/actions/{what}"), json!({})).await
}

async fn create_with_key(w: &World, key: &str, body: &Value) -> (u16, Value) {
    let request =
        reqwest::Client::new().post(format!("{}/v1/servers", w.api.base())).bearer_auth(w.api.token());
    let request = request.header("idempotency-key", key).body(body.to_string());
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_create_with_a_key_is_one_create() {
    let w = World::start().await;
    let body = json!({"name": "web", "server_type": w.plan, "image": w.image});
    let (one, two) = tokio::join!(create_with_key(&w, "k-1", &body), create_with_key(&w, "k-1", &body));
    let third = create_with_key(&w, "k-1", &body).await;
    assert_eq!((one.0, two.0, third.0), (201, 201, 201), "{one:?} {two:?}");
    assert!(id(&one.1) == id(&two.1) && id(&one.1) == id(&third.1));
    assert_eq!(one.1["action"]["id"], third.1["action"]["id"]);
    let passwords = [&one.1, &two.1, &third.1].map(|created| created["root_password"].is_string());
    assert_eq!(
        passwords.iter().filter(|shown| **shown).count(),
        1,
        "the password is shown once: {passwords:?}"
    );
    let mut other = body.clone();
    other["name"] = json!("db");
    let (status, refused) = create_with_key(&w, "k-1", &other).await;
    assert_eq!((status, &refused["error"]["code"]), (422, &json!("invalid_input")));
    let (status, _) = create_with_key(&w, "k-2", &body).await;
    assert_eq!(status, 409, "another key is another request");
    w.running(&one.1).await;
    w.holds(1).await;
    w.finish().await;
}

#[tokio::test]
async fn what_is_so_already_succeeds_at_once() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let started = w.started_at(id).await;
    let again = command(&w, id, "poweron").await.expect(201);
    assert_eq!((&again["action"]["status"], &again["action"]["progress"]), (&json!("success"), &json!(100)));
    assert_eq!(w.started_at(id).await, started, "nothing was restarted");
    w.act(id, "poweroff", "stop_server").await;
    for what in ["poweroff", "shutdown"] {
        let again = command(&w, id, what).await.expect(201);
        assert_eq!(again["action"]["status"], "success", "{what}");
    }
    w.finish().await;
}

#[tokio::test]
async fn a_command_that_is_overtaken_ends_with_an_error() {
    let w = World::builder().slow_host(Duration::from_millis(700)).start().await;
    let id = w.running(&w.create("web").await).await;
    let reboot = command(&w, id, "reset").await.expect(201);
    let off = command(&w, id, "poweroff").await.expect(201);
    let reboot = w.api.ended(&reboot["action"]).await;
    if reboot["status"] == "error" {
        assert_eq!(reboot["error"]["code"], "superseded", "{reboot}");
    } // else: the host was faster than the second request
    w.api.succeeded(&off["action"]).await;
    w.api.server_is(id, "off").await;
    w.finish().await;
}

#[tokio::test]
async fn what_is_being_made_or_deleted_is_locked() {
    let w = World::builder().slow_host(Duration::from_secs(2)).start().await;
    let created = w.create("web").await;
    let id = id(&created);
    for what in ["poweroff", "reboot", "reset_password"] {
        command(&w, id, what).await.refused(423, "locked");
    }
    assert_eq!(w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"]["locked"], true);
    let deleted = w.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
    let again = w.api.delete(&format!("/v1/servers/{id}")).await;
    if again.status == 200 {
        assert_eq!(again.body["action"]["id"], deleted["action"]["id"], "the same deletion");
        command(&w, id, "poweron").await.refused(423, "locked");
        w.api.put(&format!("/v1/servers/{id}"), json!({"name": "x"})).await.refused(423, "locked");
    }
    let create = w.api.ended(&created["action"]).await;
    assert_eq!((&create["status"], &create["error"]["code"]), (&json!("error"), &json!("server_deleted")));
    w.api.succeeded(&deleted["action"]).await;
    w.api.server_is_gone(id).await;
    let actions = w.api.get(&format!("/v1/servers/{id}/actions?sort=id")).await.expect(200);
    assert_eq!(actions["meta"]["pagination"]["total_entries"], 2, "actions outlive their server");
    w.finish().await;
}

#[tokio::test]
async fn a_protected_server_stays() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    w.sql(&format!("update vps set protect_delete = true where id = {id}")).await;
    w.api.delete(&format!("/v1/servers/{id}")).await.refused(423, "protected");
    let server = w.api.server_is(id, "running").await;
    assert_eq!(server["protection"], json!({"delete": true, "rebuild": true}));
    w.finish().await;
}

#[tokio::test]
async fn options_of_a_create() {
    let w = World::builder().room_for(4).start().await;
    let with = async |changes: Value| {
        let mut body = json!({"name": "web", "server_type": w.plan, "image": w.image});
        body.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        w.api.post("/v1/servers", body).await
    };
    for (changes, field) in [
        (json!({"volumes": [1]}), "volumes"),
        (json!({"networks": [1]}), "networks"),
        (json!({"firewalls": [{"firewall": 1}]}), "firewalls"),
        (json!({"placement_group": 1}), "placement_group"),
        (json!({"public_net": {"ipv4": 1}}), "public_net.ipv4"),
        (json!({"public_net": {"ipv6": 1}}), "public_net.ipv6"),
        (json!({"location": "local", "datacenter": "local-dc1"}), "location"),
        (json!({"server_type": "\u{0}"}), "server_type"),
        (json!({"image": "\u{0}"}), "image"),
        (json!({"location": "a\u{0}"}), "location"),
        (json!({"ssh_keys": ["\u{0}"]}), "ssh_keys"),
        (json!({"user_data": "\u{0}"}), "user_data"),
        (json!({"labels": {"a": 1}}), "labels.a"),
        (json!({"labels": []}), "labels"),
        (json!({"ssh_keys": "all"}), "ssh_keys"),
        (json!({"start_after_create": "yes"}), "start_after_create"),
    ] {
        assert_eq!(with(changes.clone()).await.wrong_fields(), [field], "{changes}");
    }
    w.holds_nothing().await;

    let key = w.ssh_key("mine").await;
    let full = with(json!({
        "server_type": 1, "image": "1", "datacenter": "local-dc1", "ssh_keys": [key["id"], "mine"],
        "volumes": [], "networks": [], "firewalls": [], "placement_group": null, "automount": false,
        "public_net": {"enable_ipv4": true, "enable_ipv6": true, "ipv4": null, "ipv6": null},
        "user_data": "#cloud-config\n", "labels": {"env": "prod"}, "start_after_create": true,
    }));
    let full = full.await.expect(201);
    assert_eq!(full["root_password"], Value::Null);
    w.running(&full).await;
    assert_eq!(
        w.scalar("select jsonb_array_length(ssh_keys)::bigint from vps").await,
        1,
        "one key, named twice"
    );
    let hidden = with(json!({"name": "hidden", "public_net": {"enable_ipv4": false, "enable_ipv6": false}}));
    let hidden = hidden.await.expect(201);
    assert_eq!(hidden["server"]["public_net"]["ipv4"], Value::Null);
    w.running(&hidden).await;
    assert_eq!(w.scalar("select count(*) from addresses where vps_id is not null").await, 1);
    w.finish().await;
}

#[tokio::test]
async fn servers_are_found_by_their_labels() {
    let w = World::builder().room_for(4).start().await;
    for (name, labels) in
        [("a", json!({"env": "prod", "tier": "web"})), ("b", json!({"env": "dev"})), ("c", json!({}))]
    {
        let body = json!({"name": name, "server_type": w.plan, "image": w.image, "labels": labels});
        w.running(&w.api.post("/v1/servers", body).await.expect(201)).await;
    }
    for (selector, expected) in [
        ("env", "a b"),
        ("!env", "c"),
        ("env=prod", "a"),
        ("env!=prod", "b c"),
        ("env%20in%20(prod,dev),tier", "a"),
        ("env%20notin%20(prod,dev)", "c"),
        ("", "a b c"),
    ] {
        let list = w.api.get(&format!("/v1/servers?sort=name&label_selector={selector}")).await.expect(200);
        let names: Vec<_> = list["servers"].as_array().expect("a list").iter().map(|s| &s["name"]).collect();
        let names: Vec<_> = names.into_iter().filter_map(Value::as_str).collect();
        assert_eq!(names.join(" "), expected, "{selector}");
    }
    w.api.get("/v1/servers?name=%00").await.refused(422, "invalid_input");
    w.finish().await;
}

#[tokio::test]
async fn pages_are_linked() {
    let w = World::builder().hosts(0).start().await;
    for n in 0..3 {
        w.ssh_key(&format!("key-{n}")).await;
    }
    let first = w.api.get("/v1/ssh_keys?per_page=2&sort=id:desc").await;
    let link = first.header("link").expect("there is more").to_owned();
    assert!(
        link.contains("rel=\"next\"") && link.contains("page=2") && link.contains("sort=id%3Adesc"),
        "{link}"
    );
    let last = w.api.get("/v1/ssh_keys?per_page=2&page=2").await;
    assert!(last.header("link").is_some_and(|link| link.contains("rel=\"prev\"")));
    assert_eq!(w.api.get("/v1/ssh_keys").await.header("link"), None, "one page has no others");
    w.finish().await;
}

#[tokio::test]
async fn images_are_filtered() {
    let w = World::builder().hosts(0).start().await;
    w.sql(
        "insert into images (name, sha256, size_bytes, format, retired_at)
         values ('old', repeat('f', 64), 1, 'tar', now())",
    )
    .await;
    for (query, expected) in [
        ("", 1),
        ("include_deprecated=true", 2),
        ("type=system", 1),
        ("type=snapshot", 0),
        ("type=snapshot&type=system", 1),
        ("status=available", 1),
        ("status=creating", 0),
        ("architecture=x86", 1),
        ("architecture=arm", 0),
        ("bound_to=1", 0),
        ("name=old", 0),
        ("name=old&include_deprecated=true", 1),
        ("label_selector=env", 0),
        ("label_selector=!env", 1),
    ] {
        let list = w.api.get(&format!("/v1/images?{query}")).await.expect(200);
        assert_eq!(list["meta"]["pagination"]["total_entries"], expected, "{query}");
    }
    for bad in ["type=disk", "status=new", "architecture=sparc", "include_deprecated=maybe"] {
        w.api.get(&format!("/v1/images?{bad}")).await.refused(422, "invalid_input");
    }
    w.finish().await;
}

#[tokio::test]
async fn metrics_have_the_series_that_clients_know() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let path = format!("/v1/servers/{id}/metrics");
    w.sql(&format!(
        "insert into vps_samples select {id}, now() - interval '10 minutes' + n * interval '10 seconds',
                n * 5000000, 1 << 20, 0, 10, 0, n * 1000, 0, 0, 0, n * 100, 0, 0, 0 from generate_series(0, 30) n"
    ))
    .await;
    let time = |ago: i64| (chrono::Utc::now() - chrono::TimeDelta::seconds(ago)).format("%FT%TZ").to_string();
    let (start, end) = (time(900), time(200));
    let answer = w.api.get(&format!("{path}?type=cpu,disk,network&start={start}&end={end}&step=60")).await;
    let metrics = &answer.expect(200)["metrics"];
    assert_eq!((&metrics["step"], &metrics["start"]), (&json!(60), &json!(start)));
    let series: Vec<_> = metrics["time_series"].as_object().expect("series").keys().cloned().collect();
    assert_eq!(series.len(), 9, "{series:?}");
    let values = metrics["time_series"]["cpu"]["values"].as_array().expect("values");
    assert!(!values.is_empty() && values.len() <= 7, "{values:?}");
    let percent: f64 = values[1][1].as_str().expect("a decimal").parse().expect("a decimal");
    assert!((percent - 50.0).abs() < 1.0, "half a core: {percent}");
    w.api.get(&format!("{path}?type=cpu")).await.refused(422, "invalid_input");
    let other = w.in_other_project().api.get(&format!("{path}?type=cpu&start={start}&end={end}")).await;
    other.refused(404, "not_found");
    w.finish().await;
}
