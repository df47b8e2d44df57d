//! Who speaks for a host, and what is believed of what is said.

use berth_proto::{EnrolToken, VpsId, VpsObserved, VpsState};
use berth_tests::raw_agent::{RawAgent, Request, empty_report, enrol};
use berth_tests::world::World;

fn observed(id: i64, generation: i64, state: VpsState) -> VpsObserved {
    VpsObserved::new(VpsId(id), generation, state)
}

#[tokio::test]
async fn a_token_enrols_one_key_once() {
    let w = World::builder().hosts(0).start().await;
    let (id, text) = w.control.host("raw").await;
    let token: EnrolToken = text.parse().expect("an enrolment token");
    let (mine, thief) = (Request::new(), Request::new());
    let given = enrol(&token, &mine).await.expect("it is fresh");
    assert_eq!(given.host_id.0, id);
    assert_eq!(given.host_name, "raw");
    let refused = enrol(&token, &thief).await.expect_err("it is used up");
    assert_eq!(refused.0, 403, "{}", refused.1);
    let again = enrol(&token, &mine).await.expect("the same key may repeat: its answer may have been lost");
    RawAgent::new(&token.url, &mine, &again).watch(0).await.expect("it speaks for the host");

    let mut wrong = token.clone();
    wrong.secret = "x".repeat(wrong.secret.len());
    assert_eq!(enrol(&wrong, &thief).await.expect_err("nobody made this").0, 403);
    assert!(!w.dump().await.contains(&token.secret), "it is kept as a hash");

    let late: EnrolToken = w.control.host("late").await.1.parse().expect("an enrolment token");
    w.sql("update enrol_tokens set expires_at = now() - interval '1 second' where used_at is null").await;
    assert_eq!(enrol(&late, &thief).await.expect_err("it is too old").0, 403);
    w.finish().await;
}

#[tokio::test]
async fn strangers_and_the_revoked_are_refused() {
    let w = World::builder().hosts(0).start().await;
    let (id, text) = w.control.host("raw").await;
    let token: EnrolToken = text.parse().expect("an enrolment token");
    let request = Request::new();
    let given = enrol(&token, &request).await.expect("it is fresh");
    let agent = RawAgent::new(&token.url, &request, &given);
    agent.watch(0).await.expect("enrolled");

    let nobody = RawAgent::nobody(&token.url);
    for name in ["raw".to_owned(), format!("host-{id}"), id.to_string(), "localhost".to_owned()] {
        let foreign = RawAgent::foreign(&token.url, &name);
        let refused = foreign.watch(0).await.expect_err("another CA signed it");
        assert!(refused.is_none() || refused == Some(401) || refused == Some(403), "{refused:?}");
    }
    assert!(matches!(nobody.watch(0).await, Err(Some(401 | 403))));
    assert!(matches!(nobody.report(&empty_report(1, 1)).await, Err(Some(401 | 403))));
    assert!(matches!(nobody.get("/images/..%2f..%2fetc%2fpasswd").await, Err(Some(401 | 403))));
    assert!(matches!(agent.get("/images/..%2f..%2fetc%2fpasswd").await, Err(Some(400..=422))));
    assert!(matches!(agent.get(&format!("/images/{}", "0".repeat(64))).await, Err(Some(404))));

    w.control.revoke(id).await;
    let refused = agent.watch(0).await.expect_err("it is revoked");
    assert!(matches!(refused, None | Some(401 | 403)), "{refused:?}");
    let refused = agent.report(&empty_report(1, 1)).await.expect_err("it is revoked");
    assert!(matches!(refused, None | Some(401 | 403)), "{refused:?}");
    w.finish().await;
}

#[tokio::test]
async fn a_new_certificate_ends_the_old_one() {
    let w = World::builder().hosts(0).start().await;
    let (id, text) = w.control.host("raw").await;
    let first: EnrolToken = text.parse().expect("an enrolment token");
    let old = Request::new();
    let given = enrol(&first, &old).await.expect("it is fresh");
    let old = RawAgent::new(&first.url, &old, &given);
    old.watch(0).await.expect("enrolled");
    let second: EnrolToken = w.control.enrol_token(id).await.parse().expect("an enrolment token");
    let new = Request::new();
    let given = enrol(&second, &new).await.expect("it is fresh");
    RawAgent::new(&second.url, &new, &given).watch(0).await.expect("the machine that was built anew");
    let refused = old.watch(0).await.expect_err("the old machine is out");
    assert!(matches!(refused, None | Some(401 | 403)), "{refused:?}");
    w.finish().await;
}

#[tokio::test]
async fn a_host_speaks_for_itself_only_and_old_words_do_not_count() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let (raw_id, text) = w.control.host("raw").await;
    w.cordon_id(raw_id, true).await;
    let token: EnrolToken = text.parse().expect("an enrolment token");
    let request = Request::new();
    let given = enrol(&token, &request).await.expect("it is fresh");
    let liar = RawAgent::new(&token.url, &request, &given);

    // Another host's VPS is none of its business.
    let mut lie = empty_report(1, 1);
    lie.vpses = vec![observed(id, 99, VpsState::Absent), observed(i64::MAX, 1, VpsState::Running)];
    let _ = liar.report(&lie).await; // taken or refused, but not believed
    w.api.server_is(id, "running").await;
    let watch = liar.watch(0).await.expect("enrolled");
    assert!(watch.full);
    assert_eq!(watch.vpses, [], "it is not told about other hosts' VPSes");

    // What was said before does not count after; neither does what an older process says.
    let report = |started, seq, cpu| {
        let mut report = empty_report(started, seq);
        report.capacity.cpu_milli = cpu;
        report
    };
    for (started, seq, cpu, expected) in [
        (10, 5, 1000, 1000),
        (10, 4, 2000, 1000),
        (9, 50, 3000, 1000),
        (10, 6, 4000, 4000),
        (11, 1, 5000, 5000),
    ] {
        let _ = liar.report(&report(started, seq, cpu)).await;
        let now: i64 = w.scalar(&format!("select capacity_cpu_milli from hosts where id = {raw_id}")).await;
        assert_eq!(now, expected, "after report {seq} of the process started at {started}");
    }

    // Impossible figures harm nobody.
    let mut absurd = empty_report(12, 1);
    absurd.capacity = berth_proto::Capacity { cpu_milli: -1, memory_bytes: i64::MIN, disk_bytes: i64::MAX };
    absurd.metrics = Some(berth_proto::HostMetrics { cpu_busy: f64::MAX, load1: -1.0, ..Default::default() });
    let _ = liar.report(&absurd).await;
    w.admin.get("/admin/v1/hosts").await.expect(200);
    w.running(&w.create("another").await).await;
    w.finish().await;
}
