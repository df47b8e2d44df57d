//! What happened to guests: their own starts and ends, and what hosts tell of them.

use berth_proto::{Exit, LimitName, VpsEvent, VpsHappening, VpsId, VpsObserved, VpsState};
use berth_tests::browser::Browser;
use berth_tests::raw_host::RawHost;
use berth_tests::world::World;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

async fn page(w: &World, id: i64, query: &str) -> Value {
    w.api.get(&format!("/berth/v1/servers/{id}/events{query}")).await.expect(200)
}

/// Kinds, newest first.
async fn kinds(w: &World, id: i64) -> Vec<String> {
    let answer = page(w, id, "?per_page=50").await;
    let events = answer["events"].as_array().expect("events");
    events.iter().map(|event| event["kind"].as_str().expect("a kind").to_owned()).collect()
}

fn killed(seq: i64, at: DateTime<Utc>, victim: &str) -> VpsEvent {
    VpsEvent { seq, at, what: VpsHappening::OomKill { victim: victim.into(), pid: Some(42) } }
}

/// A server on a host of the test's own, which has reported that it runs since then.
async fn on_raw_host(w: &World) -> (RawHost, i64, DateTime<Utc>) {
    let mut host = RawHost::enrol(w, "raw").await;
    let created = w.create("web").await;
    let id = created["server"]["id"].as_i64().expect("an id");
    let started = Utc::now() - TimeDelta::minutes(5);
    host.runs(id, started, |_| {}).await;
    w.api.succeeded(&created["action"]).await;
    (host, id, started)
}

#[tokio::test]
async fn starts_and_ends_are_told_newest_first() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    assert_eq!(kinds(&w, id).await, ["started"]);
    w.halt_from_inside(id).await;
    w.api.server_is(id, "off").await;
    w.settled().await;
    assert_eq!(kinds(&w, id).await, ["halted", "started"]);
    w.act(id, "poweron", "start_server").await;
    w.act(id, "poweroff", "stop_server").await;
    assert_eq!(kinds(&w, id).await, ["stopped", "started", "halted", "started"]);
    let second = page(&w, id, "?page=2&per_page=3").await;
    assert_eq!(
        (second["events"].as_array().map(Vec::len), &second["meta"]["pagination"]["total_entries"]),
        (Some(1), &json!(4))
    );
    let newest = page(&w, id, "?per_page=1").await["events"][0].take();
    assert_eq!(newest["detail"]["exit"]["how"], "stopped");
    let wrong = w.api.get(&format!("/berth/v1/servers/{id}/events?per_page=1000")).await.wrong_fields();
    assert_eq!(wrong, ["per_page"]);
    w.finish().await;
}

#[tokio::test]
async fn what_hosts_repeat_is_kept_once() {
    let w = World::builder().hosts(0).start().await;
    let (mut host, id, started) = on_raw_host(&w).await;
    let at = started + TimeDelta::minutes(1);
    let hit = VpsEvent { seq: 2, at, what: VpsHappening::LimitHit { limit: LimitName::Pids, count: 9 } };
    for _ in 0..3 {
        let events = vec![killed(1, at, "mysqld"), hit.clone()];
        host.runs(id, started, |seen| seen.events = events).await;
    }
    assert_eq!(kinds(&w, id).await, ["limit_hit", "oom_kill", "started"]);
    let shown = page(&w, id, "").await;
    assert_eq!(shown["events"][0]["detail"], json!({"limit": "pids", "count": 9}));
    assert_eq!(shown["events"][1]["detail"], json!({"victim": "mysqld", "pid": 42}));
    // Not to be seen for a moment is no end.
    let mut unsure = VpsObserved::new(VpsId(id), 1, VpsState::Unknown);
    unsure.boot_epoch = 1;
    host.report(|report| report.vpses = vec![unsure]).await;
    host.runs(id, started, |_| {}).await;
    assert_eq!(kinds(&w, id).await.len(), 3);

    // PID 1 is killed, and what is told of that guest comes before its end; then another guest.
    let mut ended = VpsObserved::new(VpsId(id), 1, VpsState::Starting);
    (ended.boot_epoch, ended.exit) = (1, Some(Exit::Signal(9)));
    ended.events = vec![killed(3, Utc::now() - TimeDelta::seconds(1), "systemd")];
    host.report(|report| report.vpses = vec![ended.clone()]).await;
    let again = Utc::now();
    host.runs(id, again, |seen| {
        seen.exit = Some(Exit::Signal(9));
        seen.events = vec![killed(1, again, "mysqld")];
    })
    .await;
    let now = kinds(&w, id).await;
    assert_eq!(now, ["oom_kill", "started", "crashed", "oom_kill", "limit_hit", "oom_kill", "started"]);
    let crash = page(&w, id, "").await["events"][2].take();
    assert_eq!(crash["detail"]["exit"], json!({"how": "signal", "value": 9}));
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn hostile_words_are_bounded_and_shown_as_text() {
    let w = World::builder().hosts(0).start().await;
    let (mut host, id, started) = on_raw_host(&w).await;
    let future = Utc::now() + TimeDelta::days(4000);
    let name = "<img src=x>\u{202e}\u{0}";
    host.runs(id, started, |seen| seen.events = vec![killed(1, future, name)]).await;
    let event = page(&w, id, "").await["events"][0].take();
    assert_eq!(event["detail"]["victim"], "<img src=x>??");
    let at: DateTime<Utc> = serde_json::from_value(event["at"].clone()).expect("a time");
    assert!(at <= Utc::now() + TimeDelta::minutes(1), "no host knows the future: {at}");

    let browser = super::dashboard::member(&w).await;
    let html = server_page(&w, &browser, id).await;
    assert!(html.contains("&#60;img src=x&#62;??") && !html.contains("<img src=x"), "{html}");
    assert!(html.contains("was killed for want of memory"));

    // However much a host tells, what is kept has an end; and the start stays, so that the end will be known.
    for round in 0..40 {
        let events = (0..16).map(|n| killed(round * 16 + n + 2, Utc::now(), "x")).collect();
        host.runs(id, started, |seen| seen.events = events).await;
    }
    let kept = w.scalar(&format!("select count(*) from vps_events where vps_id = {id}")).await;
    assert_eq!(kept, berth_server::db::events::KEEP + 1);
    let mut ended = VpsObserved::new(VpsId(id), 1, VpsState::Stopped);
    (ended.boot_epoch, ended.exit) = (1, Some(Exit::Code(1)));
    host.report(|report| report.vpses = vec![ended]).await;
    assert_eq!(kinds(&w, id).await[0], "crashed");

    // Another host's word about it counts nothing.
    let mut liar = RawHost::enrol(&w, "liar").await;
    let mut lie = VpsObserved::new(VpsId(id), 1, VpsState::Running);
    (lie.started_at, lie.events) = (Some(Utc::now()), vec![killed(1, Utc::now(), "lie")]);
    liar.report(|report| report.vpses = vec![lie]).await;
    assert_eq!(kinds(&w, id).await[0], "crashed");

    w.sql(&format!("update vps_events set at = at - interval '200 days' where vps_id = {id}")).await;
    let forgotten = berth_server::db::events::forget(w.inventory()).await.expect("the database answers");
    assert!(forgotten > 400, "{forgotten}");
    w.finish_with_orphans().await;
}

async fn server_page(w: &World, browser: &Browser, id: i64) -> String {
    let project = w.scalar("select id from projects where name = 'mine'").await;
    browser.get(&format!("/projects/{project}/servers/{id}")).await.expect(200)
}
