//! A second factor: on, asked for, never taken twice, lost.

use berth_server::auth::totp;
use berth_server::db::factors::{self, Factor};
use berth_server::ids::UserId;
use berth_tests::browser::{Browser, Seen};
use berth_tests::world::World;

use super::dashboard::signed_in;

const ANNA: &str = "anna@harbour.example";
const PASSWORD: &str = "correct horse battery";

async fn user(w: &World) -> UserId {
    UserId(w.scalar(&format!("select id from users where email = '{ANNA}'")).await)
}

/// The code of now, or of so many steps away.
async fn code(w: &World, secret: &[u8], steps: i64) -> String {
    let now = w.scalar("select extract(epoch from now())::bigint").await + steps * 30;
    totp::code(secret, u64::try_from(now).expect("after 1970")).expect("a code")
}

/// A browser that gave the right password.
async fn asked(w: &World) -> Browser {
    let browser = Browser::new(w.url(0));
    let seen = browser.post("/sign-in", &[("email", ANNA), ("password", PASSWORD)]).await;
    seen.leads_to("/sign-in/code?next=/");
    browser
}

async fn answer(browser: &Browser, code: &str) -> Seen {
    browser.post("/sign-in/code", &[("code", code), ("next", "/account")]).await
}

/// Turns it on; gives the secret and the recovery codes.
async fn turn_on(w: &World, browser: &Browser) -> (Vec<u8>, Vec<String>) {
    let page = "/account/second-factor";
    browser.post(page, &[]).await.leads_to(page);
    let Factor::Begun(secret) = factors::get(&w.app().db, user(w).await).await.expect("a factor") else {
        panic!("it has begun");
    };
    let shown = browser.get(page).await.expect(200);
    assert!(shown.contains(&totp::base32(&secret)) && shown.contains("<svg"), "{shown}");
    browser.post(&format!("{page}/confirm"), &[("code", "000000")]).await.expect(422);
    let right = code(w, &secret, -1).await; // the step of now is left for signing in
    browser.post(&format!("{page}/confirm"), &[("code", &right)]).await.leads_to(page);
    let shown = browser.get(page).await.expect(200);
    let codes: Vec<String> = shown
        .split("<li><code>")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('<')?.0.to_owned()))
        .collect();
    assert_eq!(codes.len(), 10, "{shown}");
    assert!(!browser.get(page).await.expect(200).contains(&codes[0]), "shown once");
    (secret, codes)
}

#[tokio::test]
async fn it_is_asked_for_and_no_code_is_taken_twice() {
    let w = World::builder().hosts(0).start().await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let (secret, codes) = turn_on(&w, &anna).await;
    let told =
        w.scalar("select count(*) from audit a where a::text like '%secret%' and a::text !~ '…'").await;
    assert_eq!(told, 0, "the trail says that there is one, and not which");

    let browser = asked(&w).await;
    assert!(browser.get("/account").await.location().starts_with("/sign-in"), "half a sign-in is none");
    let right = code(&w, &secret, 0).await;
    answer(&browser, &right).await.leads_to("/account");
    browser.get("/account").await.expect(200);

    // Whoever looked over the shoulder has nothing of it.
    let thief = asked(&w).await;
    answer(&thief, &right).await.expect(422);
    // A recovery code opens once, however it is typed.
    answer(&thief, &codes[3].to_uppercase().replace('-', " ")).await.leads_to("/account");
    let again = asked(&w).await;
    answer(&again, &codes[3]).await.expect(422);
    w.finish().await;
}

#[tokio::test]
async fn five_wrong_codes_end_the_step_and_lock_nobody_out() {
    let w = World::builder().hosts(0).start().await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    let (secret, codes) = turn_on(&w, &anna).await;
    let guesser = asked(&w).await;
    for left in (1..5).rev() {
        let page = answer(&guesser, "12345").await.expect(422);
        assert!(page.contains(&format!("{left} more tries")), "{page}");
    }
    answer(&guesser, "12345").await.expect(403);
    // The step is over, for the right code too.
    assert!(answer(&guesser, &code(&w, &secret, 0).await).await.location().starts_with("/sign-in"));
    assert_eq!(w.scalar("select count(*) from audit where event = 'session.refused'").await, 5);

    // A day's budget of guesses is used up: codes are not taken any more, but recovery codes are.
    w.sql("update second_factors set wrong = 50, wrong_day = current_date").await;
    w.sql("update sign_in_steps set wrong = 0").await;
    let browser = Browser::new(w.url(0));
    let step = factors::ask(&w.app().db, user(&w).await).await.expect("a step");
    browser.plant("/sign-in", "berth_step", step.expose());
    answer(&browser, &code(&w, &secret, 0).await).await.expect(422);
    answer(&browser, &codes[0]).await.leads_to("/account");

    // Off again only with the password; and by an operator for who lost everything.
    let off = "/account/second-factor/off";
    anna.post(off, &[("password", "a wrong password")]).await.expect(422);
    anna.post(off, &[("password", PASSWORD)]).await.leads_to("/account/second-factor");
    turn_on(&w, &anna).await;
    let id = user(&w).await;
    w.admin.delete(&format!("/admin/v1/users/{id}/second_factor")).await.expect(204);
    assert!(anna.get("/account").await.location().starts_with("/sign-in"));
    assert_eq!(factors::get(&w.app().db, id).await.expect("a factor"), Factor::None);
    w.finish().await;
}
