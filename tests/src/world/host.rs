//! A simulated host with a real agent.

use std::path::PathBuf;
use std::sync::Arc;

use berth_agent::agent::{Agent, AgentConfig};
use berth_agent::host::Host as _;
use berth_agent::sim::{Behaviour, SimHost};
use berth_proto::{EnrolToken, VpsId};

use crate::proxy::Proxy;

/// One host.
pub(super) struct WorldHost {
    pub(super) id: i64,
    pub(super) sim: Arc<SimHost>,
    /// From the agent to the server.
    pub(super) link: Proxy,
    state: PathBuf,
    agent: Option<Agent>,
}

impl WorldHost {
    /// Enrols by way of the proxy, so that everything the agent ever says goes through it.
    pub(super) async fn start(
        id: i64,
        behaviour: Behaviour,
        state: PathBuf,
        link: Proxy,
        token: &str,
    ) -> Self {
        let mut token: EnrolToken = token.parse().expect("an enrolment token");
        token.url = format!("https://{}", link.addr);
        std::fs::create_dir_all(&state).expect("a directory of the test's");
        let mut host = Self { id, sim: Arc::new(SimHost::new(behaviour)), link, state, agent: None };
        host.start_agent(Some(token)).await;
        host
    }

    async fn start_agent(&mut self, enrol_token: Option<EnrolToken>) {
        let config = AgentConfig { enrol_token, pace: 0.05, ..AgentConfig::new(self.state.clone()) };
        self.agent = Some(Agent::start(config, Arc::clone(&self.sim)).await.expect("the agent starts"));
    }

    /// As `kill -9` and a start.
    pub(super) async fn restart_agent(&mut self) {
        self.agent.take().expect("the agent runs").abort().await;
        self.start_agent(None).await;
    }

    pub(super) async fn stop_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    /// VPSes of which there is anything here, by id.
    pub(super) async fn held(&self) -> Vec<i64> {
        let mut all: Vec<_> = self.sim.inventory().await.into_iter().map(|VpsId(id)| id).collect();
        all.sort_unstable();
        all
    }

    pub(super) fn running_guests(&self) -> usize {
        self.sim.running().len()
    }
}
