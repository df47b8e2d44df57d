//! Programs and files inside servers, by way of the API: who may, what travels, and how it ends.

use berth_proto::{ExecEnd, close};
use berth_tests::exec::Exec;
use berth_tests::proxy::Mode;
use berth_tests::world::World;
use reqwest::Method;
use serde_json::json;

fn code(code: i32) -> ExecEnd {
    ExecEnd { code: Some(code), signal: None }
}

#[tokio::test]
async fn a_program_runs_reads_writes_and_ends() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let mut echo = Exec::run(&w.api, id, json!({"argv": ["echo", "hello", "there"]})).await;
    assert_eq!((echo.ended().await, echo.out.as_str()), (code(0), "hello there\n"));
    let mut seven = Exec::run(&w.api, id, json!({"argv": ["exit", "7"]})).await;
    assert_eq!(seven.ended().await, code(7));

    let mut cat = Exec::run(&w.api, id, json!({"argv": ["cat"], "tty": {"cols": 80, "rows": 24}})).await;
    // Sent before the host is there: nothing of it is lost.
    cat.input("early ").await;
    cat.shows("early ").await;
    assert_eq!(cat.from, Some((0, 0)));
    cat.say(json!({"resize": {"cols": 132, "rows": 43}})).await;
    cat.shows("window 132x43").await;
    cat.say(json!({"stdin_close": {}})).await;
    assert_eq!(cat.closed().await, (close::ENDED, "the program ended".into()));
    assert_eq!(cat.end, Some(code(0)));

    let mut sleep = Exec::run(&w.api, id, json!({"argv": ["sleep", "1000"]})).await;
    sleep.say(json!({"signal": "INT"})).await;
    assert_eq!(sleep.ended().await, ExecEnd { code: None, signal: Some(2) });
    let mut none = Exec::run(&w.api, id, json!({"argv": ["no-such-program"]})).await;
    let (why, reason) = none.closed().await;
    assert_eq!(why, close::UNAVAILABLE);
    assert!(reason.contains("no-such-program"), "{reason}");
    w.finish().await;
}

#[tokio::test]
async fn a_program_is_found_again_and_can_be_killed() {
    let mut w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let mut cat = Exec::run(&w.api, id, json!({"argv": ["cat"]})).await;
    cat.input("one").await;
    cat.shows("one").await;
    let session = cat.session.clone();
    w.restart_agent(0).await;
    assert_eq!(cat.closed().await.0, close::LOST);
    let mut cat = Exec::attach(&w.api, id, &session, 3).await;
    cat.input("two").await;
    cat.shows("two").await;
    assert_eq!((cat.out.as_str(), cat.from), ("two", Some((3, 0))));

    let path = format!("/berth/v1/servers/{id}/exec/{session}");
    w.api.delete(&path).await.expect(204);
    assert_eq!(cat.ended().await, ExecEnd { code: None, signal: Some(9) });
    let mut again = Exec::attach(&w.api, id, &session, 0).await;
    assert_eq!(again.ended().await, ExecEnd { code: None, signal: Some(9) }, "the end is kept");
    assert_eq!(again.out, "onetwo");
    w.api.delete(&format!("/berth/v1/servers/{id}/exec/none")).await.refused(404, "not_found");
    let mut none = Exec::attach(&w.api, id, "none", 0).await;
    assert_eq!(none.closed().await.0, close::NO_SUCH);

    // The guest's end is the end of its programs.
    let mut cat = Exec::run(&w.api, id, json!({"argv": ["cat"]})).await;
    cat.input("x").await;
    cat.shows("x").await;
    w.act(id, "reboot", "reboot_server").await;
    assert_eq!(cat.closed().await.0, close::LOST);
    assert_eq!(cat.end, None);
    w.finish().await;
}

#[tokio::test]
async fn only_who_may_write_gets_inside_and_a_ticket_is_good_once() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let (exec, files) =
        (format!("/berth/v1/servers/{id}/exec"), format!("/berth/v1/servers/{id}/files?path=/x"));
    let what = json!({"argv": ["echo"]});
    let session = format!("{exec}/00000000-0000-4000-8000-000000000000");
    for (api, status, code) in [
        (&w.readonly, 403, "token_readonly"),
        (&w.in_other_project().api, 404, "not_found"),
        (&w.api.without_token(), 401, "unauthorized"),
    ] {
        api.post(&exec, what.clone()).await.refused(status, code);
        api.post(&format!("{session}/attach"), json!({})).await.refused(status, code);
        api.delete(&session).await.refused(status, code);
        api.send(Method::PUT, &files, Some("x".into())).await.refused(status, code);
    }
    w.readonly.get(&files).await.refused(403, "forbidden");
    w.in_other_project().api.get(&files).await.refused(404, "not_found");
    w.api.without_token().get(&files).await.refused(401, "unauthorized");

    let ticket = w.api.post(&exec, json!({"argv": ["echo", "s3cret"]})).await.expect(201);
    let secret =
        ticket["url"].as_str().and_then(|url| url.split('=').next_back()).expect("a token").to_owned();
    assert!(secret.len() >= 43 && !w.dump().await.contains(&secret), "kept as a hash");
    let console = ticket["url"].as_str().expect("a URL").replace("/exec?", "/console?");
    assert_eq!(Exec::open(&json!({"url": console, "session": "x"})).await.expect_err("the wrong door"), 401);
    let (one, two) = tokio::join!(Exec::open(&ticket), Exec::open(&ticket));
    let statuses = [one.as_ref().err(), two.as_ref().err()];
    assert!(matches!(statuses, [None, Some(401)] | [Some(401), None]), "exactly one gets in: {statuses:?}");
    let mut won = one.or(two).expect("one");
    assert_eq!(won.ended().await, code(0));
    assert!(!w.dump().await.contains("s3cret"), "what was run is not kept");
    let old = w.api.post(&exec, what.clone()).await.expect(201);
    w.sql("update console_tickets set expires_at = now()").await;
    assert_eq!(Exec::open(&old).await.expect_err("its time is over"), 401);

    for (body, field) in [
        (json!({}), "argv"),
        (json!({"argv": []}), "argv"),
        (json!({"argv": [""]}), "argv"),
        (json!({"argv": ["x"], "env": {"A=B": "c"}}), "env"),
        (json!({"argv": ["x"], "cwd": "relative"}), "cwd"),
        (json!({"argv": ["x"], "user": "a:b"}), "user"),
        (json!({"argv": ["x"], "tty": {"cols": 0, "rows": 1}}), "tty"),
        (json!({"argv": ["x".repeat(20_000)]}), "argv"),
    ] {
        assert_eq!(w.api.post(&exec, body).await.wrong_fields(), [field]);
    }
    w.act(id, "poweroff", "stop_server").await;
    w.api.post(&exec, what).await.refused(412, "resource_unavailable");
    w.api.get(&files).await.refused(412, "resource_unavailable");
    w.finish().await;
}

#[tokio::test]
async fn files_are_put_and_fetched_whole() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let at = |path: &str| format!("{}/berth/v1/servers/{id}/files?path={path}", w.url(0));
    let http = reqwest::Client::new();
    let put = async |path: &str, body: Vec<u8>| {
        let request = http.put(at(path)).bearer_auth(w.api.token()).body(body);
        request.send().await.expect("an answer").status().as_u16()
    };
    let get =
        async |path: &str| http.get(at(path)).bearer_auth(w.api.token()).send().await.expect("an answer");
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(put("/root/large", large.clone()).await, 204);
    assert_eq!(put("/root/small&mode=0755", b"#!/bin/sh\n".to_vec()).await, 204);
    let answer = get("/root/large").await;
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(3_000_000)));
    assert!(answer.bytes().await.expect("all of it") == large);
    let answer = get("/root/small").await;
    assert_eq!(answer.headers()["x-berth-mode"], "0755");
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    let answer = get("/root").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let list: serde_json::Value = answer.json().await.expect("a list");
    let names: Vec<_> =
        list["entries"].as_array().expect("entries").iter().map(|e| e["name"].clone()).collect();
    assert_eq!(names, ["large", "small"]);

    let files = format!("/berth/v1/servers/{id}/files");
    w.api.get(&format!("{files}?path=/nothing")).await.refused(404, "not_found");
    for wrong in ["", "?path=", "?path=relative", "?path=/a%00b"] {
        assert_eq!(w.api.get(&format!("{files}{wrong}")).await.wrong_fields(), ["path"], "{wrong}");
    }
    assert_eq!(
        w.api.send(Method::PUT, &format!("{files}?path=/x&mode=9"), None).await.wrong_fields(),
        ["mode"]
    );
    let request = http.put(at("/x")).bearer_auth(w.api.token()).header("content-length", 2_u64 << 30);
    let answer = request.body(reqwest::Body::from("x")).send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status().as_u16() == 413));
    w.link(0).set(Mode::Cut);
    let answer = get("/root/small").await;
    assert_eq!(answer.status().as_u16(), 412, "a host that is away is not waited for for ever");
    w.link(0).set(Mode::Pass);
    w.finish().await;
}
