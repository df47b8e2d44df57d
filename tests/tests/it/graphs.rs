//! Sums of samples: they tell what the samples told, whenever they are made, and graphs read them.

use berth_server::db::samples::{self, Point};
use berth_server::db::sums;
use berth_tests::world::World;
use chrono::{DateTime, TimeDelta, Utc};

/// Three hours of samples of a guest that works, is started anew, is silent for a while and comes to its limits.
async fn samples_of(w: &World, id: i64, from: DateTime<Utc>) {
    w.sql(&format!(
        "insert into vps_samples (vps_id, at, cpu_usec, memory_bytes, swap_bytes, pids, disk_used_bytes,
             disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops, net_in_bytes, net_out_bytes,
             net_in_packets, net_out_packets, hit_memory_max, hit_oom_kills, hit_pids_max, hit_cpu_throttled_usec)
         select {id}, '{from}'::timestamptz + n * interval '10 seconds', m * 3000000 + m * m * 100, (n * 7919) % 1000003,
             n % 17, 5, 1000 + n, m * 4096, m * 512, m, m / 2, m * 1500, m * 64, m, m / 3, m / 5, m / 90, m / 40, m * 777
         from (select n, case when n < 400 then n else n - 400 end as m from generate_series(0, 1079) n
               where n not between 601 and 655) t",
        from = from.to_rfc3339()
    ))
    .await;
}

fn hour(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp() / 3_600 * 3_600, 0).expect("a time")
}

async fn caught_up(w: &World) {
    while sums::advance(w.inventory()).await.expect("sums are made").is_some() {}
}

fn same(left: &[Point], right: &[Point]) {
    assert_eq!(left.len(), right.len(), "{left:?}\n{right:?}");
    let value = |p: &Point| serde_json::to_value(p).expect("a point");
    for (l, r) in left.iter().zip(right) {
        let (l, r) = (value(l), value(r));
        for (name, of_left) in l.as_object().expect("an object") {
            match (of_left.as_f64(), r[name].as_f64()) {
                (Some(a), Some(b)) => {
                    assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0), "{name}: {a} and {b}");
                }
                _ => assert_eq!(of_left, &r[name], "{name}"),
            }
        }
    }
}

#[tokio::test]
async fn sums_tell_what_the_samples_told() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let from = hour(Utc::now()) - TimeDelta::hours(4);
    let to = from + TimeDelta::hours(3);
    samples_of(&w, id, from).await;
    w.sql(&format!("update vps_sums_done set upto = '{}'", from.to_rfc3339())).await;

    let read = async |step| samples::series(w.inventory(), id, from, to, step).await.expect("rows");
    let steps = [300, 1_200, 3_600, 7_200];
    let mut of_samples = Vec::new();
    for step in steps {
        of_samples.push(read(step).await);
    }
    assert!(of_samples[0].len() > 30 && of_samples[0].iter().all(|p| p.cpu_percent > 0.0), "{of_samples:?}");

    // half of it: what is summed up and what is not yet make one graph
    sums::advance(w.inventory()).await.expect("sums are made");
    for (step, expected) in steps.into_iter().zip(&of_samples) {
        same(expected, &read(step).await);
    }
    caught_up(&w).await;
    assert_eq!(
        w.scalar(&format!(
            "select count(*) from vps_sums_1h where vps_id = {id} and at < '{}'",
            to.to_rfc3339()
        ))
        .await,
        3
    );
    w.sql(&format!("delete from vps_samples where vps_id = {id} and at < '{}'", to.to_rfc3339())).await;
    for (step, expected) in steps.into_iter().zip(&of_samples) {
        same(expected, &read(step).await);
    }
    // and again, from what is no more there: nothing is lost, nothing is counted twice
    w.sql(&format!("update vps_sums_done set upto = '{}'", from.to_rfc3339())).await;
    tokio::join!(caught_up(&w), caught_up(&w));
    for (step, expected) in steps.into_iter().zip(&of_samples) {
        same(expected, &read(step).await);
    }
    w.finish().await;
}

#[tokio::test]
async fn a_month_is_shown_on_the_page_and_in_the_api() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let from = hour(Utc::now()) - TimeDelta::hours(4);
    samples_of(&w, id, from).await;
    w.sql(&format!("update vps_sums_done set upto = '{}'", from.to_rfc3339())).await;
    caught_up(&w).await;

    let time = |t: DateTime<Utc>| t.format("%FT%TZ").to_string();
    let (start, end) = (time(Utc::now() - TimeDelta::days(30)), time(Utc::now()));
    let path = format!("/v1/servers/{id}/metrics?type=cpu,memory,limits&start={start}&end={end}");
    let metrics = w.api.get(&path).await.expect(200)["metrics"].take();
    assert_eq!(metrics["step"], 7_200, "whole hours, at most 500 points");
    let values = |name: &str| metrics["time_series"][name]["values"].as_array().expect("values").clone();
    assert!(!values("cpu").is_empty() && values("cpu").len() <= 4, "{metrics}");
    let most = values("memory.max")[0][1].as_str().expect("a decimal").parse::<f64>().expect("a decimal");
    let average = values("memory")[0][1].as_str().expect("a decimal").parse::<f64>().expect("a decimal");
    assert!(most > average && average > 0.0, "{metrics}");

    let browser = super::dashboard::member(&w).await;
    let project = w.scalar("select id from projects where name = 'mine'").await;
    let page = browser.get(&format!("/projects/{project}/servers/{id}?range=30d")).await.expect(200);
    for (range, text) in
        [("1h", "1 hour"), ("6h", "6 hours"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days")]
    {
        assert!(page.contains(&format!("href=\"?range={range}\"")) && page.contains(text), "{range}");
    }
    for title in ["CPU", "Memory", "Limits hit", "Waiting for the CPU limit", "Disk space"] {
        assert!(
            page.contains(&format!("<caption>{title} over the last 30 days</caption>")),
            "{title}: {page}"
        );
    }
    w.finish().await;
}
