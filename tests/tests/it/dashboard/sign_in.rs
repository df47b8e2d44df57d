//! Sessions: how they begin and end, and what does not begin one.

use berth_tests::browser::Browser;
use berth_tests::world::World;

use super::{PASSWORD, person, signed_in};

#[tokio::test]
async fn a_session_begins_and_ends() {
    let w = World::start().await;
    person(&w, "ada@berth.example", false, &["mine"]).await;
    let browser = Browser::new(w.url(0));
    browser.plant("/", "berth_session", &"0".repeat(64));
    browser.get("/").await.leads_to("/sign-in");
    let seen = browser.post("/sign-in", &[("email", "ADA@berth.example"), ("password", PASSWORD)]).await;
    seen.leads_to("/");
    let cookie = seen.headers["set-cookie"].to_str().expect("ASCII");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let session = browser.cookie("/", "berth_session").expect("a session");
    assert_ne!(session, "0".repeat(64), "a planted session is not taken over");
    assert!(!w.dump().await.contains(&session), "sessions are kept as hashes");

    browser.sign_in("ada@berth.example", PASSWORD).await;
    let rotated = browser.cookie("/", "berth_session").expect("a session");
    assert_ne!(rotated, session);
    let thief = Browser::new(w.url(0));
    thief.plant("/", "berth_session", &session);
    thief.get("/").await.leads_to("/sign-in");

    browser.post("/sign-out", &[]).await.leads_to("/sign-in");
    thief.plant("/", "berth_session", &rotated);
    thief.get("/").await.leads_to("/sign-in");
    w.finish().await;
}

#[tokio::test]
async fn after_signing_in_one_is_where_one_wanted_to_be_and_nowhere_else() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", true, &["mine"]).await;
    browser.post("/sign-out", &[]).await.leads_to("/sign-in");
    browser.get("/fleet/hosts?x=1&y=2").await.leads_to("/sign-in?next=/fleet/hosts%3Fx%3D1%26y%3D2");
    let page = browser.get("/sign-in?next=/fleet/hosts%3Fx%3D1%26y%3D2").await.expect(200);
    assert!(page.contains(r#"name="next" value="/fleet/hosts?x=1&#38;y=2""#), "{page}");
    for (next, to) in [
        ("/fleet/hosts?x=1&y=2", "/fleet/hosts?x=1&y=2"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/\t/evil.example/", "/"),
        ("javascript:alert(1)", "/"),
    ] {
        let fields = [("email", "ada@berth.example"), ("password", PASSWORD), ("next", next)];
        browser.post("/sign-in", &fields).await.leads_to(to);
        browser.post("/theme", &[("theme", "dark"), ("next", next)]).await.leads_to(to);
    }
    w.finish().await;
}

#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_else_out() {
    let w = World::start().await;
    person(&w, "ada@berth.example", false, &["mine"]).await;
    person(&w, "bob@berth.example", false, &["mine"]).await;
    let browser = Browser::new(w.url(0));
    let attempt = |email: &'static str, password: &'static str| {
        let browser = &browser;
        async move { browser.post("/sign-in", &[("email", email), ("password", password)]).await }
    };
    for (email, password) in [
        ("ada@berth.example", ""),
        ("ada@berth.example", "wrong"),
        ("nobody@berth.example", PASSWORD),
        ("", ""),
    ] {
        let page = attempt(email, password).await.expect(422);
        assert!(page.contains("The address or the password is wrong."), "the same for all: {page}");
        assert_eq!(browser.cookie("/", "berth_session"), None);
    }
    for _ in 0..3 {
        attempt("ada@berth.example", "wrong").await.expect(422);
    }
    let seen = attempt("ada@berth.example", PASSWORD).await;
    assert!(seen.headers.contains_key("retry-after"));
    seen.expect(429);
    attempt("bob@berth.example", PASSWORD).await.leads_to("/");
    w.finish().await;
}
