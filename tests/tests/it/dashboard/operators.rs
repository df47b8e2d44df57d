//! The operators' pages about tenants, what is sold, addresses and settings: what they show, and that they do what the
//! operators' API does, by forms that say what is wrong beside each field.

use berth_server::auth::totp;
use berth_server::db::factors::{self, Factor};
use berth_server::ids::UserId;
use berth_tests::browser::Browser;
use berth_tests::world::World;

use super::{PASSWORD, person, project, server, signed_in};

/// A world, and the browser of who runs it.
async fn operator(w: &World) -> Browser {
    signed_in(w, "operator@berth.example", true, &[]).await
}

#[tokio::test]
async fn projects_are_made_found_suspended_and_resumed() {
    let w = World::start().await;
    let browser = operator(&w).await;
    let tenant = signed_in(&w, "anna@harbour.example", false, &["mine"]).await;
    let (mine, id) = (project(&w, "mine").await, server(&w, &tenant, "web").await);
    w.settled().await;

    let all = browser.get("/fleet/projects").await.expect(200);
    assert!(all.contains(">mine<") && all.contains("anna@harbour.example"), "{all}");
    for (looked, found) in [("MIN", true), ("anna@", true), (&*mine.to_string(), true), ("%25", false), ("x'y", false)] {
        let page = browser.get(&format!("/fleet/projects?q={looked}")).await.expect(200);
        assert_eq!(page.contains(">mine<"), found, "{looked}: {page}");
    }
    browser.get("/fleet/projects?q=%00").await.expect(422);
    browser.get("/fleet/projects?page=99999999999").await.expect(200);
    browser.get("/fleet/projects/99999").await.expect(404);

    let empty = browser.post("/fleet/projects", &[("name", " ")]).await.expect(422);
    assert!(empty.contains(r#"id="make-name-error""#), "{empty}");
    let twice = browser.post("/fleet/projects", &[("name", "mine")]).await.expect(409);
    assert!(twice.contains(r#"value="mine""#) && twice.contains("exists already"), "{twice}");
    let made = browser.post("/fleet/projects", &[("name", "second")]).await;
    let second = made.location().to_owned();
    let page = browser.get(&second).await.expect(200);
    assert!(page.contains("Nobody works in it") && page.contains("The project was made"), "{page}");
    let admit = format!("{second}/members");
    for (email, role, wrong) in [
        ("nobody@berth.example", "admin", "admit-email-error"),
        ("x", "admin", "admit-email-error"),
        ("anna@harbour.example", "king", "admit-role-error"),
    ] {
        let page = browser.post(&admit, &[("email", email), ("role", role)]).await.expect(422);
        assert!(page.contains(wrong) && page.contains(email), "{email} {role}: {page}");
    }
    browser.post(&admit, &[("email", "anna@harbour.example"), ("role", "admin")]).await.leads_to(&second);
    assert_eq!(w.scalar("select count(*) from memberships where role = 'admin'").await, 1);

    // It is suspended with a reason, by its name; and lifted.
    let page = format!("/fleet/projects/{mine}");
    let suspend = format!("{page}/suspend");
    let typed = [("reason", "The invoice is open."), ("confirm", "yours")];
    let refused = browser.post(&suspend, &typed).await.expect(422);
    assert!(refused.contains(r#"id="hold-confirm-error""#) && refused.contains("The invoice is open."), "{refused}");
    let refused = browser.post(&suspend, &[("reason", ""), ("confirm", "mine")]).await.expect(422);
    assert!(refused.contains(r#"id="hold-reason-error""#), "{refused}");
    assert_eq!(w.scalar("select count(*) from vps where suspended").await, 0);
    browser.post(&suspend, &[("reason", "The invoice is open."), ("confirm", "mine")]).await.leads_to(&page);
    w.settled().await;
    assert_eq!(w.running_guests(), 0);
    let shown = browser.get(&page).await.expect(200);
    assert!(shown.contains("The invoice is open.") && shown.contains("Lift the suspension"), "{shown}");
    browser.post(&format!("{page}/resume"), &[]).await.leads_to(&page);
    w.settled().await;
    assert!(w.guest_runs(0, id));
    browser.post(&format!("{page}/resume"), &[]).await.expect(404);
    let trail = browser.get("/fleet/audit?event=project&actor=operator@berth.example").await.expect(200);
    assert!(trail.contains("The invoice is open."), "{trail}");
    w.finish().await;
}

#[tokio::test]
async fn people_are_found_and_a_lost_second_factor_is_turned_off() {
    let w = World::builder().hosts(0).start().await;
    let browser = operator(&w).await;
    person(&w, "never@harbour.example", false, &[]).await;
    let anna = signed_in(&w, "anna@harbour.example", false, &["mine"]).await;
    let id = w.scalar("select id from users where email = 'anna@harbour.example'").await;
    let me = w.scalar("select id from users where email = 'operator@berth.example'").await;
    let all = browser.get("/fleet/people").await.expect(200);
    assert!(all.contains("never@harbour.example") && all.contains(">never<") && all.contains("just now"), "{all}");
    let some = browser.get("/fleet/people?q=ANNA").await.expect(200);
    assert!(some.contains("anna@harbour") && !some.contains("never@harbour"), "{some}");
    let page = format!("/fleet/people/{id}");
    let shown = browser.get(&page).await.expect(200);
    assert!(shown.contains(">mine<") && !shown.contains("Turn off the second factor"), "{shown}");
    browser.post(&format!("{page}/factor-off"), &[("confirm", "anna@harbour.example")]).await.expect(404);

    let database = &w.app().db;
    for user in [id, me] {
        factors::begin(database, UserId(user)).await.expect("begun");
        let Factor::Begun(secret) = factors::get(database, UserId(user)).await.expect("a factor") else {
            panic!("it has begun");
        };
        let now = w.scalar("select extract(epoch from now())::bigint").await;
        let code = totp::code(&secret, u64::try_from(now).expect("after 1970")).expect("a code");
        factors::confirm(database, UserId(user), &code).await.expect("confirmed").expect("codes");
    }
    let refused = browser.post(&format!("{page}/factor-off"), &[("confirm", "anna")]).await.expect(422);
    assert!(refused.contains(r#"id="factor-confirm-error""#), "{refused}");
    anna.get("/account").await.expect(200);
    browser.post(&format!("{page}/factor-off"), &[("confirm", "anna@harbour.example")]).await.leads_to(&page);
    assert!(anna.get("/account").await.location().starts_with("/sign-in"), "her sessions ended");
    anna.sign_in("anna@harbour.example", PASSWORD).await;
    // Whoever is signed in proves who they are to turn off their own.
    let own = format!("/fleet/people/{me}");
    assert!(!browser.get(&own).await.expect(200).contains("Turn off the second factor"));
    browser.post(&format!("{own}/factor-off"), &[("confirm", "operator@berth.example")]).await.expect(404);
    assert_eq!(w.scalar("select count(*) from second_factors where confirmed_at is not null").await, 1);
    w.finish().await;
}
