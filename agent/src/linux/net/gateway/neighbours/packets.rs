//! Questions and answers among IPv6 neighbours (RFC 4861): what is taken for a question, and what an answer looks like.

use std::net::Ipv6Addr;

/// All nodes of a link.
pub(super) const EVERYBODY: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The groups of all whose addresses end alike, in which they are asked: ff02::1:ff00:0/104.
const SOLICITED: [u8; 13] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];

const HEADER: usize = 40;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Of a packet that no router has passed on.
pub(super) const NEVER_FORWARDED: u8 = 255;

/// Somebody asks who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The address.
    pub(super) target: Ipv6Addr,
    /// Who asks; none for one that wants to know whether it may have the address itself.
    pub(super) from: Option<Ipv6Addr>,
    /// Where from.
    pub(super) mac: [u8; 6],
}

impl Question {
    /// Reads a packet; none for everything that RFC 4861 (7.1.1) says to discard.
    pub(super) fn read(packet: &[u8], mac: [u8; 6]) -> Option<Self> {
        let (header, rest) = packet.split_at_checked(HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let body = rest.get(..length).filter(|body| body.len() >= 24)?; // a frame may be padded
        let (from, to) = (address(&header[8..24])?, address(&header[24..40])?);
        let is_one = header[0] >> 4 == 6 && header[6] == ICMPV6 && header[7] == NEVER_FORWARDED;
        if !is_one || body[..2] != [SOLICITATION, 0] || checksum(from, to, body) != 0 {
            return None;
        }
        let target = address(&body[8..24])?;
        let own_link_address = options(&body[24..])?;
        let probes = from.is_unspecified();
        if target.is_multicast() || from.is_multicast() {
            return None;
        }
        if probes && (own_link_address || !to.octets().starts_with(&SOLICITED)) {
            return None;
        }
        Some(Self { target, from: (!probes).then_some(from), mac })
    }
}

/// Whether there is an option with the sender's link address; none if the options are broken.
fn options(mut rest: &[u8]) -> Option<bool> {
    let mut found = false;
    while let [kind, eights, ..] = rest {
        found |= *kind == 1;
        rest = rest.get(usize::from(*eights) * 8..).filter(|_| *eights > 0)?;
    }
    rest.is_empty().then_some(found)
}

/// The packet that says that `target` is at `mac`. Nobody else has it, so it takes the place of what neighbours knew. It
/// comes from that address itself: this is the only host that may say so.
pub(super) fn advertisement(target: Ipv6Addr, to: Ipv6Addr, solicited: bool, mac: [u8; 6]) -> Vec<u8> {
    let flags = 0x20 | if solicited { 0x40 } else { 0 }; // override, solicited
    let head = [ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    let mut body = [&head[..], &target.octets(), &[2, 1], &mac].concat();
    let sum = checksum(target, to, &body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let header = [0x60, 0, 0, 0, length[0], length[1], ICMPV6, NEVER_FORWARDED];
    [&header[..], &target.octets(), &to.octets(), &body].concat()
}

fn address(bytes: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from)
}

/// The checksum of an ICMPv6 message whose own field is zero; 0 for one that has the right one.
fn checksum(from: Ipv6Addr, to: Ipv6Addr, body: &[u8]) -> u16 {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let (from, to) = (from.octets(), to.octets());
    let parts = [&from[..], &to, &length, &[0, 0, 0, ICMPV6], body];
    let pairs = parts.into_iter().flat_map(|part| part.chunks(2));
    let sum: u32 =
        pairs.map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x99);
    const ASKER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x99);

    fn solicitation(from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
        let mut body = [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), options].concat();
        let sum = checksum(from, to, &body);
        body[2..4].copy_from_slice(&sum.to_be_bytes());
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let header = [0x60, 0, 0, 0, length[0], length[1], ICMPV6, 255];
        [&header[..], &from.octets(), &to.octets(), &body].concat()
    }

    #[test]
    fn a_question_is_understood_and_a_broken_one_is_none() {
        let own = [1, 1, 2, 0, 0, 0, 0, 9];
        let good = solicitation(ASKER, GROUP, TARGET, &own);
        let question = Question { target: TARGET, from: Some(ASKER), mac: MAC };
        assert_eq!(Question::read(&good, MAC), Some(question));
        let padded = [&good[..], &[0; 12]].concat();
        assert_eq!(Question::read(&padded, MAC), Some(question));
        let probe = solicitation(Ipv6Addr::UNSPECIFIED, GROUP, TARGET, &[]);
        assert_eq!(Question::read(&probe, MAC).unwrap().from, None);
        for (why, bad) in [
            ("passed on by a router", {
                let mut p = good.clone();
                p[7] = 254;
                p
            }),
            ("a wrong checksum", {
                let mut p = good.clone();
                p[63] ^= 1;
                p
            }),
            ("cut off", good[..60].to_vec()),
            ("of a group", solicitation(ASKER, GROUP, GROUP, &own)),
            ("from a group", solicitation(EVERYBODY, GROUP, TARGET, &own)),
            ("an option without length", solicitation(ASKER, GROUP, TARGET, &[1, 0, 2, 0, 0, 0, 0, 9])),
            ("half an option", solicitation(ASKER, GROUP, TARGET, &[1, 2, 2, 0, 0, 0, 0, 9])),
            ("a probe that has an address", solicitation(Ipv6Addr::UNSPECIFIED, GROUP, TARGET, &own)),
            ("a probe to one alone", solicitation(Ipv6Addr::UNSPECIFIED, TARGET, TARGET, &[])),
        ] {
            assert_eq!(Question::read(&bad, MAC), None, "{why}");
        }
    }

    #[test]
    fn an_answer_has_the_right_checksum_and_says_who_has_it() {
        let packet = advertisement(TARGET, ASKER, true, MAC);
        assert_eq!(checksum(TARGET, ASKER, &packet[HEADER..]), 0);
        assert_eq!((packet[HEADER], packet[HEADER + 4]), (ADVERTISEMENT, 0x60));
        assert_eq!(packet[HEADER + 24..], [2, 1, 2, 0, 0, 0, 0, 7]);
        assert_eq!(Question::read(&packet, MAC), None, "an answer is no question");
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(mut packet in proptest::collection::vec(any::<u8>(), 0..120), as_one in any::<bool>()) {
            if as_one && packet.len() > 48 {
                (packet[0], packet[4], packet[6], packet[7]) = (0x60, 0, ICMPV6, 255);
                (packet[40], packet[41]) = (SOLICITATION, 0);
            }
            let _ = Question::read(&packet, MAC);
        }
    }
}
