//! What Berth's control plane and its agents say to each other.
//!
//! Serde types only: no I/O, no policy, no dependency on anything else of ours. JSON on the wire, one protocol
//! version in the path (`/agent/v1`). Unknown fields are ignored and every field added later has a default, so a
//! server and an agent one release apart understand each other.
//!
//! The channel is level-triggered. The server never sends commands in an order that matters; it sends the whole
//! desired state of each VPS that changed ([`Watch`]), and the agent answers with what it observed ([`Report`]).
//! Whatever is lost, repeated or late is repaired by the next round.

#![forbid(unsafe_code)]

mod enrol;
mod exec;
mod firewall;
mod gateway;
mod guard;
mod hits;
mod ids;
mod network;
mod ports;
mod report;
mod signal;
mod spec;
mod stream;
mod token;
mod traffic;

pub use enrol::{EnrolRequest, EnrolResponse};
pub use exec::{
    ExecControl, ExecEnd, ExecEvent, ExecSignal, ExecSpec, FileHead, FileTask, LARGEST_EXEC, LARGEST_FILE,
    TerminalSize, channel, check_path, is_session,
};
pub use firewall::{Firewall, FirewallProtocol, FirewallRule, FirstPacket};
pub use gateway::{Bgp, BgpNeighbour, Gateways};
pub use guard::{BlockedPort, Guard};
pub use hits::{FirewallHits, Hits, RuleHits};
pub use ids::{HostId, ImageId, NetworkId, VpsId};
pub use network::{HostNetworks, NetworkPeer, NetworkRoute, NetworkSpec, PrivateNic, router_mac};
pub use ports::PortRange;
pub use report::{
    Capacity, Exit, HostFacts, HostMetrics, LimitHits, LimitState, MissingFeature, Report, ReportAck,
    VpsEvent, VpsFault, VpsHappening, VpsMetrics, VpsObserved, VpsState,
};
pub use signal::stop_signal;
pub use spec::{
    Access, ArchiveFormat, Desired, HostSettings, ImageRef, LimitName, Limits, NetSpec, Power, RestartPolicy,
    StopMode, VpsSpec, Watch, own_ipv6,
};
pub use stream::{ConsoleControl, LARGEST_MESSAGE, Stream, StreamOffer, close, stream_path};
pub use token::{BadEnrolToken, EnrolToken};
pub use traffic::TrafficCount;

/// Path prefix of the agents' protocol; the number is the protocol's version.
pub const AGENT_API: &str = "/agent/v1";
