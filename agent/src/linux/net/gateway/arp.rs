//! Telling everybody on a link who has an address now (RFC 5227).

#![expect(unsafe_code, reason = "nix has no way to send to an interface by its number alone")]

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// An Ethernet interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) mac: [u8; 6],
}

impl Link {
    /// The interface of this name; none when there is no such one, or none with a MAC address.
    pub(super) fn named(name: &str) -> Option<Self> {
        let index = if_nametoindex(name).ok()?;
        let mut all = getifaddrs().ok()?;
        let mac = all.find_map(|found| {
            let of_it = found.interface_name == name;
            found.address.filter(|_| of_it)?.as_link_addr()?.addr()
        })?;
        Some(Self { index, mac })
    }

    /// Says that `ip` is at this interface: as a question and as an answer, since some listen to the one only and some
    /// to the other.
    pub(super) fn announce(self, ip: Ipv4Addr) -> io::Result<()> {
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None, // it hears nothing
        )?;
        let to = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: ETH_P_ARP.to_be(),
            sll_ifindex: i32::try_from(self.index).map_err(io::Error::other)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
        };
        let length = libc::socklen_t::try_from(size_of_val(&to)).map_err(io::Error::other)?;
        for operation in [REQUEST, REPLY] {
            let frame = frame(self.mac, ip, operation);
            // SAFETY: frame and address are alive and as long as is said; the kernel copies both and keeps neither.
            let sent = unsafe {
                libc::sendto(
                    socket.as_raw_fd(),
                    frame.as_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw const to).cast(),
                    length,
                )
            };
            if sent < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

const ETH_P_ARP: u16 = 0x0806;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;

fn frame(mac: [u8; 6], ip: Ipv4Addr, operation: u8) -> Vec<u8> {
    let everybody = [0xff; 6];
    // Linux takes an answer for an announcement only if it is addressed to its sender.
    let asked = if operation == REQUEST { [0; 6] } else { mac };
    let head: &[u8] = &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation];
    [&everybody, &mac, head, &mac, &ip.octets(), &asked, &ip.octets()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_names_the_address_as_sender_and_target() {
        let told = frame([2, 0, 0, 0, 0, 7], Ipv4Addr::new(192, 0, 2, 9), REQUEST);
        let expected = "ffffffffffff020000000007080600010800060400010200000000\
                        07c0000209000000000000c0000209";
        assert_eq!(hex::encode(told), expected);
    }
}
