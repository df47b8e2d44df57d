//! Named counters of a table, asked of the kernel by netlink, in the network namespace of the calling thread.
//!
//! Counters of private networks are in as many namespaces as there are networks here. Starting nft in each of them every
//! few seconds would cost more than all else that an agent does; so one thread goes through them, with one question each.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::counting::Sum;

/// `NFNL_SUBSYS_NFTABLES` and `NFT_MSG_NEWOBJ`.
const OBJECT: u16 = 10 << 8 | 18;
/// `NFT_MSG_GETOBJ`.
const GET: u16 = 10 << 8 | 19;
/// `NFPROTO_INET`.
const INET: u8 = 1;
/// `NFT_OBJECT_COUNTER`.
const COUNTER: u32 = 1;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const ALL: u16 = 0x301;
/// `NLM_F_DUMP_INTR`: the table was changed while it was listed.
const INTERRUPTED: u16 = 0x10;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;

/// How often it is asked again when the table was changed meanwhile.
const ATTEMPTS: usize = 20;

/// The named counters of a table of the family inet; none where there is no such table.
pub(super) fn counters(table: &str) -> io::Result<Vec<(String, Sum)>> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match ask(table) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted && attempts < ATTEMPTS => {}
            other => return other,
        }
    }
}

fn ask(table: &str) -> io::Result<Vec<(String, Sum)>> {
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    send(kernel.as_raw_fd(), &question(table), MsgFlags::empty())?;
    let (mut found, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let length = recv(kernel.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if take_in(&buffer[..length], &mut found)? {
            return Ok(found);
        }
    }
}

fn question(table: &str) -> Vec<u8> {
    let table = [table.as_bytes(), &[0]].concat();
    let body = [vec![INET, 0, 0, 0], attribute(1, &table), attribute(3, &COUNTER.to_be_bytes())].concat();
    let length = u32::try_from(HEADER + body.len()).expect("names of tables are short");
    let (sequence, own) = ([0; 4], [0; 4]);
    let header =
        [&length.to_ne_bytes()[..], &GET.to_ne_bytes(), &ALL.to_ne_bytes(), &sequence, &own].concat();
    [header, body].concat()
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + payload.len()).expect("names of tables are short");
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), payload].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Reads what the kernel sent at once; true when that was all.
fn take_in(mut rest: &[u8], found: &mut Vec<(String, Sum)>) -> io::Result<bool> {
    while !rest.is_empty() {
        let (length, kind, flags) = header(rest).ok_or(io::ErrorKind::InvalidData)?;
        let message = rest.get(HEADER..length).ok_or(io::ErrorKind::InvalidData)?;
        if flags & INTERRUPTED != 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if matches!(kind, ERROR | DONE) {
            return match message.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code)) {
                0 => Ok(kind == DONE),
                code => Err(io::Error::from_raw_os_error(-code)),
            };
        }
        if kind == OBJECT {
            found.extend(message.get(4..).and_then(counter));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// Length, kind and flags.
fn header(bytes: &[u8]) -> Option<(usize, u16, u16)> {
    let [a, b, c, d, e, f, g, h, ..] = *bytes.first_chunk::<HEADER>()?;
    let length = usize::try_from(u32::from_ne_bytes([a, b, c, d])).ok()?;
    Some((length, u16::from_ne_bytes([e, f]), u16::from_ne_bytes([g, h])))
}

/// Name, bytes and packets.
fn counter(object: &[u8]) -> Option<(String, Sum)> {
    if number(find(object, 3)?)? != u64::from(COUNTER) {
        return None;
    }
    let name = std::str::from_utf8(find(object, 2)?).ok()?.trim_end_matches('\0').to_owned();
    let data = find(object, 4)?;
    let figure = |kind| i64::try_from(number(find(data, kind)?)?).ok();
    Some((name, (figure(1)?, figure(2)?)))
}

/// What an attribute of this kind holds.
fn find(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let [a, b, c, d] = *rest.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let payload = rest.get(4..length)?;
        if u16::from_ne_bytes([c, d]) & 0x3fff == wanted {
            return Some(payload); // the upper bits are flags
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::net::tests::{in_namespace, sh};

    #[test]
    fn counters_are_those_that_nft_lists() {
        in_namespace(|_, run_dir| async move {
            assert_eq!(counters("there_is_none").unwrap(), []);
            let mut batch = "table inet t { quota other { 5 bytes used 3 bytes }\n".to_owned();
            for n in 0..3000_u64 {
                batch.push_str(&format!("counter c{n} {{ packets {n} bytes {} }}\n", n << 33));
            }
            batch.push_str("}\ntable inet u { counter c { packets 1 bytes 2; }; }");
            let file = run_dir.join("batch");
            std::fs::write(&file, batch).unwrap();
            sh(&format!("nft -f {}", file.display()));
            let mut found = counters("t").unwrap();
            found.sort_by_key(|(_, sum)| *sum);
            let expected: Vec<_> = (0..3000_i64).map(|n| (format!("c{n}"), (n << 33, n))).collect();
            assert_eq!(found, expected);
            assert_eq!(counters("u").unwrap(), [("c".to_owned(), (2, 1))]);
        });
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        let whole = |kind: u16, flags: u16, body: &[u8]| {
            let length = u32::try_from(HEADER + body.len()).unwrap();
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8], body].concat()
        };
        let read = |bytes: &[u8]| take_in(bytes, &mut Vec::new()).map_err(|e| e.kind());
        assert_eq!(read(&whole(DONE, 0, &[0; 4])), Ok(true));
        assert_eq!(read(&[]), Ok(false));
        assert_eq!(read(&whole(OBJECT, INTERRUPTED, &[])), Err(io::ErrorKind::Interrupted));
        assert_eq!(
            read(&whole(ERROR, 0, &(-libc::EPERM).to_ne_bytes())),
            Err(io::ErrorKind::PermissionDenied)
        );
        assert_eq!(read(&[9; 15]), Err(io::ErrorKind::InvalidData));
        assert_eq!(read(&[0; 16]), Err(io::ErrorKind::InvalidData));
        for body in [&[][..], &[1], &[INET, 0, 0, 0, 9, 9], &[INET, 0, 0, 0, 0, 0, 0, 0], &[255; 64]] {
            assert_eq!(read(&whole(OBJECT, 0, body)), Ok(false), "{body:?}");
        }
    }
}
