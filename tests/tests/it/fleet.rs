//! The agents' channel, word by word: what a watch answers and when, what a renewal is worth, how an image is fetched,
//! and what follows from a report.

use std::time::{Duration, Instant};

use berth_proto::{Desired, EnrolToken, Exit, Power, Report, VpsFault, VpsId, VpsObserved, VpsState, Watch};
use berth_tests::raw_agent::{RawAgent, Request, empty_report, enrol};
use berth_tests::world::World;
use serde_json::json;

/// A world whose only host is an agent that says what we tell it.
async fn alone() -> (World, RawAgent, i64) {
    let w = World::builder().hosts(0).start().await;
    let (id, text) = w.control.host("raw").await;
    let token: EnrolToken = text.parse().expect("an enrolment token");
    let request = Request::new();
    let given = enrol(&token, &request).await.expect("it is fresh");
    let agent = RawAgent::new(&token.url, &request, &given);
    agent.report(&empty_report(1, 1)).await.expect("enrolled");
    (w, agent, id)
}

fn seen(id: i64, generation: i64, state: VpsState) -> VpsObserved {
    VpsObserved { boot_epoch: 1, ..VpsObserved::new(VpsId(id), generation, state) }
}

fn report(seq: i64, watch_seq: i64, vpses: Vec<VpsObserved>) -> Report {
    Report { watch_seq, vpses, ..empty_report(1, seq) }
}

/// What the only VPS of an answer should be.
fn only(watch: &Watch) -> &Desired {
    match &watch.vpses[..] {
        [one] => one,
        other => panic!("not one VPS: {other:?}"),
    }
}

#[tokio::test]
async fn a_watch_answers_when_there_is_something_new() {
    let (w, agent, _) = alone().await;
    let first = agent.watch(0).await.expect("enrolled");
    assert!(first.full && first.seq > 0, "{first:?}");
    assert_eq!(first.images.len(), 1, "what is offered is fetched ahead");
    assert!(!first.settings.expect("a full answer has them").nat_pools.is_empty());

    let quiet = agent.watch(first.seq).await.expect("enrolled");
    assert!(!quiet.full && quiet.vpses.is_empty() && quiet.seq == first.seq, "{quiet:?}");

    let began = Instant::now();
    let (news, created) = tokio::join!(agent.watch_for(first.seq, 60), w.create("web"));
    assert!(began.elapsed() < Duration::from_secs(4), "woken, not found at the next look");
    let news = news.expect("enrolled");
    let Desired::Present(spec) = only(&news) else { panic!("{news:?}") };
    assert_eq!((news.full, spec.id.0), (false, created["server"]["id"].as_i64().expect("an id")));
    assert_eq!((spec.generation, spec.boot_epoch, spec.power), (1, 1, Power::Running));

    let ahead = agent.watch(news.seq + 1000).await.expect("enrolled");
    assert!(ahead.full, "an agent that knows more than we do is told everything");
    assert_eq!((ahead.seq, ahead.vpses.len()), (news.seq, 1));
    end(w, &agent, spec.id.0).await;
}

/// Deletes the VPS in the words of its host, so that the world can come to rest.
async fn end(w: World, agent: &RawAgent, id: i64) {
    w.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
    let watch = agent.watch(0).await.expect("enrolled");
    agent.report(&report(1000, watch.seq, Vec::new())).await.expect("enrolled");
    w.api.server_is_gone(id).await;
    w.finish().await;
}

#[tokio::test]
async fn a_tombstone_is_given_until_it_is_confirmed_and_again_when_the_dead_return() {
    let (w, agent, _) = alone().await;
    let id = w.create("web").await["server"]["id"].as_i64().expect("an id");
    let before = agent.watch(0).await.expect("enrolled");
    agent.report(&report(2, before.seq, vec![seen(id, 1, VpsState::Running)])).await.expect("enrolled");
    w.api.server_is(id, "running").await;

    let deleted = w.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
    // Not named, but by an agent that does not know of the tombstone yet: nothing is concluded.
    agent.report(&report(3, before.seq, Vec::new())).await.expect("enrolled");
    let tombstone = agent.watch(before.seq).await.expect("enrolled");
    assert!(matches!(only(&tombstone), Desired::Deleted { generation: 2, .. }), "{tombstone:?}");
    assert!(matches!(only(&agent.watch(0).await.expect("enrolled")), Desired::Deleted { .. }));
    assert_eq!(w.scalar("select count(*) from addresses where vps_id is not null").await, 1);

    let gone = report(4, tombstone.seq, vec![seen(id, 2, VpsState::Absent)]);
    agent.report(&gone).await.expect("enrolled");
    w.api.succeeded(&deleted["action"]).await;
    assert_eq!(w.scalar("select count(*) from addresses where vps_id is not null").await, 0);
    assert!(agent.watch(0).await.expect("enrolled").vpses.is_empty());

    // The host's disks come back from an old backup.
    let orphan = VpsObserved { orphan: true, ..seen(id, 1, VpsState::Stopped) };
    let ack = agent.report(&report(5, tombstone.seq, vec![orphan])).await.expect("enrolled");
    assert!(ack.seq > tombstone.seq, "something is waiting");
    let again = agent.watch(tombstone.seq).await.expect("enrolled");
    assert!(matches!(only(&again), Desired::Deleted { id: VpsId(n), .. } if *n == id), "{again:?}");
    agent.report(&report(6, again.seq, Vec::new())).await.expect("enrolled");
    w.finish().await;
}

#[tokio::test]
async fn a_create_that_cannot_be_is_rolled_back_whole() {
    let (w, agent, host) = alone().await;
    let created = w.create("web").await;
    let id = created["server"]["id"].as_i64().expect("an id");
    let watch = agent.watch(0).await.expect("enrolled");
    let fault = VpsFault { code: "disk_pool_full".into(), message: "add disks".into(), terminal: true };
    let failed = VpsObserved { fault: Some(fault), ..seen(id, 1, VpsState::Absent) };
    agent.report(&report(2, watch.seq, vec![failed])).await.expect("enrolled");
    let action = w.api.ended(&created["action"]).await;
    assert_eq!(action["error"], json!({"code": "disk_pool_full", "message": "add disks"}));
    let tombstone = agent.watch(watch.seq).await.expect("enrolled");
    assert!(matches!(only(&tombstone), Desired::Deleted { generation: 2, .. }), "{tombstone:?}");
    agent.report(&report(3, tombstone.seq, Vec::new())).await.expect("enrolled");
    w.api.server_is_gone(id).await;
    assert_eq!(
        w.scalar(&format!("select allocated_memory + vps_count from hosts where id = {host}")).await,
        0
    );
    w.finish().await;
}

#[tokio::test]
async fn a_guest_that_halts_itself_is_wanted_stopped_and_one_that_vanishes_is_unknown() {
    let (w, agent, _) = alone().await;
    let id = w.create("web").await["server"]["id"].as_i64().expect("an id");
    let watch = agent.watch(0).await.expect("enrolled");
    agent.report(&report(2, watch.seq, vec![seen(id, 1, VpsState::Running)])).await.expect("enrolled");
    w.api.server_is(id, "running").await;
    let halted = VpsObserved { exit: Some(Exit::Halt), ..seen(id, 1, VpsState::Stopped) };
    agent.report(&report(3, watch.seq, vec![halted])).await.expect("enrolled");
    w.api.server_is(id, "off").await;
    let news = agent.watch(watch.seq).await.expect("enrolled");
    let Desired::Present(spec) = only(&news) else { panic!("{news:?}") };
    assert_eq!((spec.power, spec.generation, spec.boot_epoch), (Power::Stopped, 2, 1));

    agent.report(&report(4, news.seq, Vec::new())).await.expect("enrolled");
    w.api.server_is(id, "unknown").await;
    assert!(matches!(only(&agent.watch(0).await.expect("enrolled")), Desired::Present(_)), "never deleted");
    end(w, &agent, id).await;
}

#[tokio::test]
async fn a_renewed_certificate_takes_over_when_it_is_used() {
    let (w, old, _) = alone().await;
    let request = Request::new();
    let lost = old.renew(&Request::new()).await.expect("a renewal whose answer is lost");
    let given = old.renew(&request).await.expect("and another");
    assert_ne!(lost.certificate_pem, given.certificate_pem);
    old.watch(0).await.expect("good until the new one is used");
    let text = w.control.enrol_token(given.host_id.0).await;
    let url = text.parse::<EnrolToken>().expect("an enrolment token").url;
    let new = RawAgent::new(&url, &request, &given);
    new.watch(0).await.expect("the new one");
    let refused = old.watch(0).await.expect_err("the old one has ended");
    assert_eq!(refused, Some(401), "on a connection that was open before");
    w.finish().await;
}

#[tokio::test]
async fn images_are_fetched_in_parts() {
    let (w, agent, _) = alone().await;
    let image = agent.watch(0).await.expect("enrolled").images.remove(0);
    let whole = agent.get(&format!("/images/{}", image.sha256)).await.expect("it is there");
    assert_eq!(whole.len(), usize::try_from(image.size_bytes).expect("a size"));
    let (status, rest) = agent.image_from(&image.sha256, 100).await.expect("it is there");
    assert_eq!((status, &rest[..]), (206, &whole[100..]));
    w.finish().await;
}

#[tokio::test]
async fn a_server_that_stops_lets_its_watchers_go() {
    let (mut w, agent, _) = alone().await;
    let seq = agent.watch(0).await.expect("enrolled").seq;
    let began = Instant::now();
    let watching = tokio::spawn(async move { agent.watch_for(seq, 60).await.map(|watch| watch.seq) });
    w.stop_server(0).await;
    // Answered with nothing new, or refused if it came too late to be answered; but at once.
    if let Ok(answered) = watching.await.expect("no panic") {
        assert_eq!(answered, seq);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());
    w.start_server(0).await;
    w.finish().await;
}

#[tokio::test]
async fn samples_become_rates() {
    let (w, agent, _) = alone().await;
    let id = w.create("web").await["server"]["id"].as_i64().expect("an id");
    let watch = agent.watch(0).await.expect("enrolled");
    let metrics = berth_proto::VpsMetrics { cpu_usec: 5, ..berth_proto::VpsMetrics::default() };
    let running = VpsObserved { metrics: Some(metrics), ..seen(id, 1, VpsState::Running) };
    w.sql("update hosts set sampled_at = null").await;
    agent.report(&report(2, watch.seq, vec![running.clone()])).await.expect("enrolled");
    agent.report(&report(3, watch.seq, vec![running])).await.expect("enrolled");
    assert_eq!(w.scalar("select count(*) from vps_samples").await, 1, "not one for every report");

    // Another time, so that what was just reported is out of the way: half a core for 40 s, then a restart of the
    // guest, whose counters begin anew, then a gap that nothing is known about.
    let from: chrono::DateTime<chrono::Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
    for (second, cpu_usec, net_in) in [
        (0, 10_000_000, 1000),
        (10, 15_000_000, 2000),
        (20, 20_000_000, 3000),
        (30, 25_000_000, 4000),
        (40, 5_000_000, 500),
        (400, 900_000_000, 900_000),
    ] {
        w.sql(&format!(
            "insert into vps_samples values ({id}, '2026-01-01T00:00:00Z'::timestamptz + interval '{second} s', {cpu_usec},
                100, 0, 1, 7, 0, 0, 0, 0, {net_in}, 0, 0, 0)"
        ))
        .await;
    }
    let to = from + chrono::TimeDelta::seconds(600);
    let db = w.inventory();
    let points = berth_server::db::samples::series(db, id, from, to, 60).await.expect("rows");
    let [point] = points[..] else { panic!("only the first minute is known: {points:?}") };
    assert_eq!((point.at, point.cpu_percent, point.memory_bytes), (from, 50.0, 100.0));
    assert_eq!(point.net_in_bytes, 3500.0 / 40.0);
    end(w, &agent, id).await;
}
