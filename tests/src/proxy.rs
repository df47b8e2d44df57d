//! A TCP proxy that fails on command: between an agent and the server, or between the server and Postgres.
//!
//! It forwards bytes and knows nothing of what they mean. [`Proxy::set`] changes what it does for connections that
//! stand and for new ones alike.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the proxy does with bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forwards.
    Pass,
    /// Forwards each piece this much later.
    Delay(Duration),
    /// Connections stand, and nothing comes through.
    Blackhole,
    /// Closes all connections, and new ones as soon as they are made.
    Cut,
}

/// Where the proxy leads to.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// An address.
    Tcp(SocketAddr),
    /// A socket in the file system (Postgres).
    Unix(PathBuf),
}

/// A running proxy; it ends when this is dropped.
pub struct Proxy {
    /// Where to connect instead of upstream.
    pub addr: SocketAddr,
    mode: watch::Sender<Mode>,
    upstream: watch::Sender<Upstream>,
    /// Rises when standing connections are to be closed; a count, so that none misses it.
    cuts: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(upstream: Upstream) -> io::Result<Self> {
        Self::behind(std::net::TcpListener::bind("127.0.0.1:0")?, upstream)
    }

    /// As [`Self::start`], behind a listener that stands already, for instance inside a network namespace.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn behind(listener: std::net::TcpListener, upstream: Upstream) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let addr = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let (cuts, cut) = watch::channel(0);
        let (upstream, upstreams) = watch::channel(upstream);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstreams, modes, cut));
        Ok(Self { addr, mode, upstream, cuts, _tasks: tasks })
    }

    /// Changes what the proxy does, for standing connections too.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
        if mode == Mode::Cut {
            self.break_connections();
        }
    }

    /// Leads new connections somewhere else, and closes those that stand.
    pub fn lead_to(&self, upstream: Upstream) {
        self.upstream.send_replace(upstream);
        self.break_connections();
    }

    /// Closes all standing connections; new ones work.
    pub fn break_connections(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }
}

async fn accept(
    listener: TcpListener,
    upstream: watch::Receiver<Upstream>,
    mode: watch::Receiver<Mode>,
    cut: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, mode, mut cut) = (upstream.borrow().clone(), mode.clone(), cut.clone());
        cut.mark_unchanged();
        if *mode.borrow() != Mode::Cut {
            connections.spawn(async move {
                tokio::select! {
                    _ = serve(client, upstream, mode) => {}
                    _ = cut.changed() => {}
                }
            });
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(client: TcpStream, upstream: Upstream, mode: watch::Receiver<Mode>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (client_read, client_write) = client.into_split();
    match upstream {
        Upstream::Tcp(addr) => {
            let (read, write) = TcpStream::connect(addr).await?.into_split();
            both(pump(client_read, write, mode.clone()), pump(read, client_write, mode)).await
        }
        Upstream::Unix(path) => {
            let (read, write) = UnixStream::connect(path).await?.into_split();
            both(pump(client_read, write, mode.clone()), pump(read, client_write, mode)).await
        }
    }
}

async fn both(
    a: impl Future<Output = io::Result<()>>,
    b: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    tokio::try_join!(a, b).map(drop)
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = from.read(&mut buffer).await?;
        let now = *mode.wait_for(|mode| *mode != Mode::Blackhole).await.map_err(io::Error::other)?;
        if let Mode::Delay(time) = now {
            tokio::time::sleep(time).await;
        }
        if n == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..n]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = listener.local_addr().expect("it listens");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        addr
    }

    #[tokio::test]
    async fn passes_holds_and_cuts() {
        let proxy = Proxy::start(Upstream::Tcp(echo().await)).expect("it starts");
        let mut stream = TcpStream::connect(proxy.addr).await.expect("it listens");
        let mut answer = [0; 3];
        stream.write_all(b"one").await.expect("open");
        stream.read_exact(&mut answer).await.expect("passes");
        assert_eq!(&answer, b"one");

        proxy.set(Mode::Blackhole);
        stream.write_all(b"two").await.expect("open");
        let held = tokio::time::timeout(Duration::from_millis(50), stream.read_exact(&mut answer)).await;
        held.expect_err("nothing comes through a black hole");
        proxy.set(Mode::Pass);
        stream.read_exact(&mut answer).await.expect("what was held arrives");
        assert_eq!(&answer, b"two");

        proxy.set(Mode::Cut);
        assert!(matches!(stream.read(&mut answer).await, Ok(0) | Err(_)), "standing connections are closed");
        let mut refused = TcpStream::connect(proxy.addr).await.expect("the port is open");
        assert!(matches!(refused.read(&mut answer).await, Ok(0) | Err(_)), "new ones too");
    }
}
