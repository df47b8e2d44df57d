//! The uplink, as far as its neighbours' questions are concerned: a packet socket that sees nothing else.
//!
//! Who asks for an address sends to a group that only its owner is in, so the socket makes the interface hear all groups.
//! The socket's filter keeps everything but such questions from ever reaching this process.

#![expect(unsafe_code, reason = "nix has neither filters nor groups of packet sockets")]

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockType, recvfrom, socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::super::arp::Link;
use super::packets::{EVERYBODY, ICMPV6, NEVER_FORWARDED, Question, SOLICITATION, advertisement};

const ETH_P_IPV6: u16 = 0x86dd;
/// The Ethernet's group of all nodes.
const EVERYBODYS_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// An open socket on an interface.
#[derive(Debug)]
pub(super) struct Wire {
    socket: AsyncFd<OwnedFd>,
    pub(super) link: Link,
}

impl Wire {
    pub(super) fn open(link: Link) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // without a protocol it hears nothing before there is a filter
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, None)?;
        let load = |at: u32| filter(0x30, 0, at);
        let unless = |value: u8, skip: u8| filter(0x15, skip, value.into());
        let mut program = [
            load(6), // the next header
            unless(ICMPV6, 5),
            load(7), // hops left
            unless(NEVER_FORWARDED, 3),
            load(40), // the kind of message
            unless(SOLICITATION, 1),
            filter(0x06, 0, 0x0001_0000), // all of it
            filter(0x06, 0, 0),           // nothing
        ];
        let program = libc::sock_fprog { len: 8, filter: program.as_mut_ptr() };
        set(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
        let all_groups = libc::packet_mreq {
            mr_ifindex: i32::try_from(link.index).map_err(io::Error::other)?,
            mr_type: libc::PACKET_MR_ALLMULTI as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set(&socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &all_groups)?;
        let at = place(link, [0; 6])?;
        // SAFETY: the address is alive during the call and as long as is said; the kernel copies it.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const at).cast(), length_of(&at)?) };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is owned, stays open for as long as the registration, and nobody replaces it.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self { socket: socket.map_err(io::Error::from)?, link })
    }

    /// The next question. An error means that the interface is gone, or down.
    pub(super) async fn hear(&self) -> io::Result<Question> {
        loop {
            let mut buffer = [0; 1024]; // a longer question is cut off, and none
            let receive = |socket: &OwnedFd| {
                recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer).map_err(io::Error::from)
            };
            let (length, from) = self.socket.async_io(Interest::READABLE, receive).await?;
            let Some(from) = from else { continue };
            let to_us = [libc::PACKET_HOST, libc::PACKET_MULTICAST].contains(&from.as_ref().sll_pkttype);
            let mac = from.addr().filter(|_| to_us);
            if let Some(question) = mac.and_then(|mac| Question::read(&buffer[..length], mac)) {
                return Ok(question);
            }
        }
    }

    /// Says to who asked that the address is here; to everybody, when somebody wants it for itself.
    pub(super) fn answer(&self, question: Question) -> io::Result<()> {
        match question.from {
            Some(from) => {
                let packet = advertisement(question.target, from, true, self.link.mac);
                self.send(&packet, question.mac)
            }
            None => self.tell(question.target),
        }
    }

    /// Says to everybody that an address is here.
    pub(super) fn tell(&self, target: Ipv6Addr) -> io::Result<()> {
        self.send(&advertisement(target, EVERYBODY, false, self.link.mac), EVERYBODYS_MAC)
    }

    fn send(&self, packet: &[u8], mac: [u8; 6]) -> io::Result<()> {
        let to = place(self.link, mac)?;
        let (socket, length) = (self.socket.get_ref().as_raw_fd(), length_of(&to)?);
        // SAFETY: packet and address are alive and as long as is said; the kernel copies both and keeps neither.
        let sent = unsafe {
            libc::sendto(socket, packet.as_ptr().cast(), packet.len(), 0, (&raw const to).cast(), length)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// An instruction of a socket's filter.
fn filter(code: u16, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf, k }
}

/// A place on the link.
fn place(link: Link, mac: [u8; 6]) -> io::Result<libc::sockaddr_ll> {
    let [a, b, c, d, e, f] = mac;
    Ok(libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ETH_P_IPV6.to_be(),
        sll_ifindex: i32::try_from(link.index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [a, b, c, d, e, f, 0, 0],
    })
}

fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let (value, length) = (std::ptr::from_ref(value).cast(), length_of(value)?);
    // SAFETY: the value is of the type that the option takes and alive, with all that it points to; the kernel copies it.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn length_of<T>(value: &T) -> io::Result<libc::socklen_t> {
    libc::socklen_t::try_from(size_of_val(value)).map_err(io::Error::other)
}
