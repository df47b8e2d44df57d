//! Passkeys: added, used alone and after a password, and refused.

use berth_server::db::factors;
use berth_server::ids::UserId;
use berth_tests::browser::{Browser, Seen};
use berth_tests::node;
use berth_tests::passkey::Device;
use berth_tests::world::World;
use serde_json::Value;

use super::dashboard::signed_in;

const ANNA: &str = "anna@harbour.example";
const PASSWORD: &str = "correct horse battery";
const PAGE: &str = "/account/passkeys";

async fn world() -> World {
    World::builder().hosts(0).named().start().await
}

fn json(seen: Seen) -> Value {
    serde_json::from_str(&seen.expect(200)).expect("JSON")
}

/// Adds the device's passkey; gives the recovery codes that are shown.
async fn add(w: &World, anna: &Browser, device: &mut Device) -> Vec<String> {
    let options = json(anna.post(&format!("{PAGE}/options"), &[("password", PASSWORD)]).await);
    let made = device.make(&options, &w.url(0));
    anna.post(PAGE, &[("name", "phone"), ("credential", &made)]).await.leads_to(PAGE);
    let shown = anna.get(PAGE).await.expect(200);
    let codes = shown.split("<li><code>").skip(1);
    codes.filter_map(|rest| Some(rest.split_once('<')?.0.to_owned())).collect()
}

/// What a browser is asked at the sign-in page.
async fn asked(browser: &Browser) -> Value {
    json(browser.post("/sign-in/passkey/options", &[]).await)
}

async fn show(browser: &Browser, shown: &str) -> Seen {
    browser.post("/sign-in/passkey", &[("credential", shown), ("next", "/account")]).await
}

async fn refusals(w: &World, code: &str) -> i64 {
    let sql = format!(
        "select count(*) from audit where event = 'session.refused' and after ->> 'passkey' = '{code}'"
    );
    w.scalar(&sql).await
}

#[tokio::test]
async fn one_is_added_signs_in_and_is_removed() {
    let w = world().await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let options = format!("{PAGE}/options");
    let told = anna.post(&options, &[("password", "a wrong password")]).await.expect(422);
    assert!(told.contains("not your password"), "{told}");
    let mut phone = Device::default();
    let codes = add(&w, &anna, &mut phone).await;
    assert_eq!(codes.len(), 10);
    assert!(!anna.get(PAGE).await.expect(200).contains(&codes[0]), "shown once");

    // A session of its own, whatever cookie was planted.
    let browser = Browser::new(w.url(0));
    browser.plant("/", "berth_session", &"0".repeat(64));
    let page = browser.get("/sign-in").await.expect(200);
    assert!(page.contains("Sign in with a passkey"), "{page}");
    let question = asked(&browser).await;
    show(&browser, &phone.show(&question, &w.url(0))).await.leads_to("/account");
    browser.get("/account").await.expect(200);
    let session = browser.cookie("/", "berth_session").expect("a session");
    assert_ne!(session, "0".repeat(64));
    show(&browser, &phone.show(&asked(&browser).await, &w.url(0))).await.leads_to("/account");
    assert_ne!(browser.cookie("/", "berth_session").expect("a session"), session, "each sign-in has its own");

    // What is kept about Anna names it, and no key.
    let kept = anna.get("/account/export").await.expect(200);
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    assert_eq!(kept["passkeys"][0]["name"], "phone");
    assert!(kept["passkeys"][0]["last_used_at"].is_string() && kept["passkeys"][0]["credential"].is_null());

    let id = w.scalar("select id from passkeys").await;
    anna.post(&format!("{PAGE}/{id}/name"), &[("name", "<b>old phone")]).await.leads_to(PAGE);
    assert!(anna.get(PAGE).await.expect(200).contains("&#60;b&#62;old phone"));
    let eve = signed_in(&w, "eve@harbour.example", false, &["others"]).await;
    eve.post(&format!("{PAGE}/{id}/name"), &[("name", "mine")]).await.expect(404);
    eve.post(&format!("{PAGE}/{id}/remove"), &[("password", PASSWORD)]).await.expect(404);
    anna.post(&format!("{PAGE}/{id}/remove"), &[("password", "a wrong password")]).await.expect(422);
    anna.post(&format!("{PAGE}/{id}/remove"), &[("password", PASSWORD)]).await.leads_to(PAGE);
    let gone = show(&browser, &phone.show(&asked(&browser).await, &w.url(0))).await.expect(422);
    assert!(gone.contains("not known here"), "{gone}");
    assert_eq!(w.scalar("select count(*) from recovery_codes").await, 0, "they went with the last passkey");
    for event in ["created", "changed", "deleted"] {
        let sql = format!("select count(*) from audit where event = 'passkey.{event}' and actor = '{ANNA}'");
        assert_eq!(w.scalar(&sql).await, 1, "{event}");
    }

    // An account is closed with what is left of them.
    add(&w, &anna, &mut Device::default()).await;
    anna.post("/account/close", &[("close-password", PASSWORD), ("confirm", ANNA)]).await.expect(200);
    let left = "select (select count(*) from passkeys) + (select count(*) from passkey_challenges where user_id is not null)";
    assert_eq!(w.scalar(left).await, 0);
    w.finish().await;
}

#[tokio::test]
async fn what_is_false_is_refused_and_told() {
    let w = world().await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let (mut phone, here) = (Device::default(), w.url(0));
    add(&w, &anna, &mut phone).await;
    let browser = Browser::new(w.url(0));

    // Once is once: the same answer again, and to another question.
    let question = asked(&browser).await;
    let first = phone.show(&question, &here);
    show(&browser, &first).await.leads_to("/account");
    assert!(show(&browser, &first).await.expect(422).contains("used already"));
    asked(&browser).await;
    show(&browser, &first).await.expect(422);
    // To a question that another browser was asked.
    let question = asked(&browser).await;
    let thief = Browser::new(w.url(0));
    asked(&thief).await;
    show(&thief, &phone.show(&question, &here)).await.expect(422);
    assert_eq!(refusals(&w, "over").await, 3);
    show(&browser, &phone.show(&asked(&browser).await, &here)).await.leads_to("/account");

    // Another site passes on what it was told; another port is another site.
    for origin in ["https://evil.example", "http://localhost:1", "http://localhost.evil.example"] {
        let shown = phone.show(&asked(&browser).await, origin);
        assert!(show(&browser, &shown).await.expect(422).contains("another site"), "{origin}");
    }
    let mut question = asked(&browser).await;
    question["publicKey"]["rpId"] = "evil.example".into();
    show(&browser, &phone.show(&question, &here)).await.expect(422);
    assert_eq!(refusals(&w, "origin").await, 4);
    show(&browser, &phone.show(&asked(&browser).await, &here)).await.leads_to("/account");

    // Nobody looked who holds the device; a copy counts on by itself; another key signs; somebody else's name is on it.
    phone.verifies = false;
    show(&browser, &phone.show(&asked(&browser).await, &here)).await.expect(422);
    phone.verifies = true;
    phone.counter = 0;
    assert!(show(&browser, &phone.show(&asked(&browser).await, &here)).await.expect(422).contains("copy"));
    phone.counter = 100;
    let shown = phone.show(&asked(&browser).await, &here).replace("\"signature\":\"", "\"signature\":\"AAAA");
    show(&browser, &shown).await.expect(422);
    let mut shown: Value = serde_json::from_str(&phone.show(&asked(&browser).await, &here)).expect("JSON");
    shown["response"]["userHandle"] = Value::Null;
    show(&browser, &shown.to_string()).await.expect(422);
    for odd in ["", "{}", "null", "\0", "[[[["] {
        show(&browser, odd).await.expect(422);
    }
    for (code, count) in [("unverified", 1), ("copied", 1), ("wrong", 1), ("unknown", 1)] {
        assert_eq!(refusals(&w, code).await, count, "{code}");
    }
    assert!(refusals(&w, "unreadable").await >= 1);
    assert_eq!(w.scalar("select count(*) from sessions").await, 2, "nobody came in by any of that");

    // Nor is a passkey added that was made elsewhere, or twice, or by nobody who was asked.
    let options = format!("{PAGE}/options");
    let mut other = Device::default();
    let question = json(anna.post(&options, &[("password", PASSWORD)]).await);
    let made = other.make(&question, "https://evil.example");
    assert!(anna.post(PAGE, &[("credential", &made)]).await.expect(422).contains("another site"));
    let made = other.make(&question, &here);
    assert!(anna.post(PAGE, &[("credential", &made)]).await.expect(422).contains("used already"));
    let question = json(anna.post(&options, &[("password", PASSWORD)]).await);
    anna.post(PAGE, &[("credential", &phone.make(&question, &here))]).await;
    assert_eq!(w.scalar("select count(*) from passkeys").await, 1);
    assert!(w.scalar("select count(*) from audit where event = 'passkey.refused'").await >= 2);
    w.finish().await;
}

#[tokio::test]
async fn it_is_a_second_factor_too() {
    let w = world().await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let (mut phone, here) = (Device::default(), w.url(0));
    let codes = add(&w, &anna, &mut phone).await;
    let half = async || {
        let browser = Browser::new(w.url(0));
        let seen = browser.post("/sign-in", &[("email", ANNA), ("password", PASSWORD)]).await;
        seen.leads_to("/sign-in/code?next=/");
        browser
    };
    let ask = async |browser: &Browser| json(browser.post("/sign-in/code/options", &[]).await);
    let answer = async |browser: &Browser, shown: &str| {
        browser.post("/sign-in/code/passkey", &[("credential", shown), ("next", "/account")]).await
    };
    let browser = half().await;
    assert!(browser.get("/sign-in/code").await.expect(200).contains("Use a passkey"));
    let shown = phone.show(&ask(&browser).await, &here);
    answer(&browser, &shown).await.leads_to("/account");
    browser.get("/account").await.expect(200);
    assert!(answer(&browser, &shown).await.location().starts_with("/sign-in"), "the step is over");

    // Somebody else's passkey is none of hers.
    let eve = signed_in(&w, "eve@harbour.example", false, &["others"]).await;
    let mut theirs = Device::default();
    add(&w, &eve, &mut theirs).await;
    let browser = half().await;
    let page = answer(&browser, &theirs.show(&ask(&browser).await, &here)).await.expect(422);
    assert!(page.contains("not known here") && page.contains("4 more tries"), "{page}");
    // A question of the sign-in page is none of this step.
    let other = asked(&browser).await;
    answer(&browser, &phone.show(&other, &here)).await.expect(422);
    for left in [2, 1] {
        assert!(answer(&browser, "{}").await.expect(422).contains(&format!("{left} more tries")));
    }
    answer(&browser, "{}").await.expect(403);
    browser.post("/sign-in/code/options", &[]).await.expect(403);

    assert_eq!(
        w.scalar("select count(*) from audit where event = 'session.refused' and after ? 'left'").await,
        5
    );

    // A recovery code does instead, once; and an operator helps who has lost all. (Passwords have to wait for now.)
    let id = UserId(w.scalar(&format!("select id from users where email = '{ANNA}'")).await);
    let later = async || {
        let step = factors::ask(&w.app().db, id).await.expect("a step");
        let browser = Browser::new(w.url(0));
        browser.plant("/sign-in", "berth_step", step.expose());
        browser
    };
    let code = [("code", codes[0].as_str()), ("next", "/account")];
    later().await.post("/sign-in/code", &code).await.leads_to("/account");
    later().await.post("/sign-in/code", &code).await.expect(422);
    assert!(factors::wanted(&w.app().db, id).await.expect("an answer"));
    w.admin.delete(&format!("/admin/v1/users/{id}/second_factor")).await.expect(204);
    assert!(!factors::wanted(&w.app().db, id).await.expect("an answer"));
    w.finish().await;
}

#[tokio::test]
async fn an_address_of_numbers_has_none_and_says_why() {
    let w = World::builder().hosts(0).start().await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let page = anna.get(PAGE).await.expect(200);
    assert!(page.contains("has no name but numbers") && !page.contains("data-passkey"), "{page}");
    let options = format!("{PAGE}/options");
    assert!(anna.post(&options, &[("password", PASSWORD)]).await.expect(403).contains("no passkeys here"));
    let nobody = Browser::new(w.url(0));
    assert!(!nobody.get("/sign-in").await.expect(200).contains("passkey/options"));
    nobody.post("/sign-in/passkey/options", &[]).await.expect(403);
    nobody.post("/sign-in/passkey", &[("credential", "{}")]).await.expect(403);
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_browser() {
    let w = world().await;
    signed_in(&w, ANNA, false, &["mine"]).await;
    let url = w.url(0);
    let run = tokio::task::spawn_blocking(move || {
        let mut node = node::tests(&["passkeys.test.mjs"]);
        node::run(node.env("BERTH_URL", url).env("BERTH_EMAIL", ANNA).env("BERTH_PASSWORD", PASSWORD));
    });
    run.await.expect("the browser's tests pass");
    assert_eq!(refusals(&w, "over").await, 1);
    w.finish().await;
}
