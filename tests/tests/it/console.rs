//! The console: tickets, who gets in, bytes and sizes, and every way in which it ends.

use berth_proto::{EnrolToken, close};
use berth_server::ids::VpsId;
use berth_tests::client::DEADLINE;
use berth_tests::console::{Console, ticket};
use berth_tests::proxy::Mode;
use berth_tests::raw_agent::{RawAgent, Request, enrol};
use berth_tests::wait::until;
use berth_tests::world::World;
use serde_json::json;

fn greeting(id: i64) -> String {
    berth_agent::sim::greeting(VpsId(id))
}

#[tokio::test]
async fn keys_sizes_and_output_travel_and_all_viewers_see_the_same() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let answer =
        w.api.post(&format!("/v1/servers/{id}/actions/request_console"), json!({})).await.expect(201);
    assert_eq!(answer["action"]["command"], "request_console");
    assert_eq!(answer["action"]["status"], "success");
    assert_eq!(answer["action"]["resources"], json!([{"id": id, "type": "server"}]));
    assert_eq!(answer["password"], "", "the URL is the only secret");
    let url = answer["wss_url"].as_str().expect("a URL");
    assert!(url.starts_with(&w.url(0).replace("http", "ws")), "{url}");

    let mut first = Console::open(url).await.expect("the ticket is good");
    first.connected().await.expect("its host is there");
    first.shows(&greeting(id)).await;
    let mut second = Console::of(&w.api, id).await;
    // Typed before the host is there: nothing of it is lost.
    second.keys("early ").await;
    second.shows(&greeting(id)).await;
    first.shows("early ").await;
    first.keys("hello").await;
    first.shows("hello").await;
    second.shows("hello").await;
    second.resize(132, 43).await;
    second.shows("window 132x43").await;
    first.shows("window 132x43").await;
    first.leave().await;
    second.keys("still here").await;
    second.shows("still here").await;
    assert_eq!(w.scalar("select count(*) from stream_offers").await, 0, "offers go when they are taken");
    w.finish().await;
}

#[tokio::test]
async fn a_ticket_is_good_once_and_for_a_minute() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let url = ticket(&w.api, id).await;
    let secret = url.split('=').next_back().expect("a token");
    assert!(secret.len() >= 43 && !w.dump().await.contains(secret), "kept as a hash");
    let (one, two) = tokio::join!(Console::open(&url), Console::open(&url));
    let statuses = [one.as_ref().err(), two.as_ref().err()];
    assert!(matches!(statuses, [None, Some(401)] | [Some(401), None]), "exactly one gets in: {statuses:?}");
    assert_eq!(Console::open(&url).await.expect_err("it is used up"), 401);

    let old = ticket(&w.api, id).await;
    let left =
        w.scalar("select extract(epoch from max(expires_at) - now())::bigint from console_tickets").await;
    assert!((50..=60).contains(&left), "{left} s");
    w.sql("update console_tickets set expires_at = now()").await;
    assert_eq!(Console::open(&old).await.expect_err("its time is over"), 401);
    for nonsense in ["", "x", &"a".repeat(64), "%00"] {
        let url = format!("{}/console?token={nonsense}", w.url(0).replace("http", "ws"));
        assert_eq!(Console::open(&url).await.expect_err(nonsense), 401);
    }
    assert_eq!(
        Console::open(&format!("{}/console", w.url(0).replace("http", "ws"))).await.expect_err("none"),
        401
    );
    // A token that is deleted takes its tickets along.
    let gone = ticket(&w.api, id).await;
    w.sql("delete from tokens where writable and project_id is not null").await;
    assert_eq!(Console::open(&gone).await.expect_err("nobody asks for it any more"), 401);
    drop((one, two));
    w.finish().await;
}

#[tokio::test]
async fn only_who_may_write_gets_a_console_and_only_of_a_guest_that_runs() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let path = format!("/v1/servers/{id}/actions/request_console");
    w.readonly.post(&path, json!({})).await.refused(403, "token_readonly");
    w.api.without_token().post(&path, json!({})).await.refused(401, "unauthorized");
    w.in_other_project().api.post(&path, json!({})).await.refused(404, "not_found");
    w.act(id, "poweroff", "stop_server").await;
    let error = w.api.post(&path, json!({})).await.refused(412, "resource_unavailable");
    assert!(error["message"].as_str().is_some_and(|m| m.contains("power it on")), "{error}");
    w.act(id, "poweron", "start_server").await;
    w.link(0).set(Mode::Cut);
    w.sql("update hosts set last_report_at = now() - interval '10 minutes'").await;
    let error = w.api.post(&path, json!({})).await.refused(412, "resource_unavailable");
    assert!(error["message"].as_str().is_some_and(|m| m.contains("host has not been heard of")), "{error}");
    w.link(0).set(Mode::Pass);
    w.finish().await;
}

#[tokio::test]
async fn a_stream_is_opened_by_the_host_that_holds_the_vps_and_by_no_other() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let (other, text) = w.control.host("raw").await;
    w.cordon_id(other, true).await;
    let token: EnrolToken = text.parse().expect("an enrolment token");
    let request = Request::new();
    let given = enrol(&token, &request).await.expect("it is fresh");
    let stranger = RawAgent::new(&token.url, &request, &given);

    w.link(0).set(Mode::Cut); // the right host does not hear of it for now
    let mut console = Console::of(&w.api, id).await;
    let offer = until("the offer", DEADLINE, async || {
        let found =
            sqlx::query_scalar("select id::text from stream_offers").fetch_optional(w.inventory()).await;
        found.map_err(|e| e.to_string())?.ok_or_else(|| "none yet".to_owned())
    })
    .await;
    let offer: String = offer;
    assert!(stranger.watch(0).await.expect("a host").streams.is_empty(), "others are not told");
    assert_eq!(stranger.open_stream(&offer).await, 404, "and cannot open it");
    assert_eq!(RawAgent::nobody(&token.url).open_stream(&offer).await, 401);
    assert_eq!(stranger.open_stream("00000000-0000-4000-8000-000000000000").await, 404);
    assert_ne!(stranger.open_stream("nonsense").await, 101);
    w.link(0).set(Mode::Pass);
    console.shows(&greeting(id)).await;
    assert_eq!(stranger.open_stream(&offer).await, 404, "it is taken");
    w.finish().await;
}

#[tokio::test]
async fn whichever_replica_has_the_browser_the_host_comes_to_it() {
    let w = World::builder().replicas(2).start().await;
    let id = w.running(&w.create("web").await).await;
    // The agent talks to the first replica; the ticket is made at one and used at the other, both ways.
    let urls = [w.url(0), w.url(1)].map(|url| url.replace("http", "ws"));
    for (asked, used) in [(0, 1), (1, 0), (1, 1)] {
        let url = ticket(&w.api.at(w.url(asked)), id).await.replace(&urls[asked], &urls[used]);
        assert!(url.starts_with(&urls[used]), "{url}");
        let mut console = Console::open(&url).await.expect("the ticket is good anywhere");
        console.shows(&greeting(id)).await;
        console.keys("over there").await;
        console.shows("over there").await;
        console.leave().await;
    }
    w.finish().await;
}

#[tokio::test]
async fn a_console_comes_back_after_the_agent_and_the_server_did() {
    let mut w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let mut console = Console::of(&w.api, id).await;
    console.shows(&greeting(id)).await;
    w.restart_agent(0).await;
    assert_eq!(console.closed().await.0, close::LOST);
    let mut console = Console::of(&w.api, id).await;
    console.shows(&greeting(id)).await;
    w.stop_server(0).await;
    assert_eq!(console.closed().await.0, close::RESTART);
    w.start_server(0).await;
    let mut console = Console::of(&w.api, id).await;
    console.shows(&greeting(id)).await;
    // A connection that hangs is noticed by neither side saying anything; one that breaks at once.
    w.link(0).break_connections();
    assert_eq!(console.closed().await.0, close::LOST);
    w.finish().await;
}

#[tokio::test]
async fn it_ends_with_the_guest_and_with_the_right_to_it() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let mut console = Console::of(&w.api, id).await;
    console.shows(&greeting(id)).await;
    w.act(id, "reboot", "reboot_server").await;
    let (code, reason) = console.closed().await;
    assert_eq!(code, close::ENDED, "{reason}");
    assert!(reason.contains("stopped"), "{reason}");
    let mut console = Console::of(&w.api, id).await;
    console.shows(&greeting(id)).await;
    w.sql("delete from tokens where writable and project_id is not null").await;
    assert_eq!(console.closed().await.0, close::GONE);
    w.finish().await;
}

#[tokio::test]
async fn everything_is_bounded() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut console = Console::of(&w.api, id).await;
        console.shows(&greeting(id)).await;
        open.push(console);
    }
    let (code, reason) = Console::of(&w.api, id).await.closed().await;
    assert_eq!(code, close::BUSY, "{reason}");
    let mut last = open.pop().expect("eight");
    last.send(tokio_tungstenite::tungstenite::Message::binary(vec![b'x'; 65 << 10])).await;
    assert_eq!(last.closed().await.0, close::REFUSED, "a message that is too large");
    until("a place to be free", DEADLINE, async || Console::of(&w.api, id).await.connected().await).await;
    drop(open);

    // Who leaves before the host is there leaves no offer behind.
    w.link(0).set(Mode::Cut);
    let waiting = Console::of(&w.api, id).await;
    let offers = async || w.scalar("select count(*) from stream_offers").await;
    until("the offer", DEADLINE, async || if offers().await == 1 { Ok(()) } else { Err("none".into()) })
        .await;
    waiting.leave().await;
    until("no offer", DEADLINE, async || if offers().await == 0 { Ok(()) } else { Err("one".into()) }).await;
    w.link(0).set(Mode::Pass);
    w.finish().await;
}
