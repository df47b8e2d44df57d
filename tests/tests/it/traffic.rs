//! Traffic: what hosts count is added up once, whatever they repeat.

use std::time::Duration;

use berth_proto::{TrafficCount, VpsId, VpsObserved, VpsState};
use berth_tests::raw_host::RawHost;
use berth_tests::wait::until;
use berth_tests::world::World;
use chrono::Utc;
use serde_json::{Value, json};

fn count(epoch: &str, in_bytes: i64, out_bytes: i64) -> TrafficCount {
    TrafficCount {
        epoch: epoch.into(),
        in_bytes,
        in_packets: in_bytes / 10,
        out_bytes,
        out_packets: out_bytes / 10,
    }
}

async fn server(w: &World, id: i64) -> Value {
    w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"].take()
}

/// Bytes in and out, as hcloud's clients see them.
async fn used(w: &World, id: i64) -> (i64, i64) {
    let server = server(w, id).await;
    let figure = |name: &str| server[name].as_i64().expect("a figure");
    (figure("ingoing_traffic"), figure("outgoing_traffic"))
}

async fn months(w: &World, id: i64) -> Vec<Value> {
    let answer = w.api.get(&format!("/berth/v1/servers/{id}/traffic")).await.expect(200);
    answer["months"].as_array().expect("months").clone()
}

#[tokio::test]
async fn repeated_late_and_restarted_counters_are_added_once() {
    let w = World::builder().hosts(0).start().await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let created = w.create("web").await;
    let id = created["server"]["id"].as_i64().expect("an id");
    let started = Utc::now();
    host.runs(id, started, |_| {}).await;
    w.api.succeeded(&created["action"]).await;
    assert_eq!(used(&w, id).await, (0, 0));
    for (told, expected) in [
        (vec![count("a", 100, 1000)], (100, 1000)),
        (vec![count("a", 100, 1000)], (100, 1000)), // repeated
        (vec![count("a", 50, 500)], (100, 1000)),   // an older one
        (vec![count("a", 120, 900)], (120, 1000)),  // nonsense in part
        (vec![count("b", 7, 70), count("a", 150, 1500)], (157, 1570)), // booted; and the last word of before
        (vec![count("b", 7, 70), count("a", 150, 1500)], (157, 1570)),
        (vec![count("a", 150, 1500)], (157, 1570)), // an old report
        (vec![count("b", 9, 90)], (159, 1590)),
        (
            vec![count("b", 9, 90), count("b", 500, 500), count("no such-epoch", 9, 9), count("", 9, 9)],
            (159, 1590),
        ),
        (vec![count("c", -5, 5), count("d", i64::MAX, 0)], (159, 1590)),
        (vec![], (159, 1590)),
    ] {
        host.runs(id, started, |seen| seen.traffic.clone_from(&told)).await;
        assert_eq!(used(&w, id).await, expected, "{told:?}");
    }
    let month = months(&w, id).await.remove(0);
    assert_eq!((&month["in_packets"], &month["out_packets"]), (&json!(15), &json!(159)));
    // one that is off tells what was counted at its end
    let mut off = VpsObserved::new(VpsId(id), 1, VpsState::Stopped);
    (off.boot_epoch, off.traffic) = (1, vec![count("b", 20, 200)]);
    host.report(|report| report.vpses = vec![off.clone()]).await;
    assert_eq!(used(&w, id).await, (170, 1700));
    // another host's word counts nothing
    let mut liar = RawHost::enrol(&w, "liar").await;
    off.traffic = vec![count("lie", 1 << 40, 1 << 40)];
    liar.report(|report| report.vpses = vec![off]).await;
    assert_eq!(used(&w, id).await, (170, 1700));
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn a_deleted_servers_last_bytes_are_its_projects() {
    let w = World::builder().hosts(0).start().await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let created = w.create("web").await;
    let id = created["server"]["id"].as_i64().expect("an id");
    host.runs(id, Utc::now(), |seen| seen.traffic = vec![count("a", 100, 1000)]).await;
    w.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
    for _ in 0..2 {
        let mut gone = VpsObserved::new(VpsId(id), 2, VpsState::Absent);
        (gone.boot_epoch, gone.traffic) = (1, vec![count("a", 130, 1300)]);
        host.report(|report| report.vpses = vec![gone]).await;
    }
    w.api.get(&format!("/berth/v1/servers/{id}/traffic")).await.refused(404, "not_found");
    let sum = format!(
        "select (in_bytes + out_bytes)::bigint from traffic where vps_id = {id} and project_id = (select project_id from vps where id = {id})"
    );
    assert_eq!(w.scalar(&sum).await, 1430);
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn months_begin_on_the_operators_day() {
    let w = World::builder().hosts(0).start().await;
    for (day, moment, begins) in [
        (1, "2026-03-31 23:59:59+00", "2026-03-01"),
        (1, "2026-04-01 00:00:00+00", "2026-04-01"),
        (15, "2026-03-14 23:59:59+00", "2026-02-15"),
        (15, "2026-03-15 00:00:00+00", "2026-03-15"),
        (28, "2026-03-01 00:00:00+00", "2026-02-28"),
        (28, "2024-01-27 12:00:00+00", "2023-12-28"),
        (28, "2026-12-28 00:30:00+01", "2026-11-28"),
    ] {
        w.sql(&format!("insert into settings values ('traffic_reset_day', '{day}') on conflict (key) do update set value = excluded.value")).await;
        let sql = format!("select (traffic_period('{moment}') - date '2000-01-01')::bigint");
        let expected = format!("select (date '{begins}' - date '2000-01-01')::bigint");
        assert_eq!(w.scalar(&sql).await, w.scalar(&expected).await, "{day} {moment}");
    }
    w.finish().await;
}

#[tokio::test]
async fn agents_tell_what_passed_whatever_restarts() {
    let mut w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let mut expected = (0, 0);
    for round in 1..=4 {
        w.pass(id, 1000 * round, 5000 * round);
        expected = (expected.0 + 1000 * round, expected.1 + 5000 * round);
        match round {
            1 => w.restart_agent(0).await,
            2 => w.restart_server(0).await,
            3 => {
                w.act(id, "poweroff", "stop_server").await;
            }
            _ => {}
        }
        until("what passed to be known", Duration::from_secs(60), async || match used(&w, id).await {
            used if used == expected => Ok(()),
            used => Err(format!("{used:?}")),
        })
        .await;
    }
    let months = months(&w, id).await;
    assert_eq!((months.len(), &months[0]["out_bytes"]), (1, &json!(expected.1)));
    let browser = super::dashboard::member(&w).await;
    let project = w.scalar("select id from projects where name = 'mine'").await;
    let html = browser.get(&format!("/projects/{project}/servers/{id}")).await.expect(200);
    assert!(html.contains("Traffic this month</dt><dd>48.8 KB"), "{html}");
    w.finish().await;
}

#[tokio::test]
async fn private_traffic_is_told_apart_and_costs_nothing() {
    let w = World::builder().hosts(0).start().await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let created = w.create("web").await;
    let id = created["server"]["id"].as_i64().expect("an id");
    let started = Utc::now();
    w.sql("update plans set included_traffic = 1000, over_traffic = 'suspend'").await;
    for (public, private, expected) in [
        (vec![count("a", 100, 200)], vec![count("p", 5000, 70_000)], (5000, 70_000)),
        (vec![count("a", 100, 200)], vec![count("p", 5000, 70_000)], (5000, 70_000)), // repeated
        (vec![count("a", 100, 200)], vec![], (5000, 70_000)),                         // an older agent
        (vec![count("a", 100, 200)], vec![count("p", 4000, 80_000)], (5000, 80_000)),
        // the same name is another epoch there
        (vec![count("a", 100, 200)], vec![count("a", 1, 2), count("p", 4000, 9)], (5001, 80_002)),
        (vec![count("a", 100, 200)], vec![count("no such-epoch", 9, 9), count("q", -1, 5)], (5001, 80_002)),
    ] {
        let tell = |seen: &mut VpsObserved| {
            seen.traffic.clone_from(&public);
            seen.private_traffic.clone_from(&private);
        };
        host.runs(id, started, tell).await;
        assert_eq!(used(&w, id).await, (100, 200), "what is paid for is public");
        let month = months(&w, id).await.remove(0);
        assert_eq!((&month["in_bytes"], &month["out_packets"]), (&json!(100), &json!(20)));
        let told = &month["private"];
        assert_eq!((&told["in_bytes"], &told["out_bytes"]), (&json!(expected.0), &json!(expected.1)));
    }
    let month = months(&w, id).await.remove(0);
    assert_eq!(month["private"]["in_packets"], json!(500));
    // private traffic alone makes a month, too
    let created = w.create("db").await;
    let other = created["server"]["id"].as_i64().expect("an id");
    host.runs(other, started, |seen| seen.private_traffic = vec![count("p", 7, 8)]).await;
    assert_eq!(months(&w, other).await[0]["private"]["out_bytes"], json!(8));
    assert_eq!(used(&w, other).await, (0, 0));
    let climbed = w.scalar("select count(*) from vps where traffic_percent > 0 or traffic_suspended").await;
    assert_eq!(climbed, 0);
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn agents_tell_private_traffic_and_pages_and_graphs_show_it() {
    let mut w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let browser = super::dashboard::member(&w).await;
    let project = w.scalar("select id from projects where name = 'mine'").await;
    let page = format!("/projects/{project}/servers/{id}");
    assert!(!browser.get(&page).await.expect(200).contains("By private networks"));
    w.pass_privately(id, 3_000_000, 2_000_000);
    w.restart_agent(0).await;
    until("private traffic to be known", Duration::from_secs(60), async || {
        let month = months(&w, id).await.remove(0);
        match (month["private"]["in_bytes"].as_i64(), month["private"]["out_bytes"].as_i64()) {
            (Some(3_000_000), Some(2_000_000)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let html = browser.get(&page).await.expect(200);
    assert!(html.contains("By private networks</dt><dd>1.9 MB out, 2.9 MB in"), "{html}");

    // two samples half a minute apart, of another time
    for (second, bytes) in [(0, 0), (30, 30_000)] {
        w.sql(&format!(
            "insert into vps_samples (vps_id, at, cpu_usec, memory_bytes, swap_bytes, pids, disk_used_bytes,
                 disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops, net_in_bytes, net_out_bytes,
                 net_in_packets, net_out_packets, private_in_bytes, private_out_packets)
             values ({id}, '2026-01-01T00:00:00Z'::timestamptz + interval '{second} s', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                     0, 0, {bytes}, {bytes} / 100)"
        ))
        .await;
    }
    let metrics = format!(
        "/v1/servers/{id}/metrics?type=network,private_network&start=2026-01-01T00:00:00Z&end=2026-01-01T00:01:00Z&step=60"
    );
    let series = w.api.get(&metrics).await.expect(200)["metrics"]["time_series"].take();
    let value = |name: &str| {
        series[name]["values"][0][1].as_str().expect("a value").parse::<f64>().expect("a number")
    };
    assert_eq!(value("private_network.bandwidth.in"), 1000.0);
    assert_eq!(value("private_network.pps.out"), 10.0);
    assert_eq!(value("network.0.bandwidth.in"), 0.0);
    w.finish().await;
}
