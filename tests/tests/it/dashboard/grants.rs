//! Rights on single servers: given, taken up, changed and taken back; and that they open nothing else.

use berth_tests::browser::Browser;
use berth_tests::world::World;
use reqwest::Method;

use super::{project, server, signed_in};

const DAN: &str = "dan@quay.example";

/// Two servers, the owner, and somebody else with a project of their own.
async fn start(w: &World) -> (Browser, Browser, String, String) {
    let owner = signed_in(w, "owner@harbour.example", false, &["mine"]).await;
    let dan = signed_in(w, DAN, false, &["others"]).await;
    let mine = project(w, "mine").await;
    let (web, db) = (server(w, &owner, "web").await, server(w, &owner, "db").await);
    w.settled().await;
    (owner, dan, format!("/projects/{mine}/servers/{web}"), format!("/projects/{mine}/servers/{db}"))
}

/// Gives a right; the token of the invitation.
async fn invite(owner: &Browser, server: &str, email: &str, level: &str) -> String {
    let access = format!("{server}/access");
    owner.post(&access, &[("email", email), ("level", level)]).await.leads_to(&access);
    let page = owner.get(&access).await.expect(200);
    let link = page.split(r#"id="new-link">"#).nth(1).and_then(|rest| rest.split('<').next());
    link.and_then(|link| link.split_once("?token=")).expect("a link").1.to_owned()
}

async fn events(w: &World, event: &str) -> i64 {
    w.scalar(&format!("select count(*) from feed where kind = '{event}' and project_id is not null")).await
}

#[tokio::test]
async fn a_server_is_given_taken_up_and_taken_back() {
    let w = World::builder().room_for(4).start().await;
    let (owner, dan, web, db) = start(&w).await;
    let list = web.rsplit_once('/').expect("a path").0.to_owned();
    let access = format!("{web}/access");
    for (email, level, status) in
        [("nobody", "view", 422), ("owner@harbour.example", "view", 422), (DAN, "owner", 422)]
    {
        assert_eq!(
            owner.post(&access, &[("email", email), ("level", level)]).await.status,
            status,
            "{email} {level}"
        );
    }
    // An account that is there and one that is not look the same to whoever gives.
    let first = invite(&owner, &web, DAN, "view").await;
    let token = invite(&owner, &web, DAN, "operate").await;
    dan.get(&format!("/invitation?token={first}")).await.expect(404);
    let asked = dan.get(&format!("/invitation?token={token}")).await.expect(200);
    assert!(asked.contains("Join web") && asked.contains("operate"), "{asked}");
    dan.get(&web).await.expect(404);
    let eve = signed_in(&w, "eve@quay.example", false, &[]).await;
    eve.post("/invitation", &[("token", &token)]).await.expect(403);
    dan.post("/invitation", &[("token", &token)]).await.leads_to(&list);
    assert_eq!(events(&w, "grant.created").await, 1);

    // What was given is there, and nothing else.
    let seen = dan.get(&list).await.expect(200);
    assert!(seen.contains(">web<") && !seen.contains(">db<"), "{seen}");
    assert!(!dan.get(&format!("{list}?name=db")).await.expect(200).contains(">db<"));
    let page = dan.get(&web).await.expect(200);
    assert!(page.contains("Your access") && page.contains("/power") && !page.contains("/resize"), "{page}");
    assert!(dan.get(&format!("{web}/console")).await.expect(200).contains("web"));
    dan.get(&db).await.expect(404);
    dan.post(&format!("{db}/power"), &[("command", "poweroff")]).await.expect(404);
    dan.post(&format!("{web}/delete"), &[("confirm", "web")]).await.expect(403);
    dan.post(&format!("{web}/settings"), &[("name", "mine")]).await.expect(403);
    dan.post(&access, &[("email", "eve@quay.example"), ("level", "view")]).await.expect(403);
    let number = |path: &str| path.rsplit('/').next().expect("an id").to_owned();
    dan.post(&format!("{list}/power"), &[("command", "poweroff"), ("id", &number(&db))])
        .await
        .leads_to(&list);
    assert_eq!(w.scalar("select count(*) from vps where power = 'running'").await, 2, "not the other's");
    dan.post(&format!("{list}/power"), &[("command", "poweroff"), ("id", &number(&web))])
        .await
        .leads_to(&list);
    assert_eq!(w.scalar("select count(*) from vps where power = 'running'").await, 1);

    // More, and then nothing; a console that is open is looked at again.
    let grant = w.scalar("select id from grants").await;
    owner.post(&format!("{access}/{grant}/level"), &[("level", "manage")]).await.leads_to(&access);
    w.settled().await;
    let settings = format!("{web}/settings");
    dan.post(&settings, &[("name", "shop"), ("labels", "env=prod")]).await.leads_to(&settings);
    assert_eq!(
        w.scalar("select count(*) from vps where name = 'shop' and labels ->> 'env' = 'prod'").await,
        1
    );
    assert!(!dan.get(&settings).await.expect(200).contains("Delete server"));
    let out = owner.post(&format!("{db}/access/{grant}/revoke"), &[]).await;
    assert_eq!(out.status, 404, "by the page of another server");
    owner.post(&format!("{access}/{grant}/revoke"), &[]).await.leads_to(&access);
    dan.get(&web).await.expect(404);
    dan.get(&list).await.expect(404);
    assert_eq!((events(&w, "grant.changed").await, events(&w, "grant.deleted").await), (1, 1));
    w.finish().await;
}

#[tokio::test]
async fn whoever_is_known_gets_it_at_once_and_may_give_it_up() {
    let w = World::builder().room_for(4).start().await;
    let (owner, dan, web, db) = start(&w).await;
    let token = invite(&owner, &web, DAN, "view").await;
    dan.post("/invitation", &[("token", &token)]).await.location();
    let access = format!("{db}/access");
    owner.post(&access, &[("email", DAN), ("level", "operate")]).await.leads_to(&access);
    dan.get(&db).await.expect(200);
    dan.post(&format!("{db}/access/leave"), &[]).await.leads_to("/account");
    dan.get(&db).await.expect(404);
    owner.post(&format!("{db}/access/leave"), &[]).await.expect(404);

    // A stream that is open shows nothing more when it is taken back.
    let stream = format!("{web}/events");
    dan.stream_until(&stream, &["web"]).await;
    let mail = invite(&owner, &web, "new@quay.example", "view").await;
    let nobody = Browser::new(w.url(0));
    let fields = [("token", mail.as_str()), ("name", "New"), ("password", "correct horse battery")];
    nobody.post("/invitation", &fields).await.location();
    nobody.get(&web).await.expect(200);
    let invitation = invite(&owner, &web, "late@quay.example", "view").await;
    let id = w.scalar("select id from invitations").await;
    owner.post(&format!("{web}/access/{id}/uninvite"), &[]).await.location();
    Browser::new(w.url(0)).get(&format!("/invitation?token={invitation}")).await.expect(404);

    // What one has is in one's export; it goes with the account, and with the server.
    assert!(nobody.get("/account/export").await.expect(200).contains(r#""level":"view""#));
    w.sql("delete from users where email = 'new@quay.example'").await;
    assert_eq!(w.scalar("select count(*) from grants").await, 1);
    owner.post(&format!("{web}/delete"), &[("confirm", "web")]).await.location();
    w.holds(1).await;
    assert_eq!(w.scalar("select count(*) from grants").await, 0);
    w.finish().await;
}

#[tokio::test]
async fn a_suspended_project_stands_still_for_them_too() {
    let w = World::builder().room_for(4).start().await;
    let (owner, dan, web, _) = start(&w).await;
    let token = invite(&owner, &web, DAN, "manage").await;
    dan.post("/invitation", &[("token", &token)]).await.location();
    w.sql("update projects set suspended_reason = 'Ticket 9', suspended_at = now() where name = 'mine'")
        .await;
    assert!(dan.get(&web).await.expect(200).contains("Ticket 9"));
    dan.send(Method::POST, &format!("{web}/power"), &[], Some(&[("command", "poweroff")])).await.expect(403);
    w.finish().await;
}
