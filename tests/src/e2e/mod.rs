//! Real guests: what makes several hosts out of one machine, and proves that nothing of them is left.
//!
//! A host is a network namespace with an agent process of its own, its own state directory, cgroup parent and
//! interface prefix. The machine's own network is not touched at all: agents reach the server through a listener that
//! stands inside their namespace and forwards to the server outside ([`crate::proxy`], so that it can fail too), and
//! hosts reach each other over a bridge in a namespace of its own.

pub mod cell;
pub mod guest;
pub mod host;
pub mod netns;
pub mod process;
pub mod snapshot;
pub mod sweep;
