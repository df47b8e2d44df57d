//! The metadata service: guests ask for their own facts at 169.254.169.254.
//!
//! The guest is known by the route to its address ([`super::net`]), never by what it says. Bounds: so many connections of
//! one guest and of all, a few seconds and one request for each. What goes beyond is closed at once, so a guest that
//! floods the service shuts out itself only. An agent that is restarted listens at another port, to which the rules are
//! turned; meanwhile guests are refused and ask again.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{LinuxHost, lock};
use crate::metadata::{Facts, LARGEST_HEAD, answer};

/// Connections of one guest at the same time.
const MOST_OF_ONE: usize = 8;
/// Connections of all guests at the same time.
const MOST: usize = 1024;
/// How long one connection may last.
const PATIENCE: Duration = Duration::from_secs(5);
/// After the listener could not be had, it is tried again so much later.
const AGAIN: Duration = Duration::from_secs(10);

/// The connections of each address. The address stands for the guest before it is known which one it is.
#[derive(Clone, Debug, Default)]
struct Open(Arc<Mutex<HashMap<Ipv4Addr, usize>>>);

/// One connection, counted while it lasts.
struct Counted(Open, Ipv4Addr);

impl Open {
    fn count(&self, address: Ipv4Addr) -> Option<Counted> {
        let mut open = lock(&self.0);
        let count = open.entry(address).or_default();
        *count += 1;
        let counted = Counted(self.clone(), address);
        let within = *count <= MOST_OF_ONE;
        drop(open);
        within.then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = lock(&self.0.0);
        if let Some(count) = open.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.1);
            }
        }
    }
}

impl LinuxHost {
    /// Answers guests for ever.
    pub(super) async fn answer_guests(&self, facts: &dyn Facts) {
        loop {
            match self.net.metadata_listener().await {
                Ok(listener) => self.take_questions(&listener, facts).await,
                Err(error) => {
                    tracing::warn!(%error, "guests cannot ask for their metadata; tried again soon")
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn take_questions(&self, listener: &TcpListener, facts: &dyn Facts) {
        let open = Open::default();
        let mut answering = futures_util::stream::FuturesUnordered::new();
        loop {
            tokio::select! {
                taken = listener.accept() => {
                    let Ok((stream, from)) = taken else { return };
                    let IpAddr::V4(from) = from.ip() else { continue };
                    if let Some(counted) = open.count(from).filter(|_| answering.len() < MOST) {
                        answering.push(self.answer_one(stream, from, counted, facts));
                    }
                }
                Some(()) = futures_util::StreamExt::next(&mut answering), if !answering.is_empty() => {}
            }
        }
    }

    async fn answer_one(&self, stream: TcpStream, from: Ipv4Addr, _counted: Counted, facts: &dyn Facts) {
        // a guest that ends in the middle, or says nothing, is its own affair
        let _ = tokio::time::timeout(PATIENCE, self.converse_with(stream, from, facts)).await;
    }

    async fn converse_with(
        &self,
        mut stream: TcpStream,
        from: Ipv4Addr,
        facts: &dyn Facts,
    ) -> std::io::Result<()> {
        let Some(id) = self.net.guest_at(from).await else { return Ok(()) };
        let mut head = Vec::with_capacity(512);
        let settings = self.settings();
        while answer(&head, None, &settings).is_none() {
            let mut part = [0; 512];
            match stream.read(&mut part).await? {
                0 => return Ok(()),
                n => head.extend_from_slice(&part[..n.min(LARGEST_HEAD - head.len())]),
            }
        }
        let answer = answer(&head, facts.spec(id).as_ref(), &settings).unwrap_or_default();
        stream.write_all(&answer).await?;
        stream.shutdown().await
    }
}
