//! Streams that the control plane asked for: which to open, and how many.
//!
//! An offer may come several times until the server sees its stream, so offers that are being served are remembered by
//! their id. A stream that could not be opened is forgotten, and the next repetition of its offer is the retry. What
//! cannot be served is said on the stream itself: it is opened and closed with the reason, which is what the person who
//! waits will read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_proto::{Stream, StreamOffer, VpsId, close};
use futures_util::SinkExt as _;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use crate::host::{Fault, Host, Session, SessionChange, SessionStart};
use crate::link::Link;
use crate::link::socket::Socket;
use crate::tasks::Tasks;

mod console;
mod exec;

/// Streams of one kind of one VPS that may be open at once, whoever watches them.
const MOST_OF_A_VPS: usize = 8;
/// Streams of the host that may be open at once. Beyond that offers expire.
const MOST: usize = 256;
/// How long the end of a stream may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// The open streams of this host.
#[derive(Debug)]
pub struct Streams<H> {
    host: Arc<H>,
    link: Arc<Link>,
    tasks: Tasks,
    open: Arc<Open>,
}

impl<H: Host> Streams<H> {
    /// None are open.
    pub fn new(host: Arc<H>, link: Arc<Link>, tasks: Tasks) -> Self {
        Self { host, link, tasks, open: Arc::default() }
    }

    /// Serves the offers that are not being served.
    pub fn take_in(&self, offers: &[StreamOffer]) {
        for offer in offers {
            let (vps, kind) = match &offer.what {
                Stream::Console { vps } => (*vps, Kind::Console),
                Stream::Exec { vps, .. } | Stream::ExecAttach { vps, .. } => (*vps, Kind::Exec),
                // Killing a program needs no place that programs could take.
                Stream::ExecKill { vps, .. } | Stream::File { vps, .. } => (*vps, Kind::Other),
                Stream::Unknown => {
                    tracing::warn!(
                        "the control plane wants a stream that this agent does not know; upgrade the agent"
                    );
                    continue;
                }
            };
            let Some((seat, fits)) = self.open.enter(&offer.id, (vps, kind)) else { continue };
            let (host, link, offer) = (self.host.clone(), self.link.clone(), offer.clone());
            self.tasks.spawn_until_stop(async move {
                let _seat = seat;
                if let Err(e) = serve(&*host, &link, &offer, vps, fits).await {
                    tracing::warn!(vps = %vps, error = %e, "a stream could not be opened");
                }
            });
        }
    }
}

async fn serve<H: Host>(
    host: &H,
    link: &Link,
    offer: &StreamOffer,
    vps: VpsId,
    fits: bool,
) -> Result<(), crate::link::LinkError> {
    let open = async || link.stream(offer.url.as_deref(), &offer.id).await;
    if !fits {
        let reason = format!("there are {MOST_OF_A_VPS} such streams of this server already; close one");
        say_goodbye(&mut open().await?, close::BUSY, &reason).await;
        return Ok(());
    }
    // What a stream is of is opened first: what does not work is said at once, and a program runs when its stream opens.
    let what = match &offer.what {
        Stream::Console { .. } | Stream::Unknown => Opened::Console(host.console(vps).await),
        Stream::ExecKill { session, .. } => {
            Opened::Killed(host.change_session(vps, session, SessionChange::Kill).await)
        }
        Stream::Exec { session, spec, .. } => {
            let start = SessionStart::Exec(session.clone(), spec.clone());
            Opened::Session(Some(session), host.session(vps, &start).await)
        }
        Stream::ExecAttach { session, stdout, stderr, .. } => {
            let start = SessionStart::Attach(session.clone(), [*stdout, *stderr]);
            Opened::Session(Some(session), host.session(vps, &start).await)
        }
        Stream::File { task, .. } => {
            Opened::Session(None, host.session(vps, &SessionStart::File(task.clone())).await)
        }
    };
    let mut socket = open().await?;
    let (code, reason) = match what {
        Opened::Console(Ok(console)) => console::relay(host, vps, console, &mut socket).await,
        Opened::Session(name, Ok(session)) => exec::relay(host, vps, name, session, &mut socket).await,
        Opened::Killed(Ok(())) => (close::ENDED, "killed".to_owned()),
        Opened::Console(Err(fault)) | Opened::Session(_, Err(fault)) | Opened::Killed(Err(fault)) => {
            let code = if fault.code == "no_session" { close::NO_SUCH } else { close::UNAVAILABLE };
            (code, fault.message)
        }
    };
    say_goodbye(&mut socket, code, &reason).await;
    Ok(())
}

/// What there is to be carried, or why there is nothing.
enum Opened<'a, C> {
    Console(Result<C, Fault>),
    Session(Option<&'a str>, Result<Session<C>, Fault>),
    Killed(Result<(), Fault>),
}

async fn say_goodbye(socket: &mut Socket, code: u16, reason: &str) {
    let mut end = reason.len().min(123); // more does not fit into a close
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let frame = CloseFrame { code: code.into(), reason: reason[..end].to_owned().into() };
    let _ = tokio::time::timeout(FAREWELL, socket.send(Message::Close(Some(frame)))).await; // it may be gone
}

/// What a place is for. Consoles do not take those of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Console,
    Exec,
    Other,
}

/// Which streams are open.
#[derive(Debug, Default)]
struct Open(Mutex<HashMap<String, (VpsId, Kind)>>);

impl Open {
    /// A seat for this offer, and whether it may be served. None when it is being served, or when no more can be.
    fn enter(self: &Arc<Self>, id: &str, place: (VpsId, Kind)) -> Option<(Seat, bool)> {
        let mut open = self.0.lock().expect("no code panics while holding this lock");
        if open.contains_key(id) || open.len() >= MOST {
            return None;
        }
        let fits = open.values().filter(|other| **other == place).count() < MOST_OF_A_VPS;
        open.insert(id.to_owned(), place);
        Some((Seat { open: self.clone(), id: id.to_owned() }, fits))
    }
}

/// Gives its place back when it is dropped, as when the task is.
#[derive(Debug)]
struct Seat {
    open: Arc<Open>,
    id: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.0.lock().expect("no code panics while holding this lock").remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_served_once_and_a_vps_cannot_take_all_places() {
        let open = Arc::new(Open::default());
        let (first, fits) = open.enter("a", (VpsId(1), Kind::Console)).unwrap();
        assert!(fits);
        assert!(open.enter("a", (VpsId(1), Kind::Console)).is_none(), "it is being served");
        let more: Vec<_> = (1..MOST_OF_A_VPS)
            .map(|n| open.enter(&n.to_string(), (VpsId(1), Kind::Console)).unwrap())
            .collect();
        assert!(more.iter().all(|(_, fits)| *fits));
        let (too_many, fits) = open.enter("x", (VpsId(1), Kind::Console)).unwrap();
        assert!(!fits, "it is told so");
        assert!(open.enter("y", (VpsId(2), Kind::Console)).unwrap().1, "another VPS has its own places");
        drop((first, too_many));
        assert!(open.enter("a", (VpsId(1), Kind::Console)).unwrap().1, "a repeated offer is the retry");
    }

    #[test]
    fn a_host_has_an_end() {
        let open = Arc::new(Open::default());
        let all: Vec<_> = (0..MOST)
            .map(|n| open.enter(&n.to_string(), (VpsId(n as i64), Kind::Console)).unwrap())
            .collect();
        assert!(open.enter("x", (VpsId(0), Kind::Console)).is_none());
        drop(all);
        assert!(open.enter("x", (VpsId(0), Kind::Console)).is_some());
    }
}
