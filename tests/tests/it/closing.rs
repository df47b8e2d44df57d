//! What is kept about a person, and the end of an account.

use berth_tests::browser::Browser;
use berth_tests::world::World;
use serde_json::{Value, json};

use super::dashboard::signed_in;

const ANNA: &str = "anna@berth.example";
const PASSWORD: &str = "correct horse battery";

fn right(email: &str) -> [(&str, &str); 2] {
    [("close-password", PASSWORD), ("confirm", email)]
}

async fn exported(browser: &Browser) -> Value {
    let seen = browser.get("/account/export").await;
    let name = seen.headers["content-disposition"].to_str().expect("ASCII").to_owned();
    assert!(name.contains("attachment"), "{name}");
    assert_eq!(seen.headers["cache-control"], "no-store");
    serde_json::from_str(&seen.expect(200)).expect("JSON")
}

#[tokio::test]
async fn a_person_gets_what_is_kept_about_them_and_nothing_of_others() {
    let w = World::builder().hosts(0).start().await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let ben = signed_in(&w, "ben@berth.example", false, &["mine"]).await;
    let mine = w.scalar("select id from projects where name = 'mine'").await;
    let tokens = format!("/projects/{mine}/tokens");
    anna.post(&tokens, &[("name", "annas"), ("access", "read")]).await.leads_to(&tokens);
    ben.post(&tokens, &[("name", "bens"), ("access", "read")]).await.leads_to(&tokens);
    anna.post("/account/name", &[("name", "Anna <b>\"quoted\"</b>")]).await.leads_to("/account");
    let wrong = Browser::new(w.url(0));
    wrong.post("/sign-in", &[("email", ANNA), ("password", "not the right one")]).await.expect(422);
    // More of the trail than is read at a time.
    w.sql("insert into audit (actor_kind, actor_id, actor, event) select 'user', u.id, u.email, 'test.noted' from users u, generate_series(1, 1100) where u.email = 'anna@berth.example'").await;
    let all = exported(&anna).await;
    assert_eq!(all["profile"]["email"], ANNA);
    assert_eq!(all["profile"]["name"], "Anna <b>\"quoted\"</b>");
    assert_eq!(all["memberships"][0]["role"], "owner");
    assert_eq!(all["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&all["tokens"][0]["name"], all["tokens"].as_array().map(Vec::len)),
        (&json!("annas"), Some(1))
    );
    let trail = all["audit"].as_array().expect("the trail");
    let of = |event: &str| trail.iter().filter(|entry| entry["event"] == event).count();
    assert_eq!((of("test.noted"), of("token.created")), (1100, 1));
    assert!(of("session.started") > 0 && of("session.refused") > 0 && of("user.changed") > 0, "{}", trail[0]);
    let text = all.to_string();
    for secret in ["argon2", "password_hash\":\"$", "bens", "ben@berth.example"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let id = w.scalar("select id from users where email = 'anna@berth.example'").await;
    let by_operator = w.admin.get(&format!("/admin/v1/users/{id}/export")).await.expect(200);
    assert_eq!(by_operator["profile"], all["profile"]);
    w.admin.get("/admin/v1/users/99999/export").await.refused(404, "not_found");
    // Who did nothing gets a document, too.
    w.admin.post("/admin/v1/users", json!({"email": "new@berth.example"})).await.expect(201);
    let id = w.scalar("select id from users where email = 'new@berth.example'").await;
    let quiet = w.admin.get(&format!("/admin/v1/users/{id}/export")).await.expect(200);
    assert_eq!(quiet["memberships"], json!([]));
    w.finish().await;
}

#[tokio::test]
async fn an_account_is_closed_by_who_knows_the_password_and_means_it() {
    let w = World::builder().hosts(0).start().await;
    let anna = signed_in(&w, ANNA, false, &[]).await;
    anna.post("/account/projects", &[("project", "own")]).await.location();
    let own = w.scalar("select id from projects where name = 'own'").await;
    let keys = format!("/projects/{own}/keys");
    anna.post(&keys, &[("public_key", &berth_tests::world::public_key())]).await.leads_to(&keys);
    let token = w.control.token(own, true).await;
    let api = w.api.with_token(token);
    api.post("/v1/networks", json!({"name": "n", "ip_range": "10.0.0.0/16"})).await.expect(201);
    api.post("/v1/firewalls", json!({"name": "f"})).await.expect(201);
    let close = "/account/close";
    let told =
        anna.post(close, &[("close-password", "wrong"), ("confirm", "else@berth.example")]).await.expect(422);
    assert!(told.contains("not your password") && told.contains("not the address of your account"), "{told}");
    anna.post(close, &[("close-password", PASSWORD), ("confirm", "")]).await.expect(422);
    anna.post(close, &[]).await.expect(422);
    anna.get("/account").await.expect(200);

    let page = anna.post(close, &right("Anna@Berth.example")).await.expect(200);
    assert!(page.contains("account is closed"), "{page}");
    assert!(anna.get("/account").await.location().starts_with("/sign-in"));
    let again = Browser::new(w.url(0));
    again.post("/sign-in", &[("email", ANNA), ("password", PASSWORD)]).await.expect(422);
    api.get("/v1/servers").await.refused(401, "unauthorized");
    for (count, query) in [
        (0, "select count(*) from users where email like 'anna%'"),
        (0, "select count(*) from memberships m join projects p on p.id = m.project_id where p.name = 'own'"),
        (0, "select count(*) from ssh_keys"),
        (0, "select count(*) from firewalls"),
        (0, "select count(*) from networks where deleted_at is null"),
        (1, "select count(*) from projects where name = 'own' and closed_at is not null"),
    ] {
        assert_eq!(w.scalar(query).await, count, "{query}");
    }
    let projects = w.admin.get("/admin/v1/projects").await.expect(200).to_string();
    assert!(!projects.contains("\"own\""), "{projects}");
    w.admin.post("/admin/v1/projects", json!({"name": "own"})).await.expect(201); // the name is free
    let trail = w.admin.get("/admin/v1/audit?event=user.deleted").await.expect(200);
    let entry = &trail["entries"][0];
    assert_eq!((&entry["before"]["email"], &entry["actor"]), (&json!(ANNA), &json!(ANNA)));
    assert!(!trail.to_string().contains("argon2"), "{trail}");
    w.finish().await;
}

#[tokio::test]
async fn what_others_depend_on_holds_an_account_back() {
    let w = World::start().await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let id = w.running(&w.create("web").await).await;
    let close = "/account/close";
    let refused = async |text: &str| {
        let told = anna.post(close, &right(ANNA)).await.expect(409);
        assert!(
            told.contains("The project mine has no other owner") && told.contains(text),
            "{text}: {told}"
        );
        anna.get("/account").await.expect(200);
    };
    refused("still has servers: 1").await;
    let ip =
        w.api.post("/v1/floating_ips", json!({"type": "ipv4", "home_location": "local"})).await.expect(201);
    w.delete(id).await;
    refused("still has addresses: 1").await;
    w.api.delete(&format!("/v1/floating_ips/{}", ip["floating_ip"]["id"])).await.expect(204);
    let ben = signed_in(&w, "ben@berth.example", false, &["mine"]).await;
    w.sql("update memberships set role = 'member' where user_id = (select id from users where email like 'ben%')").await;
    refused("has another member").await;
    // Somebody else owns it now: it stays, whatever it has.
    w.sql("update memberships set role = 'owner'").await;
    w.running(&w.create("web").await).await;
    anna.post(close, &right(ANNA)).await.expect(200);
    let mine = w.scalar("select id from projects where name = 'mine' and closed_at is null").await;
    ben.get(&format!("/projects/{mine}/servers")).await.expect(200);
    w.api.get("/v1/servers").await.expect(200);
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_owners_who_go_at_once_one_stays() {
    let w = World::builder().hosts(0).start().await;
    let mut owners = Vec::new();
    for n in 0..2 {
        let email = format!("owner{n}@berth.example");
        owners.push((signed_in(&w, &email, false, &["mine"]).await, email));
    }
    w.api.post("/v1/floating_ips", json!({"type": "ipv4", "home_location": "local"})).await.expect(201);
    let go = async |(browser, email): &(Browser, String)| {
        browser.post("/account/close", &right(email)).await.status
    };
    let mut seen = [0, 0];
    (seen[0], seen[1]) = tokio::join!(go(&owners[0]), go(&owners[1]));
    seen.sort_unstable();
    assert_eq!(seen, [200, 409]);
    assert_eq!(
        w.scalar(
            "select count(*) from memberships m join projects p on p.id = m.project_id where p.name = 'mine'"
        )
        .await,
        1
    );
    w.finish().await;
}

#[tokio::test]
async fn operators_close_accounts_but_not_the_last_of_their_own() {
    let w = World::builder().hosts(0).start().await;
    w.sql("delete from users").await;
    let op = signed_in(&w, "op@berth.example", true, &[]).await;
    let told = op.post("/account/close", &right("op@berth.example")).await.expect(409);
    assert!(told.contains("only operator"), "{told}");
    signed_in(&w, "second@berth.example", true, &[]).await;
    op.post("/account/close", &right("op@berth.example")).await.expect(200);
    let id = w.scalar("select id from users").await;
    w.admin.delete(&format!("/admin/v1/users/{id}")).await.refused(409, "conflict");
    let anna = signed_in(&w, ANNA, false, &[]).await;
    anna.post("/account/projects", &[("project", "own")]).await.location();
    let own = w.scalar("select id from projects where name = 'own'").await;
    let id = w.scalar("select id from users where not operator").await;
    let closed = w.admin.delete(&format!("/admin/v1/users/{id}")).await.expect(200);
    assert_eq!(closed["projects"], json!([own]));
    w.admin.delete(&format!("/admin/v1/users/{id}")).await.refused(404, "not_found");
    assert!(anna.get("/account").await.location().starts_with("/sign-in"));
    w.finish().await;
}
