//! Accounts that people make themselves, and who comes into a project.

use berth_tests::browser::Browser;
use berth_tests::mail::Catcher;
use berth_tests::world::World;
use serde_json::json;

use super::dashboard::signed_in;

const ANNA: &str = "anna@harbour.example";
const PASSWORD: &str = "correct horse battery";

async fn open(w: &World) {
    w.admin.put("/admin/v1/settings", json!({"sign_up": "open"})).await.expect(200);
}

async fn world(mail: &Catcher) -> World {
    let w = World::builder().hosts(0).smtp(mail.url()).start().await;
    open(&w).await;
    w
}

fn account<'a>(email: &'a str, password: &'a str) -> [(&'a str, &'a str); 3] {
    [("name", "Anna"), ("email", email), ("password", password)]
}

#[tokio::test]
async fn an_account_is_made_confirmed_and_used() {
    let mail = Catcher::start().await;
    let w = world(&mail).await;
    let anna = Browser::new(w.url(0));
    assert!(anna.get("/sign-in").await.expect(200).contains("/sign-up"));
    anna.post("/sign-up", &account(ANNA, PASSWORD)).await.expect(200);
    let early = anna.post("/sign-in", &[("email", ANNA), ("password", PASSWORD)]).await.expect(403);
    assert!(early.contains("not confirmed"), "{early}");
    let link = mail.to(ANNA, 1).await.link(&w.url(0));

    // Looking at the link uses nothing up, as programs do that read mail. Its button works once.
    let (path, token) = link.split_once("?token=").expect("a token");
    for _ in 0..2 {
        assert!(anna.get(&link).await.expect(200).contains(ANNA));
    }
    anna.post(path, &[("token", token)]).await.leads_to("/");
    let (elsewhere, again) = (Browser::new(w.url(0)), [("token", token)]);
    elsewhere.post(path, &again).await.expect(403);
    elsewhere.get(&link).await.expect(404);

    // She has a project of her own, and owns it.
    let home = anna.get("/").await;
    let members = home.location().replace("/servers", "/members");
    let page = anna.get(&members).await.expect(200);
    assert!(page.contains(ANNA) && page.contains("owner"), "{page}");
    let trail = w.admin.get("/admin/v1/audit?event=user").await.expect(200);
    assert!(!trail.to_string().contains("argon2"), "{trail}");
    w.finish().await;
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let mail = Catcher::start().await;
    let w = world(&mail).await;
    signed_in(&w, ANNA, false, &["mine"]).await;
    let stranger = Browser::new(w.url(0));
    let answer = async |path: &str, fields: &[(&str, &str)], email: &str| {
        stranger.post(path, fields).await.expect(200).replace(email, "…")
    };
    let there = answer("/sign-up", &account(ANNA, PASSWORD), ANNA).await;
    let new = answer("/sign-up", &account("new@harbour.example", PASSWORD), "new@harbour.example").await;
    assert_eq!(there, new, "word by word");
    let there = answer("/reset", &[("email", ANNA)], ANNA).await;
    let none = answer("/reset", &[("email", "none@harbour.example")], "none@harbour.example").await;
    assert_eq!(there, none);
    mail.to("new@harbour.example", 1).await;
    assert!(mail.to(ANNA, 1).await.text.contains("already"), "the owner is told");
    mail.to(ANNA, 2).await;
    assert!(mail.all().iter().all(|m| m.to != "none@harbour.example"));
    // And it is not for flooding somebody's letter box.
    let mut refused = 0;
    for _ in 0..30 {
        refused += u32::from(stranger.post("/reset", &[("email", ANNA)]).await.status == 429);
    }
    assert!(refused > 10, "{refused} of 30");
    w.finish().await;
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_and_all_sessions_end() {
    let mail = Catcher::start().await;
    let w = world(&mail).await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let elsewhere = Browser::new(w.url(0));
    elsewhere.post("/reset", &[("email", "Anna@Harbour.example")]).await.expect(200);
    let link = mail.to(ANNA, 1).await.link(&w.url(0));
    let (_, token) = link.split_once("?token=").expect("a token");
    elsewhere.post("/verify", &[("token", token)]).await.expect(403); // a link is for one thing only
    elsewhere.post("/reset/new", &[("token", token), ("password", "short")]).await.expect(422);
    elsewhere
        .post("/reset/new", &[("token", token), ("password", "another horse battery")])
        .await
        .expect(200);
    elsewhere
        .post("/reset/new", &[("token", token), ("password", "a third horse battery")])
        .await
        .expect(403);
    assert!(anna.get("/account").await.location().starts_with("/sign-in"), "the old session is over");
    elsewhere.post("/sign-in", &[("email", ANNA), ("password", PASSWORD)]).await.expect(422);
    elsewhere.sign_in(ANNA, "another horse battery").await;
    w.finish().await;
}

#[tokio::test]
async fn whoever_is_invited_comes_in_as_what_was_said() {
    let mail = Catcher::start().await;
    let w = World::builder().hosts(0).smtp(mail.url()).start().await; // not open: by invitation
    let owner = signed_in(&w, "owner@harbour.example", false, &["mine"]).await;
    let mine = w.scalar("select id from projects where name = 'mine'").await;
    let members = format!("/projects/{mine}/members");
    assert_eq!(Browser::new(w.url(0)).get("/sign-up").await.status, 404, "not for strangers");
    owner.post(&members, &[("email", ANNA), ("role", "read_only")]).await.leads_to(&members);
    let first = mail.to(ANNA, 1).await.link(&w.url(0));
    // Asked anew, as something else: the first link is worth nothing.
    owner.post(&members, &[("email", ANNA), ("role", "member")]).await.leads_to(&members);
    let link = mail.to(ANNA, 2).await.link(&w.url(0));
    let shown = owner.get(&members).await.expect(200);
    assert!(shown.contains(&link), "the link is shown once, too");
    assert!(!owner.get(&members).await.expect(200).contains(&link));
    let anna = Browser::new(w.url(0));
    anna.get(&first).await.expect(404);

    // Another account cannot take it.
    let eve = signed_in(&w, "eve@harbour.example", false, &["others"]).await;
    let token = link.split_once("?token=").expect("a token").1;
    assert!(eve.get(&link).await.expect(200).contains("another address"));
    eve.post("/invitation", &[("token", token)]).await.expect(403);

    let joined =
        anna.post("/invitation", &[("token", token), ("name", "Anna"), ("password", PASSWORD)]).await;
    joined.leads_to(&format!("/projects/{mine}/servers"));
    anna.get(&format!("/projects/{mine}/servers")).await.expect(200);
    anna.get(&format!("/projects/{mine}/tokens")).await.expect(403); // a member, no admin
    Browser::new(w.url(0)).post("/invitation", &[("token", token), ("password", PASSWORD)]).await.expect(403);

    // Of age a week it is worth nothing.
    owner.post(&members, &[("email", "carl@harbour.example"), ("role", "member")]).await.leads_to(&members);
    let late = mail.to("carl@harbour.example", 1).await.link(&w.url(0));
    w.sql("update invitations set expires_at = now() - interval '1 second'").await;
    Browser::new(w.url(0)).get(&late).await.expect(404);
    w.finish().await;
}

#[tokio::test]
async fn a_project_keeps_an_owner_and_nobody_rises_by_themselves() {
    let w = World::builder().hosts(0).start().await;
    let owner = signed_in(&w, "owner@harbour.example", false, &["mine"]).await;
    let admin = signed_in(&w, "admin@harbour.example", false, &["mine"]).await;
    let mine = w.scalar("select id from projects where name = 'mine'").await;
    let id = async |email: &str| w.scalar(&format!("select id from users where email = '{email}'")).await;
    let (ow, ad) = (id("owner@harbour.example").await, id("admin@harbour.example").await);
    let members = format!("/projects/{mine}/members");
    owner.post(&format!("{members}/{ad}/role"), &[("role", "admin")]).await.leads_to(&members);
    for (who, role) in [(ad, "owner"), (ow, "member")] {
        admin.post(&format!("{members}/{who}/role"), &[("role", role)]).await.expect(403);
    }
    admin.post(&members, &[("email", "x@harbour.example"), ("role", "owner")]).await.expect(403);
    admin.post(&format!("{members}/{ow}/remove"), &[]).await.expect(403);
    owner.post(&format!("{members}/{ow}/role"), &[("role", "member")]).await.expect(409);
    owner.post(&format!("{members}/{ow}/remove"), &[]).await.expect(409);
    owner.post(&format!("{members}/{ad}/role"), &[("role", "owner")]).await.leads_to(&members);
    owner.post(&format!("{members}/{ow}/remove"), &[]).await.leads_to("/account");
    owner.get(&members).await.expect(404);
    // Operators do it by their own API.
    let path = format!("/admin/v1/projects/{mine}/members");
    w.admin.put(&format!("{path}/{ow}"), json!({"role": "read_only"})).await.expect(204);
    owner.get(&members).await.expect(200);
    w.admin.delete(&format!("{path}/{ad}")).await.refused(409, "conflict");
    w.finish().await;
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it_and_sessions_are_ended() {
    let w = World::builder().hosts(0).start().await;
    let here = signed_in(&w, ANNA, false, &["mine"]).await;
    let there = Browser::new(w.url(0));
    there.sign_in(ANNA, PASSWORD).await;
    let wrong = [("current", "a wrong password"), ("new", "another horse battery")];
    assert!(here.post("/account/password", &wrong).await.expect(422).contains("not your present password"));
    here.post("/account/password", &[("current", PASSWORD), ("new", "short")]).await.expect(422);
    there.get("/account").await.expect(200);
    here.post("/account/password", &[("current", PASSWORD), ("new", "another horse battery")])
        .await
        .leads_to("/account");
    here.get("/account").await.expect(200);
    assert!(there.get("/account").await.location().starts_with("/sign-in"));
    there.sign_in(ANNA, "another horse battery").await;
    let id = w.scalar("select max(id) from sessions").await;
    // A session of somebody else is not there.
    let eve = signed_in(&w, "eve@harbour.example", false, &["others"]).await;
    eve.post(&format!("/account/sessions/{id}/end"), &[]).await.expect(404);
    here.post(&format!("/account/sessions/{id}/end"), &[]).await.leads_to("/account");
    assert!(there.get("/account").await.location().starts_with("/sign-in"));
    here.post("/account/projects", &[("project", "second")]).await.location();
    assert!(here.get("/account").await.expect(200).contains("second"));
    w.finish().await;
}
