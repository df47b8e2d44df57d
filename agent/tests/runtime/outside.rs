//! The world outside a test's host: a second network namespace behind an uplink, in which package mirrors can be reached
//! through a relay. So guests go the whole way (route, source check, NAT) while this machine's network stays as it is.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::world::{sh, wait_for};

/// Its address, as seen from the host under test.
pub(crate) const ADDRESS: &str = "198.51.100.1";

/// The same of IPv6.
pub(crate) const ADDRESS6: &str = "2001:db8:ff::1";

/// The network namespace that the tests were started in. To be called before a test leaves it.
pub(crate) fn home() -> &'static File {
    static HOME: OnceLock<File> = OnceLock::new();
    HOME.get_or_init(|| File::open("/proc/thread-self/ns/net").unwrap())
}

/// The namespace, for as long as this lives.
pub(crate) struct Outside(Child);

impl Outside {
    /// Makes it, and connects this thread's namespace to it by `up0` with a default route.
    pub(crate) fn connect() -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "100000"]).spawn().unwrap();
        let outside = Self(child);
        let pid = outside.0.id();
        let ns = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net")).ok();
        wait_for("a network namespace", Duration::from_secs(10), || {
            ns(&pid.to_string()).is_some_and(|found| Some(found) != ns("thread-self"))
        });
        sh(&format!(
            "ip link add up0 type veth peer name up0 netns {pid} && ip addr add 198.51.100.2/24 dev up0 && ip link set up0 up
             nsenter -t {pid} -n sh -c 'ip link set lo up && ip addr add {ADDRESS}/24 dev up0 && ip link set up0 up'
             ip route add default via {ADDRESS}
             if [ -d /proc/sys/net/ipv6 ]; then
                 ip -6 addr add 2001:db8:ff::2/64 dev up0 nodad && ip -6 route add default via {ADDRESS6}
                 nsenter -t {pid} -n sh -c 'ip -6 addr add {ADDRESS6}/64 dev up0 nodad && ip -6 route add default via 2001:db8:ff::2'
             fi"
        ));
        outside
    }

    /// A process in it.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Serves a mirror on port 80 of [`ADDRESS`]; false if this machine cannot reach it.
    pub(crate) fn relay(&self, mirror: &'static str) -> bool {
        let there = File::open(format!("/proc/{}/ns/net", self.0.id())).unwrap();
        let here = home();
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            setns(&there, CloneFlags::CLONE_NEWNET).unwrap();
            let listener = TcpListener::bind((ADDRESS, 80)).unwrap();
            setns(here, CloneFlags::CLONE_NEWNET).unwrap();
            let address = mirror.to_socket_addrs().ok().and_then(|mut all| all.find(|a| a.is_ipv4()));
            let reachable =
                address.is_some_and(|a| TcpStream::connect_timeout(&a, Duration::from_secs(10)).is_ok());
            ready.send(reachable).unwrap();
            let Some(address) = address else { return };
            for guest in listener.incoming().flatten() {
                if let Ok(mirror) = TcpStream::connect(address) {
                    let (mut a, mut b) = (guest.try_clone().unwrap(), mirror.try_clone().unwrap());
                    let (mut c, mut d) = (guest, mirror);
                    std::thread::spawn(move || {
                        let _ = io::copy(&mut a, &mut b);
                        let _ = b.shutdown(std::net::Shutdown::Write);
                    });
                    std::thread::spawn(move || {
                        let _ = io::copy(&mut d, &mut c);
                        let _ = c.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        is_ready.recv().unwrap()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
