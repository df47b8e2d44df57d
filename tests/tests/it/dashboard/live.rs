//! The event stream: it tells what changed, to whom it belongs, and ends when it should.

use berth_tests::world::World;

use super::{project, server, signed_in};

#[tokio::test]
async fn a_servers_life_is_told_without_asking() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let servers = format!("/projects/{}/servers", project(&w, "mine").await);
    let list = format!("{servers}/events");
    let listen = browser.stream_until(&list, &["No server yet", "Running"]);
    let work = async {
        let id = server(&w, &browser, "web").await;
        let page = format!("{servers}/{id}");
        let told =
            browser.stream_until(&format!("{page}/events?range=6h"), &["Running", "Create server"]).await;
        assert!(told.contains("hx-target=\"#server-graphs\"") && told.contains("6 hours"), "{told}");
        page
    };
    let (told, page) = tokio::join!(listen, work);
    assert!(told.contains("<hx-partial hx-target=\"#servers\""), "{told}");

    let events = format!("{page}/events");
    let listen = browser.stream_until(&events, &["This server is gone", "event: gone"]);
    let path = format!("{page}/delete");
    let delete = browser.post(&path, &[("confirm", "web")]);
    let (_, deleted) = tokio::join!(listen, delete);
    deleted.location();
    browser.get(&page).await.expect(404);
    w.finish().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let rest = browser.open(&format!("/projects/{mine}/servers/events")).await;
    w.sql("delete from sessions").await;
    w.app().wake.changed(berth_server::wake::Changed::Project(mine));
    rest.await;
    w.finish().await;
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let mut w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", true, &["mine"]).await;
    let servers = browser.open(&format!("/projects/{}/servers/events", project(&w, "mine").await)).await;
    let hosts = browser.open("/fleet/hosts/events").await;
    w.stop_server(0).await;
    assert!(servers.await.contains("No server yet"));
    assert!(hosts.await.contains("Online"));
    w.start_server(0).await;
    w.finish().await;
}
