//! The console's page and its tickets.

use berth_tests::console::Console;
use berth_tests::world::World;
use reqwest::Method;
use serde_json::{Value, json};

use super::{project, server, signed_in};

fn json_of(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{body}: {e}"))
}

#[tokio::test]
async fn a_member_gets_a_ticket_by_the_pages_own_post_and_nobody_else_does() {
    let w = World::start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let id = server(&w, &ada, "web").await;
    w.api.server_is(id, "running").await;
    let page = format!("/projects/{}/servers/{id}/console", project(&w, "mine").await);
    let shown = ada.get(&page).await.expect(200);
    assert!(shown.contains("<noscript>") && shown.contains("/assets/console"), "{}", shown);
    assert!(!shown.contains("token="), "the page itself opens nothing");

    let path = format!("{page}/ticket");
    let ticket = json_of(&ada.post(&path, &[]).await.expect(200));
    let url = format!("{}{}", w.url(0).replace("http", "ws"), ticket["socket"].as_str().expect("a path"));
    let mut console = Console::open(&url).await.expect("the ticket is good");
    console.shows("simulated console").await;
    assert_eq!(Console::open(&url).await.expect_err("once"), 401);

    let evil = [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
    ada.send(Method::POST, &path, &evil, Some(&[])).await.expect(403);
    ada.get(&path).await.expect(405);
    let bob = signed_in(&w, "bob@berth.example", false, &["others"]).await;
    bob.post(&path, &[]).await.expect(404);
    bob.get(&page).await.expect(404);
    let borrowed = format!("/projects/{}/servers/{id}/console/ticket", project(&w, "others").await);
    bob.post(&borrowed, &[]).await.expect(404);

    // Whoever is not in the project any more is not at its consoles either.
    w.sql("delete from memberships").await;
    assert_eq!(console.closed().await.0, berth_proto::close::GONE);
    w.finish().await;
}

#[tokio::test]
async fn the_page_says_why_there_is_no_console() {
    let w = World::start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let id = server(&w, &ada, "web").await;
    w.api.server_is(id, "running").await;
    w.act(id, "poweroff", "stop_server").await;
    let page = format!("/projects/{}/servers/{id}/console", project(&w, "mine").await);
    ada.get(&page).await.expect(200);
    let refused = json_of(&ada.post(&format!("{page}/ticket"), &[]).await.expect(412));
    assert_eq!(refused["passes"], json!(false));
    assert!(refused["message"].as_str().is_some_and(|m| m.contains("is off")), "{refused}");
    w.finish().await;
}
