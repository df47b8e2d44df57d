//! Operators in a tenant's stead: they see and change what the tenant's projects have, never what is the tenant's own, for
//! a short time, and the trail names both.

use std::time::Duration;

use berth_tests::browser::Browser;
use berth_tests::world::World;

use super::{project, server, signed_in};

const OPERATOR: &str = "operator@berth.example";
const ANNA: &str = "anna@harbour.example";

async fn user(w: &World, email: &str) -> i64 {
    w.scalar(&format!("select id from users where email = '{email}'")).await
}

/// The operator's browser, in Anna's stead; and the tenant's own.
async fn acting(w: &World) -> (Browser, Browser) {
    let browser = signed_in(w, OPERATOR, true, &["others"]).await;
    let anna = signed_in(w, ANNA, false, &["mine"]).await;
    begin(w, &browser).await;
    (browser, anna)
}

async fn begin(w: &World, browser: &Browser) {
    let act = format!("/fleet/people/{}/act", user(w, ANNA).await);
    browser.post(&act, &[("reason", "Ticket 7: no network")]).await.leads_to("/");
}

async fn entries(w: &World, event: &str) -> i64 {
    w.scalar(&format!("select count(*) from audit where event = '{event}'")).await
}

#[tokio::test]
async fn an_operator_looks_in_a_tenants_stead_and_leaves() {
    let w = World::start().await;
    let operator = signed_in(&w, OPERATOR, true, &["others"]).await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let (mine, others) = (project(&w, "mine").await, project(&w, "others").await);
    let page = format!("/fleet/people/{}", user(&w, ANNA).await);
    assert!(operator.get(&page).await.expect(200).contains("Look in their stead"));
    let refused = operator.post(&format!("{page}/act"), &[("reason", " ")]).await.expect(422);
    assert!(refused.contains(r#"id="act-reason-error""#), "{refused}");
    let own = operator.get(&format!("/projects/{others}/servers")).await.expect(200);
    assert!(!own.contains("/account/acting/end"));
    begin(&w, &operator).await;

    // The banner stands on every page, the tenant's projects are there, and nothing else is.
    operator.get("/").await.leads_to(&format!("/projects/{mine}/servers"));
    for path in ["servers", "servers/new", "keys", "tokens", "members", "audit"] {
        let shown = operator.get(&format!("/projects/{mine}/{path}")).await.expect(200);
        assert!(
            shown.contains("/account/acting/end") && shown.contains(OPERATOR) && shown.contains(ANNA),
            "{path}"
        );
        assert!(!shown.contains("/fleet/"), "{path}: the fleet is not the tenant's");
    }
    // Pages about errors tell it too: what is not there, what is not theirs, and what an operator may not do here.
    let wrong = [
        operator.get(&format!("/projects/{others}/servers")).await.expect(404),
        operator.get("/no/such/page").await.expect(404),
        operator.post(&format!("/projects/{mine}/tokens"), &[("name", "x")]).await.expect(403),
    ];
    for (n, shown) in wrong.into_iter().enumerate() {
        assert!(shown.contains("/account/acting/end") && shown.contains(OPERATOR), "{n}: {shown}");
    }
    assert!(!anna.get("/no/such/page").await.expect(404).contains("/account/acting/end"));
    let id = server(&w, &operator, "web").await;
    w.settled().await;
    let theirs = anna.get(&format!("/projects/{mine}/servers/{id}")).await.expect(200);
    assert!(!theirs.contains("/account/acting/end"), "the tenant's own pages have no banner");

    operator.post("/account/acting/end", &[]).await.leads_to(&page);
    assert!(operator.get(&page).await.expect(200).contains("You are yourself again"));
    operator.get(&format!("/projects/{mine}/servers")).await.expect(404);
    operator.get("/fleet/hosts").await.expect(200);
    operator.post("/account/acting/end", &[]).await.leads_to("/");

    // The trail has the begin, the end, and both names in between.
    assert_eq!((entries(&w, "acting.started").await, entries(&w, "acting.ended").await), (1, 1));
    let both = format!("{OPERATOR} as {ANNA}");
    let made = "select count(*) from audit where event = 'server.created' and actor_kind = 'user'";
    assert_eq!(
        w.scalar(&format!(
            "{made} and actor = '{both}' and actor_id = (select id from users where email = '{OPERATOR}')"
        ))
        .await,
        1
    );
    let trail = operator.get("/fleet/audit?event=acting").await.expect(200);
    assert!(trail.contains("Ticket 7: no network") && trail.contains(ANNA), "{trail}");
    for name in [OPERATOR, ANNA] {
        let trail = operator.get(&format!("/fleet/audit?event=server&actor={name}")).await.expect(200);
        assert!(trail.contains(&both), "found by {name}: {trail}");
    }
    let trail = anna.get(&format!("/projects/{mine}/audit")).await.expect(200);
    assert!(trail.contains(&both), "the tenant sees it: {trail}");
    w.finish().await;
}

#[tokio::test]
async fn what_is_the_tenants_own_and_what_would_stay_is_refused() {
    let w = World::builder().hosts(0).start().await;
    let (operator, _anna) = acting(&w).await;
    let (mine, anna) = (project(&w, "mine").await, user(&w, ANNA).await);
    let project = format!("/projects/{mine}");
    let sum = "select (select count(*) from tokens) + 100 * (select count(*) from memberships where role = 'owner')
               + 10000 * ((select count(*) from invitations) + (select count(*) from second_factors) + (select count(*) from projects))
               + 1000000 * (select count(*) from users where name <> '')";
    let before = w.scalar(sum).await;
    for path in [
        "/account/name".to_owned(),
        "/account/password".to_owned(),
        "/account/sessions/end".to_owned(),
        "/account/projects".to_owned(),
        "/account/second-factor".to_owned(),
        "/account/second-factor/confirm".to_owned(),
        "/account/second-factor/off".to_owned(),
        "/invitation".to_owned(),
        format!("{project}/tokens"),
        format!("{project}/members"),
        format!("{project}/members/{anna}/role"),
        format!("{project}/members/{anna}/remove"),
        format!("{project}/invitations/1/delete"),
        format!("/fleet/people/{anna}/act"),
        format!("/fleet/people/{anna}/factor-off"),
    ] {
        let fields = [
            ("name", "x"),
            ("email", "eve@berth.example"),
            ("role", "read_only"),
            ("confirm", ANNA),
            ("reason", "x"),
        ];
        let seen = operator.post(&path, &fields).await;
        assert!([403, 404].contains(&seen.status), "{path}: {}", seen.status);
    }
    operator.get("/account/second-factor").await.expect(403);
    operator.get("/fleet/people").await.expect(403);
    assert_eq!(w.scalar(sum).await, before, "nothing was changed");
    w.finish().await;
}

#[tokio::test]
async fn nobody_acts_for_an_operator_or_for_longer_than_it_lasts() {
    let w = World::builder().hosts(0).start().await;
    let (operator, _anna) = acting(&w).await;
    let mine = format!("/projects/{}/servers", project(&w, "mine").await);
    let over = async |operator: &Browser, why: &str| {
        operator.get(&mine).await.expect(404);
        operator.get("/fleet/hosts").await.expect(200);
        assert_eq!(entries(&w, "acting.ended").await, entries(&w, "acting.started").await, "{why}");
    };
    operator.get(&mine).await.expect(200);
    w.sql("update sessions set acting_until = now() - interval '1 second' where acting_for is not null")
        .await;
    over(&operator, "the time is over").await;

    begin(&w, &operator).await;
    w.sql(&format!("update users set operator = true where email = '{ANNA}'")).await;
    over(&operator, "she runs this as well now").await;
    let page = format!("/fleet/people/{}", user(&w, ANNA).await);
    assert!(!operator.get(&page).await.expect(200).contains("Look in their stead"));
    operator.post(&format!("{page}/act"), &[("reason", "x")]).await.expect(404);
    w.sql(&format!("update users set operator = false where email = '{ANNA}'")).await;

    // An operator who is none any more is nobody else either.
    begin(&w, &operator).await;
    w.sql(&format!("update users set operator = false where email = '{OPERATOR}'")).await;
    operator.get(&mine).await.expect(404);
    operator.get("/fleet/hosts").await.expect(404);
    w.sql(&format!("update users set operator = true where email = '{OPERATOR}'")).await;

    // Another browser of the operator's is itself; signing out ends it, and so does the end of the session.
    begin(&w, &operator).await;
    let elsewhere = Browser::new(w.url(0));
    elsewhere.sign_in(OPERATOR, super::PASSWORD).await;
    elsewhere.get("/fleet/hosts").await.expect(200);
    operator.post("/sign-out", &[]).await.leads_to("/sign-in");
    assert_eq!(entries(&w, "acting.ended").await, entries(&w, "acting.started").await);
    let tenant = signed_in(&w, "eve@berth.example", false, &["others"]).await;
    tenant.post(&format!("{page}/act"), &[("reason", "x")]).await.expect(404);
    w.finish().await;
}

#[tokio::test]
async fn what_was_opened_in_somebodys_stead_closes_when_it_ends() {
    let w = World::builder().hosts(0).start().await;
    let (operator, _anna) = acting(&w).await;
    let mine = project(&w, "mine").await;
    let stream = operator.open(&format!("/projects/{mine}/servers/events")).await;
    operator.post("/account/acting/end", &[]).await.location();
    tokio::time::timeout(Duration::from_secs(60), stream).await.expect("the stream ends");
    w.finish().await;
}
