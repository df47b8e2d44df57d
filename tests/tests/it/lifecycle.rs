//! A server from its creation to its end, as a tenant sees it.

use berth_tests::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn a_server_is_created_runs_and_is_deleted() {
    let w = World::start().await;
    let key = w.ssh_key("mine").await;
    let created = w
        .api
        .post(
            "/v1/servers",
            json!({"name": "web-1", "server_type": w.plan, "image": w.image, "ssh_keys": [key["name"]],
                "labels": {"env": "prod"}, "location": w.location}),
        )
        .await
        .expect(201);
    let (server, action) = (&created["server"], &created["action"]);
    assert_eq!(action["command"], "create_server");
    assert_eq!(action["resources"], json!([{"id": server["id"], "type": "server"}]));
    assert_eq!(created["root_password"], Value::Null, "who gives a key gets no password");
    assert_eq!(server["name"], "web-1");
    assert_eq!(server["labels"], json!({"env": "prod"}));
    assert_eq!(server["server_type"]["name"], w.plan.as_str());
    assert_eq!(server["image"]["name"], w.image.as_str());

    let ended = w.api.succeeded(action).await;
    assert_eq!(ended["progress"], 100);
    assert!(ended["finished"].is_string() && ended["error"].is_null(), "{ended}");
    let id = server["id"].as_i64().expect("an id");
    let server = w.api.server_is(id, "running").await;
    let ip = server["public_net"]["ipv4"]["ip"].as_str().expect("it has an address").to_owned();
    assert!(w.address_is_in_pool(&ip), "{ip}");

    let actions = w.api.get(&format!("/v1/servers/{id}/actions")).await.expect(200);
    assert_eq!(actions["actions"][0]["id"], action["id"]);
    let one = w.api.get(&format!("/v1/servers/{id}/actions/{}", action["id"])).await.expect(200);
    assert_eq!(one["action"], ended);
    let by_ids = w.api.get(&format!("/v1/actions?id={}", action["id"])).await.expect(200);
    assert_eq!(by_ids["actions"], json!([ended]));

    let deleted = w.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
    assert_eq!(deleted["action"]["command"], "delete_server");
    w.api.succeeded(&deleted["action"]).await;
    w.api.server_is_gone(id).await;
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn without_a_key_there_is_a_password_shown_once() {
    let w = World::start().await;
    let created = w.create("web").await;
    let password = created["root_password"].as_str().expect("there is a password");
    assert!(password.len() >= 16, "a password that cannot be guessed");
    let id = w.running(&created).await;

    let reset = w.api.post(&format!("/v1/servers/{id}/actions/reset_password"), json!({})).await.expect(201);
    assert_eq!(reset["action"]["command"], "reset_password");
    let new = reset["root_password"].as_str().expect("there is a new password");
    assert_ne!(new, password);
    w.api.succeeded(&reset["action"]).await;

    let dump = w.dump().await;
    assert!(!dump.contains(password) && !dump.contains(new), "passwords are not kept in the clear");
    w.finish().await;
}

#[tokio::test]
async fn power_goes_off_and_on() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let first = w.started_at(id).await;

    w.act(id, "poweroff", "stop_server").await;
    w.api.server_is(id, "off").await;
    w.act(id, "poweron", "start_server").await;
    w.api.server_is(id, "running").await;
    let second = w.started_at(id).await;
    assert!(second > first, "a fresh boot");

    for (what, command) in [("reboot", "reboot_server"), ("reset", "reset_server")] {
        let before = w.started_at(id).await;
        w.act(id, what, command).await;
        w.api.server_is(id, "running").await;
        assert!(w.started_at(id).await > before, "{what} gives a fresh boot");
    }
    w.act(id, "shutdown", "shutdown_server").await;
    w.api.server_is(id, "off").await;
    let before = w.api.get(&format!("/v1/servers/{id}")).await.expect(200);
    assert!(before["server"]["public_net"]["ipv4"]["ip"].is_string(), "an address is kept while off");
    w.finish().await;
}

#[tokio::test]
async fn a_server_may_be_created_without_being_started() {
    let w = World::start().await;
    let body = json!({"name": "off", "server_type": w.plan, "image": w.image, "start_after_create": false});
    let created = w.api.post("/v1/servers", body).await.expect(201);
    w.api.succeeded(&created["action"]).await;
    let id = created["server"]["id"].as_i64().expect("an id");
    w.api.server_is(id, "off").await;
    w.act(id, "poweron", "start_server").await;
    w.api.server_is(id, "running").await;
    w.finish().await;
}

#[tokio::test]
async fn a_guest_that_powers_itself_off_is_off() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    w.halt_from_inside(id).await;
    w.api.server_is(id, "off").await;
    w.act(id, "poweron", "start_server").await;
    w.api.server_is(id, "running").await;
    w.finish().await;
}

#[tokio::test]
async fn names_and_labels_change() {
    let w = World::start().await;
    let id = w.running(&w.create("before").await).await;
    let path = format!("/v1/servers/{id}");
    let changed = w.api.put(&path, json!({"name": "after", "labels": {"a": "1"}})).await.expect(200);
    assert_eq!(
        (&changed["server"]["name"], &changed["server"]["labels"]),
        (&json!("after"), &json!({"a": "1"}))
    );
    let renamed = w.api.put(&path, json!({"name": "again"})).await.expect(200);
    assert_eq!(renamed["server"]["labels"], json!({"a": "1"}), "what is not named stays");
    w.api.server_is(id, "running").await;
    w.finish().await;
}

#[tokio::test]
async fn keys_are_kept_by_what_they_are() {
    let w = World::start().await;
    let key = w.ssh_key("mine").await;
    let path = format!("/v1/ssh_keys/{}", key["id"]);
    assert_eq!(w.api.get(&path).await.expect(200)["ssh_key"], key);
    let again = json!({"name": "other", "public_key": key["public_key"]});
    w.api.post("/v1/ssh_keys", again).await.refused(409, "uniqueness_error");
    let changed = w.api.put(&path, json!({"name": "renamed", "labels": {"k": "v"}})).await.expect(200);
    assert_eq!(changed["ssh_key"]["name"], "renamed");
    let by_print =
        w.api.get(&format!("/v1/ssh_keys?fingerprint={}", key["fingerprint"].as_str().expect("text"))).await;
    assert_eq!(by_print.expect(200)["ssh_keys"][0]["id"], key["id"]);
    let none = w.api.delete(&path).await.expect(204);
    assert_eq!(none, Value::Null);
    w.api.get(&path).await.refused(404, "not_found");
    w.finish().await;
}

#[tokio::test]
async fn the_catalogue_says_what_there_is() {
    let w = World::start().await;
    for (list, one) in [
        ("server_types", "server_type"),
        ("images", "image"),
        ("locations", "location"),
        ("datacenters", "datacenter"),
    ] {
        let all = w.api.get(&format!("/v1/{list}")).await.expect(200);
        let first = &all[list][0];
        assert_eq!(&w.api.get(&format!("/v1/{list}/{}", first["id"])).await.expect(200)[one], first);
        let name = first["name"].as_str().expect("a name");
        assert_eq!(&w.api.get(&format!("/v1/{list}?name={name}")).await.expect(200)[list][0], first);
        assert_eq!(w.api.get(&format!("/v1/{list}?name=no-such-thing")).await.expect(200)[list], json!([]));
        w.api.get(&format!("/v1/{list}/999999")).await.refused(404, "not_found");
    }
    let pricing = w.api.get("/v1/pricing").await.expect(200);
    assert!(pricing["pricing"]["currency"].is_string());
    w.finish().await;
}
