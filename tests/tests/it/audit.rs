//! The audit trail: every way to a change is in it, no secret is, and whoever changes it is found.

use std::time::Duration;

use berth_tests::browser::Browser;
use berth_tests::wait::until;
use berth_tests::world::{World, public_key};
use serde_json::{Value, json};

use super::dashboard::{member, signed_in};

async fn mine(w: &World) -> i64 {
    w.scalar("select id from projects where name = 'mine'").await
}

async fn entries(w: &World, query: &str) -> Vec<Value> {
    let answer = w.admin.get(&format!("/admin/v1/audit?per_page=50&{query}")).await.expect(200);
    answer["entries"].as_array().expect("a list").clone()
}

/// The trail says who, what, from where, before and after, whichever way the change came.
#[tokio::test]
async fn every_way_to_a_change_is_in_it() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;

    // A tenant's token.
    let answer =
        w.api.put(&format!("/v1/servers/{id}"), json!({"name": "www", "labels": {"env": "prod"}})).await;
    let correlation = answer.header("x-correlation-id").expect("every answer has one").to_owned();
    answer.expect(200);
    let found = entries(&w, &format!("correlation_id={correlation}")).await;
    assert_eq!(found.len(), 2, "a name, which the host is told, and labels, which it is not: {found:?}");
    for entry in &found {
        assert_eq!(entry["event"], "server.changed");
        assert_eq!((&entry["actor_kind"], &entry["target_id"]), (&json!("token"), &json!(id)));
        assert_eq!(entry["source"], "127.0.0.1");
        assert_eq!(entry["request"], format!("PUT /v1/servers/{id}"));
    }
    let differs = |entry: &Value| (entry["before"].clone(), entry["after"].clone());
    assert_eq!(differs(&found[0]), (json!({"name": "web"}), json!({"name": "www"})));
    assert_eq!(differs(&found[1]), (json!({"labels": {}}), json!({"labels": {"env": "prod"}})));

    // An operator's token.
    w.admin.post("/admin/v1/projects", json!({"name": "quay"})).await.expect(201);
    let found = entries(&w, "event=project.created").await;
    assert_eq!(
        (&found[0]["actor_kind"], &found[0]["after"]["name"]),
        (&json!("operator_token"), &json!("quay"))
    );

    // A person in the dashboard; and one who does not get in.
    let (browser, project) = (member(&w).await, mine(&w).await);
    let path = format!("/projects/{project}/keys");
    browser.post(&path, &[("name", "mine"), ("public_key", &public_key())]).await.leads_to(&path);
    let found = entries(&w, "event=ssh_key").await;
    assert_eq!(
        (&found[0]["actor_kind"], &found[0]["actor"]),
        (&json!("user"), &json!("member@berth.example"))
    );
    assert_eq!(found[0]["project"], json!(project));
    assert_eq!(entries(&w, "event=session.started&actor=member@berth.example").await.len(), 1);
    let stranger = Browser::new(w.url(0));
    stranger.post("/sign-in", &[("email", "member@berth.example"), ("password", "a wrong one")]).await;
    let found = entries(&w, "event=session.refused").await;
    assert_eq!(
        (&found[0]["actor_kind"], &found[0]["target"]),
        (&json!("nobody"), &json!("member@berth.example"))
    );

    // Nobody: what the system does by itself has no request, and connections forget who asked.
    w.sql("update plans set description = 'by hand'").await;
    let found = entries(&w, "event=plan.changed").await;
    assert_eq!((&found[0]["actor_kind"], &found[0]["request"]), (&json!("system"), &json!("")));

    // Reading and reports are no changes.
    let before = w.scalar("select count(*) from audit").await;
    w.api.get(&format!("/v1/servers/{id}")).await.expect(200);
    w.admin.get("/admin/v1/hosts").await.expect(200);
    assert_eq!(w.scalar("select count(*) from audit").await, before);
    w.finish().await;
}

#[tokio::test]
async fn secrets_are_not_told_and_projects_see_their_own() {
    let w = World::start().await;
    let body = json!({"name": "web", "server_type": w.plan, "image": w.image, "user_data": "#!/bin/sh\necho hunter2"});
    let created = w.api.post("/v1/servers", body).await.expect(201);
    let id = w.running(&created).await;
    w.act(id, "reset_password", "reset_password").await;
    w.api.post(&format!("/v1/servers/{id}/actions/request_console"), json!({})).await.expect(201);
    let told = w.scalar("select count(*) from audit a where a::text ~ 'hunter2|[$]6[$]|[$]argon2'").await;
    assert_eq!(told, 0, "no user data, no hash");
    let changed = entries(&w, "event=server.changed").await;
    assert!(
        changed.iter().any(|e| e["after"]["root_password_hash"] == "…"),
        "but that they changed: {changed:?}"
    );
    let inside = entries(&w, "event=inside").await;
    assert_eq!((&inside[0]["target"], &inside[0]["after"]), (&json!("web"), &json!({"opened": "console"})));

    let own = w.api.get("/berth/v1/audit?event=server").await.expect(200);
    assert!(own["entries"].as_array().is_some_and(|all| !all.is_empty()));
    let other = w.in_other_project();
    let theirs = other.api.get("/berth/v1/audit?event=server").await.expect(200);
    assert_eq!(theirs["entries"], json!([]), "another project's changes");
    let (browser, project) = (member(&w).await, mine(&w).await);
    let page = browser.get(&format!("/projects/{project}/audit?event=server&actor=")).await.expect(200);
    assert!(!page.contains("hunter2"));
    browser.get("/fleet/audit").await.expect(404);
    w.finish().await;
}

#[tokio::test]
async fn whoever_changes_it_is_found() {
    let w = World::builder().hosts(0).start().await;
    for n in 0..5 {
        w.admin.post("/admin/v1/projects", json!({"name": format!("p{n}")})).await.expect(201);
    }
    let verdict = async || -> Value { w.admin.get("/admin/v1/audit/verdict").await.expect(200) };
    let whole: Value = verdict().await;
    assert_eq!(whole["broken_at"], Value::Null);
    assert!(whole["rows"].as_i64().is_some_and(|n| n >= 5), "{whole}");
    w.sql("update projects set name = name || '!' where name like 'p_'").await;
    until("all is sealed by itself", Duration::from_secs(30), async || {
        match w.scalar("select count(*) from audit where seq is null").await {
            0 => Ok(()),
            n => Err(format!("{n} rows are not")),
        }
    })
    .await;

    // Not even our own connection may touch it, and the export can be checked without us.
    for statement in [
        "update audit set target = 'x'",
        "delete from audit",
        "truncate audit",
        "update audit set seq = null, seal = null",
    ] {
        let refused = sqlx::raw_sql(statement).execute(w.inventory()).await;
        assert!(refused.is_err_and(|e| e.to_string().contains("only grows")), "{statement}");
    }
    let operator = signed_in(&w, "operator@berth.example", true, &[]).await;
    let head = verdict().await["head"].as_str().expect("a head").to_owned();
    let export = operator.get("/fleet/audit/export").await.expect(200);
    assert_eq!(python_checks(&export).await, head);

    // Whoever owns the database can switch the trigger off. What they did then is seen.
    let meddle = async |statement: &str| {
        w.sql("alter table audit disable trigger audit_only_grows").await;
        w.sql(statement).await;
        w.sql("alter table audit enable trigger audit_only_grows").await;
        verdict().await["broken_at"].clone()
    };
    let third = w.scalar("select id from audit where seq = 3").await;
    assert_eq!(meddle("update audit set target = target || '!' where seq = 3").await, json!(third));
    assert_eq!(meddle("update audit set target = left(target, -1) where seq = 3").await, Value::Null);
    let fourth = w.scalar("select id from audit where seq = 4").await;
    assert_eq!(meddle("delete from audit where seq = 3").await, json!(fourth));
    w.finish().await;
}

/// The newest seal, as a program that knows nothing of Berth works it out.
async fn python_checks(export: &str) -> String {
    let program = r#"
import hashlib, json, sys
seal = ""
for line in sys.stdin:
    row = json.loads(line)
    text = json.dumps(row["entry"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    seal = hashlib.sha256((seal + text).encode()).hexdigest()
    assert seal == row["seal"], row
print(seal)
"#;
    let mut child = tokio::process::Command::new("python3")
        .args(["-c", program])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3");
    let mut input = child.stdin.take().expect("piped");
    tokio::io::AsyncWriteExt::write_all(&mut input, export.as_bytes()).await.expect("written");
    drop(input);
    let done = child.wait_with_output().await.expect("it ends");
    assert!(done.status.success());
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}
