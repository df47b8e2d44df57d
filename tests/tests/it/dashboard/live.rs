//! The event stream: it tells what changed, to whom it belongs, and ends when it should.

use std::time::Duration;

use berth_tests::wait::until;
use berth_tests::world::World;
use serde_json::json;

use super::{member, project, server, signed_in};

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
async fn a_person_has_some_streams_at_once_and_no_more() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let path = format!("/projects/{}/servers/events", project(&w, "mine").await);
    let mut streams = Vec::new();
    for _ in 0..48 {
        streams.push(browser.open(&path).await);
    }
    let refused = browser.get(&path).await.expect(429);
    assert!(refused.contains("48 event streams are open by your pages, which is the limit"), "{refused}");
    let other = signed_in(&w, "bob@berth.example", false, &["mine"]).await;
    other.stream_until(&path, &["No server yet"]).await;
    // Whoever closes one may open another.
    streams.truncate(24);
    until("seats to come back", Duration::from_secs(60), async || {
        let status = browser.status(&path).await;
        if status == 200 { Ok(()) } else { Err(format!("still {status}")) }
    })
    .await;
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

#[tokio::test]
async fn many_servers_are_found_paged_and_switched_together() {
    let w = World::builder().room_for(60).start().await;
    let browser = member(&w).await;
    let mine = project(&w, "mine").await;
    let path = format!("/projects/{mine}/servers");
    let mut ids = Vec::new();
    for n in 0..52 {
        let body = json!({"name": format!("web-{n:02}"), "server_type": w.plan, "image": w.image,
            "labels": {"env": if n % 2 == 0 { "prod" } else { "test" }}});
        let made = w.api.post("/v1/servers", body).await.expect(201);
        ids.push(made["server"]["id"].as_i64().expect("an id"));
    }
    for id in &ids {
        w.api.server_is(*id, "running").await;
    }
    let shown = |html: &str| html.matches("<tr id=\"server-").count();
    let first = browser.get(&path).await.expect(200);
    assert_eq!(shown(&first), 50);
    assert!(first.contains("52 in all") && first.contains("page=2"), "{first}");
    assert_eq!(shown(&browser.get(&format!("{path}?page=2")).await.expect(200)), 2);
    for (query, count) in [
        ("name=WEB-0", 10),
        ("label=env%3Dprod", 26),
        ("status=off", 0),
        ("location=local&name=web-51", 1),
        ("location=nowhere", 0),
        ("name=%00", 0),
        ("location=a%00", 0),
    ] {
        let page = browser.get(&format!("{path}?{query}")).await.expect(200);
        assert_eq!(shown(&page), count, "{query}");
    }
    // Operators see those of a host some at a time, too.
    let fleet = signed_in(&w, "operator@berth.example", true, &[]).await;
    let host = w.scalar("select id from hosts").await;
    let on_host = fleet.get(&format!("/fleet/hosts/{host}")).await.expect(200);
    assert!(on_host.contains("52 in all") && on_host.contains("web-00") && !on_host.contains("web-51"));
    let rest = fleet.get(&format!("/fleet/hosts/{host}?page=2")).await.expect(200);
    assert!(rest.contains("web-51") && !rest.contains("web-00"), "{rest}");

    let wrong = browser.get(&format!("{path}?label=a%20b%20c")).await.expect(200);
    assert!(wrong.contains("label-error") && shown(&wrong) == 0, "{wrong}");
    // The stream is about the same ones.
    let news = browser.stream_until(&format!("{path}/events?name=web-07"), &["web-07"]).await;
    assert!(!news.contains("web-08"), "{news}");

    // Some are chosen and shut down; what is another's, or no longer there, is passed over.
    let choosing = browser.get(&format!("{path}?choose=yes")).await.expect(200);
    assert!(choosing.contains(&format!("value=\"{}\"", ids[51])) && !choosing.contains("hx-sse:connect"));
    let theirs = w.in_other_project().running(&w.in_other_project().create("theirs").await).await;
    let chosen = [ids[0].to_string(), ids[1].to_string(), theirs.to_string(), "999999".into(), "x".into()];
    let mut fields: Vec<(&str, &str)> = chosen.iter().map(|id| ("id", id.as_str())).collect();
    fields.push(("command", "shutdown"));
    browser.post(&format!("{path}/power"), &fields).await.leads_to(&path);
    assert!(browser.get(&path).await.expect(200).contains("for some of the servers"));
    w.api.server_is(ids[0], "off").await;
    w.api.server_is(ids[1], "off").await;
    w.in_other_project().api.server_is(theirs, "running").await;
    w.api.server_is(ids[2], "running").await;
    browser.post(&format!("{path}/power"), &[("command", "shutdown")]).await.leads_to(&path);
    assert!(browser.get(&path).await.expect(200).contains("No server was chosen"));
    browser.post(&format!("{path}/power"), &[("command", "explode"), ("id", &chosen[0])]).await.expect(422);
    w.finish().await;
}
