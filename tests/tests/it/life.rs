//! A server between power on and power off: frozen and thawed, and what follows when it ends by itself.

use berth_agent::plan::Effect;
use berth_proto::{Exit, VpsFault};
use berth_tests::client::{Answer, DEADLINE};
use berth_tests::wait::until;
use berth_tests::world::World;
use reqwest::Method;
use serde_json::{Value, json};

async fn act(w: &World, id: i64, what: &str) -> Answer {
    w.api.post(&format!("/berth/v1/servers/{id}/actions/{what}"), json!({})).await
}

async fn done(w: &World, id: i64, what: &str) {
    let answer = act(w, id, what).await.expect(201);
    assert_eq!(answer["action"]["command"], format!("{what}_server"));
    w.api.succeeded(&answer["action"]).await;
}

async fn life(w: &World, id: i64) -> Value {
    w.api.get(&format!("/berth/v1/servers/{id}/life")).await.expect(200)["life"].take()
}

async fn life_is(w: &World, id: i64, what: &str, mut is: impl FnMut(&Value) -> bool) -> Value {
    until(what, DEADLINE, async || {
        let life = life(w, id).await;
        if is(&life) { Ok(life) } else { Err(life.to_string()) }
    })
    .await
}

async fn set_policy(w: &World, id: i64, policy: &str) -> Answer {
    let body = json!({"restart_policy": policy}).to_string();
    w.api.send(Method::PATCH, &format!("/berth/v1/servers/{id}/life"), Some(body)).await
}

fn frozen_on_host(w: &World, id: i64) -> bool {
    w.look(id).guest.is_some_and(|guest| guest.frozen)
}

#[tokio::test]
async fn a_server_is_frozen_and_thawed() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let started = w.started_at(id).await;
    done(&w, id, "freeze").await;
    assert!(frozen_on_host(&w, id));
    let now = life(&w, id).await;
    assert_eq!((&now["frozen"], &now["should_be_frozen"]), (&json!(true), &json!(true)));
    let server = w.api.get(&format!("/v1/servers/{id}")).await.expect(200);
    assert_eq!((&server["server"]["status"], &server["server"]["frozen"]), (&json!("running"), &json!(true)));
    let again = act(&w, id, "freeze").await.expect(201);
    assert_eq!(again["action"]["status"], "success", "it is so already");

    // What needs a guest that does something is refused, and says what to do.
    let refused = w.api.post(&format!("/v1/servers/{id}/actions/reset_password"), json!({})).await;
    let refused = refused.refused(423, "locked");
    assert!(refused["message"].as_str().is_some_and(|m| m.contains("thaw it first")), "{refused}");
    // What does not, works: a name, another look at the console.
    w.api.put(&format!("/v1/servers/{id}"), json!({"name": "other"})).await.expect(200);
    w.api.post(&format!("/v1/servers/{id}/actions/request_console"), json!({})).await.expect(201);

    done(&w, id, "thaw").await;
    assert!(!frozen_on_host(&w, id));
    assert_eq!(w.started_at(id).await, started, "the same guest");
    w.act(id, "reset_password", "reset_password").await;
    assert_eq!(act(&w, id, "thaw").await.expect(201)["action"]["status"], "success");
    w.finish().await;
}

#[tokio::test]
async fn power_commands_take_a_freeze_back() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    done(&w, id, "freeze").await;
    w.act(id, "shutdown", "shutdown_server").await;
    w.api.server_is(id, "off").await;
    let now = life(&w, id).await;
    assert_eq!((&now["frozen"], &now["should_be_frozen"]), (&json!(false), &json!(false)));
    let refused = act(&w, id, "freeze").await.refused(412, "resource_unavailable");
    assert!(refused["message"].as_str().is_some_and(|m| m.contains("is off")), "{refused}");

    w.act(id, "poweron", "start_server").await;
    assert!(!frozen_on_host(&w, id));
    for (what, command) in
        [("reboot", "reboot_server"), ("reset", "reset_server"), ("poweroff", "stop_server")]
    {
        w.api.server_is(id, "running").await;
        done(&w, id, "freeze").await;
        w.act(id, what, command).await;
        assert!(!frozen_on_host(&w, id), "{what}");
    }
    w.act(id, "poweron", "start_server").await;
    w.api.server_is(id, "running").await;
    done(&w, id, "freeze").await;
    w.delete(id).await;
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn what_cannot_be_frozen_says_so_and_another_project_is_told_nothing() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    w.fail_next(0, Effect::Freeze, VpsFault::terminal("internal", "a process waits for a disk"));
    let answer = act(&w, id, "freeze").await.expect(201);
    let ended = w.api.ended(&answer["action"]).await;
    assert_eq!(
        (&ended["status"], &ended["error"]["message"]),
        (&json!("error"), &json!("a process waits for a disk"))
    );
    w.api.server_is(id, "running").await;

    let paths = ["actions/freeze", "actions/thaw"].map(|what| format!("/berth/v1/servers/{id}/{what}"));
    for path in &paths {
        w.in_other_project().api.post(path, json!({})).await.refused(404, "not_found");
        w.readonly.post(path, json!({})).await.refused(403, "token_readonly");
    }
    let path = format!("/berth/v1/servers/{id}/life");
    w.in_other_project().api.get(&path).await.refused(404, "not_found");
    let body = Some(json!({"restart_policy": "never"}).to_string());
    w.in_other_project().api.send(Method::PATCH, &path, body).await.refused(404, "not_found");
    done(&w, id, "thaw").await;
    w.finish().await;
}

#[tokio::test]
async fn policies_decide_what_follows_an_end_and_the_end_is_told() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let first = life(&w, id).await;
    assert_eq!((&first["restart_policy"], &first["last_exit"]), (&json!("on-failure"), &Value::Null));
    assert_eq!(set_policy(&w, id, "sometimes").await.wrong_fields(), ["restart_policy"]);
    let none = w.api.send(Method::PATCH, &format!("/berth/v1/servers/{id}/life"), Some("{}".into())).await;
    assert_eq!(none.wrong_fields(), ["restart_policy"]);

    // A crash by default: it comes back, and what happened is told.
    let started = w.started_at(id).await;
    w.end_guest(id, Exit::Oom);
    let exit = life_is(&w, id, "the end to be told", |l| l["last_exit"]["kind"] == "oom").await;
    assert!(exit["last_exit"]["text"].as_str().is_some_and(|t| t.contains("memory")), "{exit}");
    until("another guest", DEADLINE, async || {
        let other = w.look(id).guest.is_some_and(|guest| guest.started_at > started);
        if other { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;

    let changed = set_policy(&w, id, "never").await.expect(200);
    assert_eq!(changed["life"]["restart_policy"], "never");
    until("the host to know", DEADLINE, async || {
        let behind = w.scalar("select generation - observed_generation from vps").await;
        if behind == 0 { Ok(()) } else { Err(behind.to_string()) }
    })
    .await;
    w.end_guest(id, Exit::Code(3));
    w.api.server_is(id, "off").await;
    let exit = life(&w, id).await["last_exit"].take();
    assert_eq!((&exit["kind"], &exit["value"]), (&json!("code"), &json!(3)));
    w.act(id, "poweron", "start_server").await;
    w.api.server_is(id, "running").await;
    w.finish().await;
}

#[tokio::test]
async fn a_guest_that_reboots_again_and_again_is_slowed_down_and_says_so() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let told = until("the delay to be told", DEADLINE, async || {
        if w.look(id).guest.is_some() {
            w.end_guest(id, Exit::Reboot);
        }
        let fault = life(&w, id).await["fault"].take();
        if fault["code"] == "restart_delayed" { Ok(fault) } else { Err(fault.to_string()) }
    })
    .await;
    assert_eq!(told["terminal"], json!(false));
    assert!(told["message"].as_str().is_some_and(|m| m.contains("rebooted itself")), "{told}");
    // Powering it off and on ends the wait.
    w.act(id, "poweroff", "stop_server").await;
    w.act(id, "poweron", "start_server").await;
    w.api.server_is(id, "running").await;
    life_is(&w, id, "the explanation to be gone", |l| l["fault"].is_null()).await;
    w.finish().await;
}

#[tokio::test]
async fn an_operator_gives_servers_their_place_at_boot() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let path = format!("/admin/v1/servers/{id}");
    let set = async |order: Value| {
        w.admin.send(Method::PATCH, &path, Some(json!({"autostart_order": order}).to_string())).await
    };
    assert_eq!(set(json!(-5)).await.expect(200)["server"]["autostart_order"], -5);
    assert_eq!(life(&w, id).await["autostart_order"], -5);
    assert_eq!(set(json!("first")).await.wrong_fields(), ["autostart_order"]);
    assert_eq!(set(json!(1_i64 << 40)).await.wrong_fields(), ["autostart_order"]);
    let body = Some(json!({"autostart_order": 1}).to_string());
    w.admin.send(Method::PATCH, "/admin/v1/servers/999999", body).await.refused(404, "not_found");
    w.api.server_is(id, "running").await;
    w.finish().await;
}
