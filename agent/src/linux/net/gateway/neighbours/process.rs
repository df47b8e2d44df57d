//! The process that answers neighbours' questions on the uplink. It is an own one so that it outlives the agent: what
//! VPSes are reached by must not hang on that.
//!
//! It is told which pools to answer for, and remembers nothing else that would have to be kept right: for each question
//! the kernel is asked whether the address leads to a guest at this moment. It ends when it is told so, and only then.

use std::io;
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use ipnet::Ipv6Net;
use nix::fcntl::{Flock, FlockArg};
use nix::net::if_::if_indextoname;
use rtnetlink::packet_route::route::RouteAttribute;
use rtnetlink::{Handle, RouteMessageBuilder};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::super::super::vps_of;
use super::super::arp::Link;
use super::heard::Heard;
use super::packets::Question;
use super::wire::Wire;

/// How long whoever comes to say something may take. Nobody is answered meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of one word; a pool has some forty.
const LONGEST: u64 = 1 << 20;

/// What it is told: a line of JSON, which it answers by [`Said`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// To answer from now on for what leads to guests and is in these pools.
    Answer(Task),
    /// To tell everybody that the addresses of this /64 are here, as far as they are.
    Tell(Ipv6Net),
    /// Nothing: all that was asked before is answered.
    Settle,
    /// To end.
    End,
}

/// For what it answers, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Task {
    /// The interface whose neighbours ask.
    pub(in super::super) uplink: String,
    /// How the names of guests' interfaces begin.
    pub(in super::super) prefix: String,
    /// The pools.
    pub(in super::super) pools: Vec<Ipv6Net>,
}

/// What it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// Its release.
    pub(super) release: String,
    /// Why it cannot do what it was told.
    #[serde(default)]
    pub(super) error: Option<String>,
}

struct Answerer {
    handle: Handle,
    task: Option<Task>,
    /// None while the uplink is not there.
    wire: Option<Wire>,
    /// Whether it is in the log that nothing is heard.
    deaf: bool,
    heard: Heard,
}

/// Runs until it is told to end; at once when another one runs in this directory.
///
/// # Errors
/// When there is no socket to be had: of a file, of netlink.
pub async fn serve(dir: &Path) -> io::Result<()> {
    let lock = std::fs::File::create(dir.join("lock"))?;
    let Ok(_lock) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) else { return Ok(()) };
    let control = dir.join("ctl");
    let _ = std::fs::remove_file(&control); // of one that died
    let listener = UnixListener::bind(&control)?;
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let heard = Heard::new(Instant::now());
    let mut answerer = Answerer { handle, task: None, wire: None, deaf: false, heard };
    loop {
        tokio::select! {
            coming = listener.accept() => {
                let (stream, _) = coming?;
                let heard = tokio::time::timeout(PATIENCE, answerer.converse(stream)).await;
                if matches!(heard, Ok(Ok(Word::End))) {
                    return std::fs::remove_file(&control);
                }
            }
            question = answerer.hear() => answerer.answer(question).await,
        }
    }
}

impl Answerer {
    /// Hears one word, does as it says, and answers.
    async fn converse(&mut self, stream: UnixStream) -> io::Result<Word> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        (&mut stream).take(LONGEST).read_line(&mut line).await?;
        let word: Word = serde_json::from_str(&line)?;
        let done = match &word {
            Word::Answer(task) => self.take_on(task),
            Word::Tell(net) => self.tell(*net).await,
            Word::Settle | Word::End => Ok(()),
        };
        let error = done.err().map(|error| error.to_string());
        let mut said = serde_json::to_vec(&Said { release: crate::VERSION.to_owned(), error })?;
        said.push(b'\n');
        stream.write_all(&said).await?;
        Ok(word)
    }

    fn take_on(&mut self, task: &Task) -> io::Result<()> {
        let link = Link::named(&task.uplink);
        self.task = Some(task.clone());
        if self.wire.as_ref().map(|wire| wire.link) != link {
            self.wire = None;
        }
        if self.wire.is_none() {
            let link = link.ok_or_else(|| io::Error::other("it is not there, or no Ethernet"))?;
            self.wire = Some(Wire::open(link)?);
        }
        Ok(())
    }

    /// The next question; waits for ever while there is no uplink.
    async fn hear(&self) -> io::Result<Question> {
        match &self.wire {
            Some(wire) => wire.hear().await,
            None => std::future::pending().await,
        }
    }

    async fn answer(&mut self, question: io::Result<Question>) {
        let (Some(wire), Some(task)) = (&self.wire, &self.task) else { return };
        let question = match question {
            Ok(question) => question,
            Err(error) => {
                if !std::mem::replace(&mut self.deaf, true) {
                    tracing::warn!(%error, uplink = task.uplink, "neighbours cannot be heard until it is back");
                }
                self.wire = None;
                return;
            }
        };
        self.deaf = false;
        let net = net_of(question.target);
        let ours = task.pools.iter().any(|pool| pool.contains(&net));
        if !ours || !self.heard.asked(net, question.target, Instant::now()) {
            return;
        }
        if is_here(&self.handle, &task.prefix, question.target).await
            && let Err(error) = wire.answer(question)
        {
            tracing::warn!(%error, target = %question.target, "a neighbour cannot be answered; it will ask again");
        }
    }

    /// Tells of the first address of a /64, which guests mostly have, and of those that were asked for lately.
    async fn tell(&self, net: Ipv6Net) -> io::Result<()> {
        let (Some(wire), Some(task)) = (&self.wire, &self.task) else {
            return Err(io::Error::other("there is no uplink"));
        };
        let first = berth_proto::own_ipv6(net).addr();
        if !is_here(&self.handle, &task.prefix, first).await {
            return Ok(()); // gone again
        }
        let mut known = self.heard.of(net_of(first));
        known.retain(|ip| *ip != first);
        known.push(first);
        known.into_iter().try_for_each(|ip| wire.tell(ip))
    }
}

/// The /64 that an address is in.
fn net_of(ip: Ipv6Addr) -> Ipv6Net {
    Ipv6Net::new_assert(ip, 64).trunc()
}

/// Whether packets to an address leave by a guest's interface.
async fn is_here(handle: &Handle, prefix: &str, ip: Ipv6Addr) -> bool {
    let to = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(ip, 128).build();
    let mut found = handle.route().get(to).execute();
    let Ok(Some(route)) = found.try_next().await else { return false };
    let mut by = route
        .attributes
        .iter()
        .filter_map(|a| if let RouteAttribute::Oif(index) = a { Some(*index) } else { None });
    let name = by.next().and_then(|index| if_indextoname(index).ok());
    name.and_then(|name| name.into_string().ok()).is_some_and(|name| vps_of(prefix, &name).is_some())
}
