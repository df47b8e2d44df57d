//! The way from a guest to the agent's metadata service, and who it is that came.
//!
//! Packets that guests send to 169.254.169.254, port 80, are turned to the agent's listener, which has the gateway's
//! address and a port that the kernel chose. Nobody else comes there: what arrives by another interface is dropped, and
//! so is what a guest sends to that port without having asked for 169.254.169.254. Everything else in 169.254.0.0/16
//! stays out of guests' reach.
//!
//! **Who asks is found by the route back**: the interface by which the host would send an answer. A guest can only send
//! from what is routed to it (see [`super::rules`]), and a TCP connection has had an answer; so that is the interface
//! the request came in by, whatever the request says.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::Ordering;

use berth_proto::VpsId;
use futures_util::TryStreamExt as _;
use nix::net::if_::if_indextoname;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::RouteAttribute;
use tokio::net::TcpListener;

use super::{GATEWAY, Net, NetError, Result, rules};

/// Connections that the kernel keeps until they are taken.
const WAITING: i32 = 256;

/// The parts of the table that lead here. The set and the way are filled when the listener is there.
pub(super) fn frame(prefix: &str) -> String {
    format!(
        r#"    set metadata_port {{ type inet_service; }}
    chain metadata {{ type nat hook prerouting priority dstnat; policy accept; }}
    chain to_host {{
        iifname != "{prefix}*" ip daddr {GATEWAY} tcp dport @metadata_port drop
        iifname "{prefix}*" tcp dport @metadata_port ct original ip daddr 169.254.169.254 accept
    }}
"#
    )
}

fn way(table: &str, prefix: &str, port: u16) -> String {
    format!(
        "flush set inet {table} metadata_port\nadd element inet {table} metadata_port {{ {port} }}\n\
         flush chain inet {table} metadata\n\
         add rule inet {table} metadata iifname \"{prefix}*\" ip daddr 169.254.169.254 tcp dport 80 redirect to :{port}\n"
    )
}

impl Net {
    /// Listens where guests' questions are turned to, and turns them there. Those of an earlier listener end.
    ///
    /// # Errors
    /// When the kernel or nft refuses it.
    pub async fn metadata_listener(&self) -> Result<TcpListener> {
        let failed = |source| NetError::Io { what: "listening for guests' questions".into(), source };
        let listener = open().map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        self.metadata_port.store(port, Ordering::Release);
        rules::apply(&self.metadata_way()).await?;
        Ok(listener)
    }

    /// What turns guests' questions to the listener; nothing while there is none.
    pub(super) fn metadata_way(&self) -> String {
        match self.metadata_port.load(Ordering::Acquire) {
            0 => String::new(),
            port => way(&self.table, &self.prefix, port),
        }
    }

    /// The VPS that has this address, by the host's own routes; none when no VPS has.
    pub async fn guest_at(&self, address: Ipv4Addr) -> Option<VpsId> {
        let asked = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build();
        let mut routes = std::pin::pin!(self.handle.route().get(asked).execute());
        let route = routes.try_next().await.ok()??;
        let index = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        });
        self.id_of(if_indextoname(index?).ok()?.to_str().ok()?)
    }
}

/// The gateway's address is there only while some guest is, so it is bound to in advance.
fn open() -> std::io::Result<TcpListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(GATEWAY, 0)))?;
    listen(&socket, Backlog::new(WAITING)?)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;

    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::linux::net::tests::{Guest, in_namespace, sh, spec};

    /// Tells everybody who comes who they are.
    async fn tell(net: Arc<Net>, listener: TcpListener) {
        loop {
            let (mut stream, from) = listener.accept().await.unwrap();
            let std::net::IpAddr::V4(from) = from.ip() else { panic!("{from}") };
            let who = net.guest_at(from).await.map_or("nobody".to_owned(), |id| id.to_string());
            let _ = stream.write_all(who.as_bytes()).await;
        }
    }

    /// What one hears who connects from the namespace of a process; empty when nothing.
    async fn hears(pid: u32, address: &str) -> String {
        let connect = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{address} && cat <&3' 2>/dev/null; true");
        let run = move || {
            Command::new("nsenter")
                .args(["-t", &pid.to_string(), "-n", "sh", "-c", &connect])
                .output()
                .unwrap()
        };
        String::from_utf8(tokio::task::spawn_blocking(run).await.unwrap().stdout).unwrap()
    }

    #[test]
    fn each_guest_is_known_and_nobody_else_comes_there() {
        in_namespace(|net, _| async move {
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            let net = Arc::new(net);
            let listener = net.metadata_listener().await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut told = tokio::spawn(tell(net.clone(), listener));
            let (a, b, stranger) = (Guest::start(), Guest::start(), Guest::start());
            for (id, guest) in [(1, &a), (2, &b)] {
                let address = Ipv4Addr::new(10, 9, 0, id + 1);
                let mac = format!("02:00:00:00:00:0{id}");
                net.attach(VpsId(id.into()), guest.pid(), &spec(address, &mac)).await.unwrap();
                guest.configure(&address.to_string());
            }
            sh(&format!(
                "ip link add up0 type veth peer name eth0 netns {}; ip addr add 192.0.2.1/24 dev up0; ip link set up0 up",
                stranger.pid()
            ));
            assert!(stranger.sh(
                "ip link set eth0 up; ip addr add 192.0.2.2/24 dev eth0; ip route add default via 192.0.2.1"
            ));
            let service = "169.254.169.254/80";
            assert_eq!(hears(a.pid(), service).await, "1");
            assert_eq!(hears(b.pid(), service).await, "2");
            // by another's address, or one of its own making
            for address in ["10.9.0.3", "10.9.0.77"] {
                assert!(a.sh(&format!("ip addr add {address}/32 dev eth0; ip route change default via 172.31.1.1 dev eth0 src {address} onlink")));
                assert_eq!(hears(a.pid(), service).await, "", "{address}");
            }
            assert!(a.sh("ip route change default via 172.31.1.1 dev eth0 src 10.9.0.2 onlink"));
            // not but by asking for the service, and nothing else there
            for address in
                [format!("172.31.1.1/{port}"), format!("169.254.169.254/{port}"), "169.254.169.253/80".into()]
            {
                assert_eq!(hears(a.pid(), &address).await, "", "{address}");
            }
            // from elsewhere, and by the host itself
            for address in [format!("172.31.1.1/{port}"), service.to_owned(), format!("192.0.2.1/{port}")] {
                assert_eq!(hears(stranger.pid(), &address).await, "", "{address}");
            }
            assert_eq!(hears(std::process::id(), &format!("172.31.1.1/{port}")).await, "");

            // an agent that was restarted, and rules that are made anew
            told.abort();
            let _ = told.await;
            assert_eq!(hears(a.pid(), service).await, "");
            let listener = net.metadata_listener().await.unwrap();
            told = tokio::spawn(tell(net.clone(), listener));
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            assert_eq!(hears(a.pid(), service).await, "1");
            told.abort();
            for id in [VpsId(1), VpsId(2)] {
                net.detach(id).await.unwrap();
            }
        });
    }
}
