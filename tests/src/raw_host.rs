//! A host that does what a test says, by hand: it is enrolled, takes VPSes, and reports them exactly as it is told.

use berth_proto::{Desired, EnrolToken, Report, VpsId, VpsObserved, VpsSpec, VpsState, Watch};
use chrono::{DateTime, Utc};

use crate::raw_agent::{RawAgent, Request, empty_report, enrol};
use crate::world::World;

/// A host without an agent of its own.
pub struct RawHost {
    /// Its id.
    pub id: i64,
    agent: RawAgent,
    reports: i64,
}

impl RawHost {
    /// Enrols a host and lets it be heard of.
    ///
    /// # Panics
    /// When that fails.
    pub async fn enrol(w: &World, name: &str) -> Self {
        let (id, text) = w.control.host(name).await;
        let token: EnrolToken = text.parse().expect("an enrolment token");
        let request = Request::new();
        let given = enrol(&token, &request).await.expect("it is fresh");
        let mut host = Self { id, agent: RawAgent::new(&token.url, &request, &given), reports: 0 };
        host.report(|_| {}).await;
        host
    }

    /// What the host should run as this VPS.
    ///
    /// # Panics
    /// When it should not.
    pub async fn spec(&self, vps: i64) -> VpsSpec {
        let watch = self.agent.watch(0).await.expect("it is enrolled");
        let specs = watch.vpses.into_iter().find_map(|desired| match desired {
            Desired::Present(spec) if spec.id == VpsId(vps) => Some(*spec),
            _ => None,
        });
        specs.expect("the VPS is this host's")
    }

    /// The answer to a question with more in it (`&name=value`).
    ///
    /// # Panics
    /// When there is none.
    pub async fn watch(&self, more: &str) -> Watch {
        let answer = self.agent.get(&format!("/watch?since=0&wait=0{more}")).await.expect("it is enrolled");
        serde_json::from_slice(&answer).expect("an answer of the protocol")
    }

    /// Reports as the host would: everything that it was told, and what `change` makes of it.
    ///
    /// # Panics
    /// When the report is refused.
    pub async fn report(&mut self, change: impl FnOnce(&mut Report)) {
        self.reports += 1;
        let mut report = empty_report(1, self.reports);
        report.watch_seq = self.agent.watch(0).await.expect("it is enrolled").seq;
        change(&mut report);
        self.agent.report(&report).await.expect("the report is taken");
    }

    /// Reports that this VPS runs as it should since `started`, and what `change` makes of it.
    ///
    /// # Panics
    /// When the report is refused.
    pub async fn runs(&mut self, vps: i64, started: DateTime<Utc>, change: impl FnOnce(&mut VpsObserved)) {
        let spec = self.spec(vps).await;
        let mut seen = VpsObserved::new(VpsId(vps), spec.generation, VpsState::Running);
        (seen.boot_epoch, seen.started_at) = (spec.boot_epoch, Some(started));
        seen.metrics = Some(berth_proto::VpsMetrics::default());
        change(&mut seen);
        self.report(|report| report.vpses = vec![seen]).await;
    }
}
