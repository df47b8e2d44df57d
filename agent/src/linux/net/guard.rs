//! The operator's walls around a VPS: isolation, and ports that nobody is reached at from it.
//!
//! Who is isolated is a set of interfaces, looked into first of all that comes from guests and last of all that goes to
//! them, so that connections which stand are cut as well. Blocked ports are a chain of the VPS's own, found by interface
//! in a verdict map before any firewall. Either is one look-up a packet, whether one VPS has walls or a thousand; a VPS
//! without any has nothing in the table.

use std::fmt::Write as _;

use berth_proto::{FirewallProtocol, Guard, VpsId};

use super::{Net, Result, rules};

/// Sets, maps, and the rules that look into them. Part of the table.
pub(super) fn frame(prefix: &str) -> String {
    format!(
        r#"    set isolated {{ type ifname; }}
    map guarded {{ type ifname : verdict; }}
    chain from_guest {{
        iifname @isolated drop
    }}
    chain to_guest {{
        oifname @isolated drop
    }}
    chain through {{
        iifname "{prefix}*" iifname vmap @guarded
    }}
"#
    )
}

impl Net {
    /// Puts the operator's walls around a VPS, or takes them away. They hold for connections that stand, too.
    ///
    /// # Errors
    /// When nft refuses them; then those that were in force still are.
    pub async fn guard(&self, id: VpsId, guard: &Guard) -> Result<()> {
        self.private.isolate(id, guard.isolated).await?;
        let open = *guard == Guard::default();
        if open && !rules::has_chain(&self.table, &chain(id)).await {
            return Ok(());
        }
        let (table, name) = (&self.table, self.name(id));
        rules::apply(&if open { removal(table, id, &name) } else { batch(table, id, &name, guard) }).await
    }
}

fn chain(id: VpsId) -> String {
    format!("guard_{id}")
}

fn batch(table: &str, id: VpsId, interface: &str, guard: &Guard) -> String {
    let chain = format!("inet {table} {}", chain(id));
    let mut batch = format!("add chain {chain}\nflush chain {chain}\n");
    for (protocol, name) in [(FirewallProtocol::Tcp, "tcp"), (FirewallProtocol::Udp, "udp")] {
        let blocked = guard.blocked_ports.iter().filter(|blocked| blocked.protocol == protocol);
        let ports: Vec<String> = blocked.map(|blocked| blocked.port.to_string()).collect();
        if !ports.is_empty() {
            let _ = writeln!(batch, "add rule {chain} {name} dport {{ {} }} counter drop", ports.join(", "));
        }
    }
    let jump = format!("{{ \"{interface}\" : jump guard_{id} }}");
    let _ = writeln!(batch, "add element inet {table} guarded {jump}");
    batch + &isolation(table, interface, guard.isolated)
}

/// Adding first makes taking away succeed whether or not it was there; nft before 1.0.7 has no other way.
fn isolation(table: &str, interface: &str, isolated: bool) -> String {
    let element = format!("element inet {table} isolated {{ \"{interface}\" }}");
    if isolated { format!("add {element}\n") } else { format!("add {element}\ndelete {element}\n") }
}

fn removal(table: &str, id: VpsId, interface: &str) -> String {
    let chain = format!("inet {table} {}", chain(id));
    batch(table, id, interface, &Guard::default())
        + &format!(
            "delete element inet {table} guarded {{ \"{interface}\" }}\nflush chain {chain}\ndelete chain {chain}\n"
        )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use berth_proto::BlockedPort;

    use super::*;
    use crate::linux::net::tests::{Guest, in_namespace, sh, spec};

    const A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
    const B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 3);

    fn blocked(ports: &[(FirewallProtocol, u16)]) -> Guard {
        let blocked = ports.iter().map(|(protocol, port)| BlockedPort { protocol: *protocol, port: *port });
        Guard { isolated: false, blocked_ports: blocked.collect() }
    }

    /// Whether B gets a datagram from A at this port.
    fn arrives(a: &Guest, b: &Guest, port: u16) -> bool {
        let socket = "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Proto => \"udp\",";
        let listen = format!("timeout 3 {socket} LocalPort => {port})->recv($x, 9); exit 1 if $x ne \"x\"'");
        let send = format!(
            "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; {socket} PeerAddr => \"10.9.0.3\", PeerPort => {port})->send(\"x\")'; done"
        );
        std::thread::scope(|scope| {
            let got = scope.spawn(|| b.sh(&listen));
            a.sh(&send);
            got.join().unwrap()
        })
    }

    #[test]
    fn who_is_isolated_reaches_nobody_and_is_reached_by_nobody() {
        in_namespace(|net, _| async move {
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            let (a, b) = (Guest::start(), Guest::start());
            let mut wanted = spec(A, "02:00:00:00:00:01");
            wanted.guard.isolated = true;
            net.attach(VpsId(1), a.pid(), &wanted).await.unwrap();
            net.attach(VpsId(2), b.pid(), &spec(B, "02:00:00:00:00:02")).await.unwrap();
            a.configure("10.9.0.2");
            b.configure("10.9.0.3");
            let cut = |a: &Guest, b: &Guest| {
                assert!(!a.sh("ping -c1 -W1 10.9.0.3 >/dev/null"));
                assert!(!a.sh("ping -c1 -W1 172.31.1.1 >/dev/null"));
                assert!(!b.sh("ping -c1 -W1 10.9.0.2 >/dev/null"));
            };
            cut(&a, &b);
            assert!(b.sh("ping -c1 -W2 172.31.1.1 >/dev/null"), "the neighbour has nothing to do with it");
            let counted = net.traffic().await.unwrap();
            let came = |id| counted.iter().find(|(of, _)| *of == VpsId(id)).unwrap().1.in_packets;
            assert_eq!((came(1), came(2)), (0, 1));
            net.guard(VpsId(1), &Guard::default()).await.unwrap();
            net.guard(VpsId(1), &Guard::default()).await.unwrap();
            assert!(a.sh("ping -c1 -W2 10.9.0.3 >/dev/null"));

            // in the middle of a conversation, and by an agent that was restarted
            net.guard(VpsId(1), &wanted.guard).await.unwrap();
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            cut(&a, &b);
            net.detach(VpsId(1)).await.unwrap();
            net.detach(VpsId(2)).await.unwrap();
            assert!(!sh("nft list ruleset").contains("guard_1"));
        });
    }

    #[test]
    fn blocked_ports_are_blocked_outwards_only() {
        use FirewallProtocol::{Tcp, Udp};
        in_namespace(|net, _| async move {
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            let (a, b) = (Guest::start(), Guest::start());
            let mut wanted = spec(A, "02:00:00:00:00:01");
            wanted.guard = blocked(&[(Tcp, 25), (Udp, 25), (Tcp, 465)]);
            net.attach(VpsId(1), a.pid(), &wanted).await.unwrap();
            net.attach(VpsId(2), b.pid(), &spec(B, "02:00:00:00:00:02")).await.unwrap();
            a.configure("10.9.0.2");
            b.configure("10.9.0.3");
            assert!(!arrives(&a, &b, 25));
            assert!(arrives(&a, &b, 26));
            assert!(a.sh("ping -c1 -W2 10.9.0.3 >/dev/null"));
            net.guard(VpsId(1), &blocked(&[(Udp, 26)])).await.unwrap();
            assert!(arrives(&a, &b, 25));
            assert!(!arrives(&a, &b, 26));
            net.detach(VpsId(1)).await.unwrap();
            net.detach(VpsId(2)).await.unwrap();
        });
    }
}
