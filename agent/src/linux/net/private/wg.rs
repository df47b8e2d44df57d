//! What the kernel's WireGuard is told and asked, by generic netlink. Requests are short and answered at once.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardCmd,
    WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};
use rtnetlink::packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use rtnetlink::sys::Socket;
use rtnetlink::sys::protocols::NETLINK_GENERIC;

/// A public or private key.
pub(super) type Key = [u8; 32];

/// Another host, as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) key: Key,
    /// What it may send from, and what is sent to it.
    pub(super) addresses: Vec<IpAddr>,
}

/// Gives an interface its key and its port. The same again changes nothing.
pub(super) fn set_up(interface: &str, private: Key, port: u16) -> io::Result<()> {
    set(vec![
        WireguardAttribute::IfName(interface.to_owned()),
        WireguardAttribute::PrivateKey(private),
        WireguardAttribute::ListenPort(port),
    ])
}

/// Lets packets to and from an address go to and come from a host with this key, and no others of it.
pub(super) fn set_peer(interface: &str, key: Key, endpoint: SocketAddr) -> io::Result<()> {
    let (family, length) = match endpoint.ip() {
        IpAddr::V4(_) => (WireguardAddressFamily::Ipv4, 32),
        IpAddr::V6(_) => (WireguardAddressFamily::Ipv6, 128),
    };
    let own = WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(endpoint.ip()),
        WireguardAllowedIpAttr::Cidr(length),
    ]);
    change_peer(
        interface,
        vec![
            WireguardPeerAttribute::PublicKey(key),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
            WireguardPeerAttribute::Endpoint(endpoint),
            WireguardPeerAttribute::AllowedIps(vec![own]),
        ],
    )
}

/// Forgets a host.
pub(super) fn remove_peer(interface: &str, key: Key) -> io::Result<()> {
    change_peer(
        interface,
        vec![
            WireguardPeerAttribute::PublicKey(key),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
        ],
    )
}

fn change_peer(interface: &str, peer: Vec<WireguardPeerAttribute>) -> io::Result<()> {
    let name = WireguardAttribute::IfName(interface.to_owned());
    set(vec![name, WireguardAttribute::Peers(vec![WireguardPeer(peer)])])
}

fn set(attributes: Vec<WireguardAttribute>) -> io::Result<()> {
    let message = WireguardMessage { cmd: WireguardCmd::SetDevice, attributes };
    request(message, NLM_F_ACK).map(|_| ())
}

/// The public key of an interface, and the hosts that it knows.
pub(super) fn look(interface: &str) -> io::Result<(Option<Key>, Vec<Known>)> {
    let attributes = vec![WireguardAttribute::IfName(interface.to_owned())];
    let answers = request(WireguardMessage { cmd: WireguardCmd::GetDevice, attributes }, NLM_F_DUMP)?;
    let (mut public, mut peers) = (None, Vec::<Known>::new());
    for attribute in answers.into_iter().flat_map(|answer| answer.attributes) {
        match attribute {
            WireguardAttribute::PublicKey(key) => public = Some(key),
            WireguardAttribute::Peers(some) => {
                for peer in some.iter().filter_map(known) {
                    // One with many addresses is told in parts.
                    match peers.last_mut().filter(|last| last.key == peer.key) {
                        Some(last) => last.addresses.extend(peer.addresses),
                        None => peers.push(peer),
                    }
                }
            }
            _ => {}
        }
    }
    Ok((public, peers))
}

fn known(peer: &WireguardPeer) -> Option<Known> {
    let mut addresses = Vec::new();
    let mut key = None;
    for attribute in peer.iter() {
        match attribute {
            WireguardPeerAttribute::PublicKey(public) => key = Some(*public),
            WireguardPeerAttribute::AllowedIps(nets) => {
                let ips = nets.iter().flat_map(|net| net.iter());
                addresses.extend(ips.filter_map(|attribute| match attribute {
                    WireguardAllowedIpAttr::IpAddr(ip) => Some(*ip),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    Some(Known { key: key?, addresses })
}

/// Asks the WireGuard of this thread's network namespace.
fn request(message: WireguardMessage, flags: u16) -> io::Result<Vec<WireguardMessage>> {
    let asked = GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(WireguardMessage::family_name().to_owned())],
    };
    let families = ask(GenlMessage::from_payload(asked), NLM_F_ACK)?;
    let mut attributes = families.into_iter().flat_map(|family| family.nlas);
    let family = attributes
        .find_map(|attribute| if let GenlCtrlAttrs::FamilyId(id) = attribute { Some(id) } else { None })
        .ok_or(io::ErrorKind::NotFound)?;
    let mut message = GenlMessage::from_payload(message);
    message.set_resolved_family_id(family);
    ask(message, flags)
}

fn ask<F>(mut message: GenlMessage<F>, flags: u16) -> io::Result<Vec<F>>
where
    F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Debug,
{
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&rtnetlink::sys::SocketAddr::new(0, 0))?;
    message.finalize();
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answers = Vec::new();
    loop {
        let (received, _) = socket.recv_from_full()?;
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            let one = NetlinkMessage::<GenlMessage<F>>::deserialize(rest).map_err(io::Error::other)?;
            match one.payload {
                NetlinkPayload::InnerMessage(answer) => answers.push(answer.payload),
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Error(end) if end.code.is_none() => return Ok(answers),
                NetlinkPayload::Error(why) => return Err(why.to_io()),
                _ => {}
            }
            let length = usize::try_from(one.header.length).map_err(io::Error::other)?;
            rest = rest.get(length.next_multiple_of(4).max(16)..).unwrap_or_default();
        }
    }
}
