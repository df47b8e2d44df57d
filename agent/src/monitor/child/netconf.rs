//! Keeps an image's own network configuration from undoing what was configured from outside.
//!
//! Images usually ask for DHCP, which nobody answers here: a client that gives up takes the address away. So each
//! manager that an image may have is told either the same configuration, or to leave `eth0` alone. What lies in `/run`
//! is new at every boot; files in `/etc` are written at the first boot and are the guest's afterwards.

use std::fmt::Write;
use std::io;

use crate::monitor::tree::{Attributes, Tree};
use crate::monitor::wire::Start;

const PUBLIC: Attributes = Attributes::root(0o644);

/// For systemd-networkd, which configures what is configured already, and NetworkManager.
pub(super) fn every_boot(tree: &Tree, start: &Start) -> io::Result<()> {
    let directory = "/run/systemd/network";
    tree.directory(directory, 0o755)?;
    let unit = network_unit(start);
    tree.write(&format!("{directory}/00-berth-eth0.network"), unit.as_bytes(), PUBLIC)?;
    let directory = "/run/NetworkManager/conf.d";
    tree.directory(directory, 0o755)?;
    let alone = b"[keyfile]\nunmanaged-devices=interface-name:eth0\n";
    tree.write(&format!("{directory}/00-berth.conf"), alone, PUBLIC)
}

/// Interfaces of private networks are configured by the host alone, those too that come while the guest runs.
pub(super) fn leave_private_alone(tree: &Tree) -> io::Result<()> {
    let directory = "/run/systemd/network";
    tree.directory(directory, 0o755)?;
    let unit = b"[Match]\nName=eth[1-9] eth[1-9][0-9]\n\n[Link]\nUnmanaged=yes\n";
    tree.write(&format!("{directory}/00-berth-private.network"), unit, PUBLIC)?;
    let directory = "/run/NetworkManager/conf.d";
    tree.directory(directory, 0o755)?;
    let alone = b"[keyfile]\nunmanaged-devices=interface-name:eth*\n";
    tree.write(&format!("{directory}/01-berth-private.conf"), alone, PUBLIC)
}

/// For scripts: ifupdown (Debian's, busybox's and OpenRC's with either) and those of RHEL and SUSE.
pub(super) fn first_boot(tree: &Tree, start: &Start) -> io::Result<()> {
    let interfaces = "/etc/network/interfaces";
    if tree.exists(interfaces) {
        tree.write(interfaces, ifupdown(start).as_bytes(), PUBLIC)?;
    }
    let scripts = [
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nONBOOT=no\nNM_CONTROLLED=no\n"),
        ("/etc/sysconfig/network/ifcfg-eth0", "STARTMODE='off'\n"),
    ];
    for (path, content) in scripts.into_iter().filter(|(path, _)| tree.exists(path)) {
        tree.write(path, content.as_bytes(), PUBLIC)?;
    }
    Ok(())
}

/// Each command says what holds already, so it may be given at any time and as often as one likes.
fn ifupdown(start: &Start) -> String {
    let mut out = String::from(
        "# Written once, at first boot; yours from then on. The host configures eth0 before init runs.\n\
         auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet manual\n",
    );
    let mut commands = vec!["ip link set dev eth0 up".to_owned()];
    if let Some(net) = &start.net {
        let (address, gateway) = (net.address, net.gateway);
        commands.extend([
            format!("ip address replace {address}/32 dev eth0"),
            format!("ip route replace {gateway} dev eth0"),
            format!("ip route replace default via {gateway} dev eth0"),
        ]);
    }
    if let Some(net) = &start.net6 {
        let (address, gateway) = (net.address, net.gateway);
        commands.extend([
            format!("ip -6 address replace {address} dev eth0 nodad || true"),
            format!("ip -6 route replace default via {gateway} dev eth0 || true"),
        ]);
    }
    for command in commands {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "    up {command}");
    }
    out
}

fn network_unit(start: &Start) -> String {
    let mut unit = "[Match]\nName=eth0\n\n[Network]\nIPv6AcceptRA=no\n".to_owned();
    let link_local = if start.net6.is_some() { "ipv6" } else { "no" };
    let _ = writeln!(unit, "LinkLocalAddressing={link_local}");
    for resolver in &start.resolvers {
        let _ = writeln!(unit, "DNS={resolver}");
    }
    if let Some(net) = &start.net {
        let _ = write!(
            unit,
            "\n[Address]\nAddress={}/32\n\n[Route]\nGateway={}\nGatewayOnLink=yes\n",
            net.address, net.gateway
        );
    }
    if let Some(net) = &start.net6 {
        let _ = write!(
            unit,
            "\n[Address]\nAddress={}\nDuplicateAddressDetection=none\n\n[Route]\nGateway={}\nGatewayOnLink=yes\n",
            net.address, net.gateway
        );
    }
    unit
}
