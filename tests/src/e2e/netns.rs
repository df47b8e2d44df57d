//! Network namespaces of our own.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

/// A named network namespace; it goes when this is dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes it, with its loopback interface up.
    ///
    /// # Panics
    /// When that fails: nothing can be tested then.
    #[must_use]
    pub fn new(name: &str) -> Self {
        run(Command::new("ip").args(["netns", "add", name]));
        let netns = Self { name: name.to_owned() };
        netns.ip(&["link", "set", "lo", "up"]);
        netns
    }

    /// Its name under `/run/netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// A command that will run inside. Not `ip netns exec`: that makes a mount namespace in which `/sys` is mounted
    /// anew, without the cgroup hierarchies.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs `ip` inside.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, args: &[&str]) -> String {
        run(Command::new("ip").arg("-n").arg(&self.name).args(args))
    }

    /// A listener inside. The socket stays in the namespace, wherever it is used from.
    ///
    /// # Panics
    /// When the address cannot be had.
    #[must_use]
    pub fn listen(&self, addr: SocketAddr) -> TcpListener {
        self.inside(move || TcpListener::bind(addr).expect("the address is free inside the namespace"))
    }

    /// A datagram socket inside.
    ///
    /// # Panics
    /// When the address cannot be had.
    #[must_use]
    pub fn udp(&self, addr: SocketAddr) -> UdpSocket {
        self.inside(move || UdpSocket::bind(addr).expect("the address is free inside the namespace"))
    }

    /// A connection from inside.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub fn connect_to(&self, addr: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
        self.inside(move || TcpStream::connect_timeout(&addr, patience))
    }

    /// Connects two namespaces: an interface of this name in each.
    pub fn connect(&self, name: &str, other: &Self, other_name: &str) {
        self.ip(&["link", "add", name, "type", "veth", "peer", "name", other_name, "netns", &other.name]);
        self.ip(&["link", "set", name, "up"]);
        other.ip(&["link", "set", other_name, "up"]);
    }

    /// Runs `f` on a thread that is inside and ends afterwards, so that no thread is ever left in the wrong place.
    fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(self.path()).expect("the namespace is there");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
                f()
            });
            thread.join().expect("what runs inside does not panic")
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let deleted = Command::new("ip").args(["netns", "delete", &self.name]).status();
        if !deleted.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("network namespace {} is left: {deleted:?}", self.name);
        }
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Panics
/// When it cannot be run or fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}
