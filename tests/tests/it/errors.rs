//! Bad input gets the right answer, and changes nothing.

use berth_tests::client::Answer;
use berth_tests::world::World;
use reqwest::Method;
use serde_json::{Value, json};

async fn create_with(w: &World, changes: Value) -> Answer {
    let mut body = json!({"name": "web", "server_type": w.plan, "image": w.image});
    for (key, value) in changes.as_object().expect("changes are an object") {
        body[key] = value.clone();
    }
    w.api.post("/v1/servers", body).await
}

#[tokio::test]
async fn a_name_can_be_taken_once() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    create_with(&w, json!({})).await.refused(409, "uniqueness_error");
    create_with(&w, json!({"name": "WEB"})).await.refused(409, "uniqueness_error");
    let other = w.running(&w.create("db").await).await;
    let rename = w.api.put(&format!("/v1/servers/{other}"), json!({"name": "web"})).await;
    rename.refused(409, "uniqueness_error");
    w.in_other_project().create("web").await; // another project may use it
    w.delete(id).await;
    w.create("web").await; // and so may this one, when it is free again
    w.finish().await;
}

#[tokio::test]
async fn wrong_values_name_their_field() {
    let w = World::start().await;
    for (changes, field) in [
        (json!({"server_type": "no-such-type"}), "server_type"),
        (json!({"server_type": 999_999}), "server_type"),
        (json!({"image": "no-such-image"}), "image"),
        (json!({"image": 999_999}), "image"),
        (json!({"name": ""}), "name"),
        (json!({"name": "under_score"}), "name"),
        (json!({"name": "-dash"}), "name"),
        (json!({"name": "x".repeat(64)}), "name"),
        (json!({"name": "web\nroot::0:0"}), "name"),
        (json!({"name": "../../etc"}), "name"),
        (json!({"location": "no-such-place"}), "location"),
        (json!({"datacenter": "no-such-place"}), "datacenter"),
        (json!({"ssh_keys": ["no-such-key"]}), "ssh_keys"),
        (json!({"labels": {"not a key": "v"}}), "labels"),
        (json!({"labels": {"k": "not a value!"}}), "labels"),
        (json!({"user_data": "x".repeat(32 * 1024 + 1)}), "user_data"),
    ] {
        let fields = create_with(&w, changes.clone()).await.wrong_fields();
        assert!(fields.iter().any(|name| name == field), "{changes} complains about {fields:?}");
    }
    for (body, field) in [
        (json!({"name": "k", "public_key": "ssh-rsa nonsense"}), "public_key"),
        (json!({"name": "k", "public_key": "command=\"x\" ssh-ed25519 AAAA"}), "public_key"),
        (json!({"name": "", "public_key": berth_tests::world::public_key()}), "name"),
    ] {
        let fields = w.api.post("/v1/ssh_keys", body.clone()).await.wrong_fields();
        assert!(fields.iter().any(|name| name == field), "{body} complains about {fields:?}");
    }
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn a_key_on_two_lines_is_not_two_keys() {
    let w = World::start().await;
    let two = format!("{}\n{}", berth_tests::world::public_key(), berth_tests::world::public_key());
    let fields = w.api.post("/v1/ssh_keys", json!({"name": "k", "public_key": two})).await.wrong_fields();
    assert_eq!(fields, ["public_key"]);
    w.finish().await;
}

#[tokio::test]
async fn no_room_is_said_and_nothing_is_reserved() {
    let w = World::builder().room_for(1).start().await;
    let id = w.running(&w.create("fits").await).await;
    create_with(&w, json!({"name": "too-much"})).await.refused(412, "resource_unavailable");
    w.holds(1).await;
    w.delete(id).await;
    w.running(&w.create("too-much").await).await;
    w.finish().await;
}

#[tokio::test]
async fn no_address_left_is_said_and_nothing_is_reserved() {
    let w = World::builder().room_for(20).pool("10.77.0.0/29").start().await;
    let mut made = 0;
    let refused = loop {
        let answer = create_with(&w, json!({"name": format!("web-{made}")})).await;
        if answer.status != 201 {
            break answer;
        }
        made += 1;
        assert!(made < 9, "a /29 has at most eight addresses");
    };
    refused.refused(412, "resource_unavailable");
    assert!(made > 0, "a /29 has some");
    w.holds(made).await;
    w.finish().await;
}

#[tokio::test]
async fn a_cordoned_host_gets_nothing_new() {
    let w = World::start().await;
    let id = w.running(&w.create("before").await).await;
    w.cordon(0, true).await;
    create_with(&w, json!({})).await.refused(412, "resource_unavailable");
    w.act(id, "reboot", "reboot_server").await;
    w.cordon(0, false).await;
    w.running(&w.create("after").await).await;
    w.finish().await;
}

#[tokio::test]
async fn what_is_not_json_is_said() {
    let w = World::start().await;
    for body in ["", "{", "[]", "\"x\"", "{\"name\": }", "nul", "{\"name\":\"a\",\"server_type\":\"", "\u{0}"]
    {
        let answer = w.api.send(Method::POST, "/v1/servers", Some(body.to_owned())).await;
        answer.refused(400, "json_error");
    }
    let mistyped = json!({"name": 7, "server_type": w.plan, "image": w.image});
    let answer = w.api.post("/v1/servers", mistyped).await;
    assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    w.api.send(Method::POST, "/v1/servers", Some(deep)).await.refused(400, "json_error");
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_refused() {
    let w = World::start().await;
    let body =
        json!({"name": "web", "server_type": w.plan, "image": w.image, "user_data": "x".repeat(1 << 20)});
    assert_eq!(w.api.post("/v1/servers", body).await.status, 413);
    assert_eq!(
        w.api.without_token().post("/v1/servers", json!({"x": "x".repeat(1 << 20)})).await.status / 100,
        4
    );
    w.finish().await;
}

#[tokio::test]
async fn wrong_ids_and_pages_are_errors_of_the_client() {
    let w = World::start().await;
    for path in ["/v1/servers/0", "/v1/servers/-1", "/v1/servers/999999999", "/v1/servers/9007199254740991"] {
        w.api.get(path).await.refused(404, "not_found");
    }
    for path in ["/v1/servers/x", "/v1/servers/99999999999999999999", "/v1/servers/1%00"] {
        let answer = w.api.get(path).await;
        assert!(matches!(answer.status, 400 | 404 | 422), "{answer:?}");
    }
    for query in
        ["page=0", "page=-1", "page=x", "per_page=0", "per_page=51", "sort=nonsense", "sort=id:sideways"]
    {
        w.api.get(&format!("/v1/servers?{query}")).await.refused(422, "invalid_input");
    }
    for selector in ["=", "a=b=c", "a in", "a in (", "a in ()x", "!", "a,,b", "a b", "(a)", "a=%00"] {
        let answer = w.api.get(&format!("/v1/servers?label_selector={}", selector.replace(' ', "%20"))).await;
        answer.refused(422, "invalid_input");
    }
    w.finish().await;
}

#[tokio::test]
async fn deleting_twice_is_not_found_and_harms_nobody() {
    let w = World::start().await;
    let (gone, stays) = (w.running(&w.create("gone").await).await, w.running(&w.create("stays").await).await);
    let path = format!("/v1/servers/{gone}");
    let (one, two) = tokio::join!(w.api.delete(&path), w.api.delete(&path));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200, "{one:?} {two:?}");
    assert!(matches!(statuses[1], 200 | 404 | 409 | 423), "{one:?} {two:?}");
    w.api.server_is_gone(gone).await;
    w.api.delete(&path).await.refused(404, "not_found");
    w.api.server_is(stays, "running").await;
    w.finish().await;
}

#[tokio::test]
async fn a_create_that_the_host_cannot_do_says_why_and_leaves_nothing() {
    let w = World::start().await;
    w.fail_creates(0, "disk_pool_full", "the disk pool is full: delete a server or add disk").await;
    let created = w.create("web").await;
    let action = w.api.ended(&created["action"]).await;
    assert_eq!(action["status"], "error", "{action}");
    let message = action["error"]["message"].as_str().expect("a message");
    assert!(message.contains("disk pool is full"), "{action}");
    let id = created["server"]["id"].as_i64().expect("an id");
    w.api.server_is_gone(id).await;
    w.holds_nothing().await;
    w.running(&w.create("web").await).await; // its name is free
    w.finish().await;
}
