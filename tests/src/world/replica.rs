//! One server of the control plane, in this process. Clients reach it through a proxy, so its URL survives a restart.

use std::net::SocketAddr;

use berth_server::app::App;
use berth_server::config::Config;
use berth_server::serve::{self, Server};

use crate::proxy::{Proxy, Upstream};

/// A server that may be stopped and started.
pub(super) struct Replica {
    front: Proxy,
    /// Where agents open streams to this replica, when there are others.
    streams: Option<Proxy>,
    config: Config,
    /// Whether browsers reach it by a name.
    named: bool,
    running: Option<Server>,
    agents: Option<SocketAddr>,
}

impl Replica {
    /// One with these settings; what is its own, as ports, it sets itself.
    pub(super) fn new(config: Config, alone: bool, named: bool) -> Self {
        let nowhere = Upstream::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)));
        let front = Proxy::start(nowhere.clone()).expect("a port is free");
        let streams = (!alone).then(|| Proxy::start(nowhere).expect("a port is free"));
        Self { front, streams, config, named, running: None, agents: None }
    }

    pub(super) fn url(&self) -> String {
        match self.named {
            true => format!("http://localhost:{}", self.front.addr.port()),
            false => format!("http://{}", self.front.addr),
        }
    }

    /// Its settings, for the next start.
    pub(super) fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Where agents connect to.
    pub(super) fn agents(&self) -> SocketAddr {
        self.agents.expect("the server was started once")
    }

    pub(super) fn app(&self) -> &App {
        &self.running.as_ref().expect("the server runs").app
    }

    pub(super) async fn start(&mut self, database_url: String) {
        let config = Config {
            database_url: Some(database_url),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            agent_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            agent_names: vec!["localhost".into(), "127.0.0.1".into()],
            agent_stream_url: self.streams.as_ref().map(|proxy| format!("https://{}", proxy.addr)),
            public_url: self.url(),
            ..self.config.clone()
        };
        let server = serve::start(config).await.expect("the server starts");
        self.front.lead_to(Upstream::Tcp(server.api_addr));
        if let Some(streams) = &self.streams {
            streams.lead_to(Upstream::Tcp(server.agent_addr));
        }
        self.agents = Some(server.agent_addr);
        self.running = Some(server);
    }

    pub(super) async fn stop(&mut self) {
        if let Some(server) = self.running.take() {
            server.stop().await;
        }
    }
}
