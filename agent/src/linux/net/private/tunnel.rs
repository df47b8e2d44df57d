//! Encryption between hosts: packets of private networks to hosts that speak WireGuard go through its interface.
//!
//! The packets themselves stay as they are, from host address to host address; one routing rule sends those to the port of
//! private networks to a table of its own, in which only the encrypted hosts have routes: into the interface. There each
//! key stands for its host's address and no other, so what comes out of it is from whom it says. So a network may have
//! hosts of both kinds, nothing of it knows of encryption, and no addresses are needed for it.
//!
//! A host whose key is known is sent nothing in clear, and nothing in clear is taken from it ([`super::guard`]), whatever
//! becomes of rule, routes and interface.
//!
//! The key pair is made once, by the kernel, and kept in the state directory.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::link::InfoKind;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::super::{NetError, Result, sysctl};
use super::ops::Ops;
use super::router::Underlay;
use super::{failed, wg};

/// The routing table of encrypted hosts, and the priority of the rule that leads to it. Chosen to be nobody's.
pub(super) const TABLE: u32 = 0x6265_7274;
const PRIORITY: u32 = 4788;

/// The address of those that need some (RFC 7600, section 4.8); nothing is sent from it or to it.
const DUMMY: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 8), 32);

/// What WireGuard adds to each packet: UDP and its own headers, without the outer IP header.
const OVERHEAD: u32 = 40;

/// This host's end.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// The interface.
    pub(super) name: String,
    key_file: PathBuf,
    port: u16,
    /// This host's keys; none before they are made, and where the kernel has no WireGuard.
    keys: OnceLock<Pair>,
}

#[derive(Clone, Copy)]
struct Pair {
    private: wg::Key,
    public: wg::Key,
}

/// The private half is nobody's to see.
impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("public", &STANDARD.encode(self.public)).finish_non_exhaustive()
    }
}

impl Tunnel {
    pub(super) fn new(prefix: &str, state_dir: &std::path::Path, port: u16) -> Self {
        // No VPS's interface begins like this.
        let name = format!("_berthwg_{prefix}");
        Self { name, key_file: state_dir.join("wireguard.key"), port, keys: OnceLock::new() }
    }

    /// Finds or makes this host's keys; nothing where the kernel has no WireGuard.
    pub(super) async fn prepare(&self, ops: &Ops) -> Result<()> {
        let there = ops.index(&self.name).await?.is_some();
        if !there && !self.make(ops, 1420).await? {
            return Ok(());
        }
        let pair = self.pair();
        if !there {
            ops.remove(&self.name).await?; // it is made when there is somebody to speak with
        }
        let _ = self.keys.set(pair?);
        Ok(())
    }

    /// This host's public key; none where there is no WireGuard.
    pub(super) fn public(&self) -> Option<String> {
        self.keys.get().map(|pair| STANDARD.encode(pair.public))
    }

    /// The largest packet that fits in after this address's family, where `mtu` bytes are the largest outside.
    pub(super) fn mtu(underlay: IpAddr, mtu: u32) -> u32 {
        mtu.saturating_sub(OVERHEAD + if underlay.is_ipv4() { 20 } else { 40 })
    }

    /// Speaks with exactly these hosts; `mtu` is the largest packet between hosts.
    pub(super) async fn apply(
        &self,
        ops: &Ops,
        underlay: Underlay,
        mtu: u32,
        hosts: &BTreeMap<IpAddr, wg::Key>,
    ) -> Result<()> {
        let Some(pair) = self.keys.get() else {
            let why = io::Error::other("this host has no keys for it; does its kernel have WireGuard still?");
            return Err(failed("encrypting private networks", why));
        };
        self.make(ops, Self::mtu(underlay.address, mtu)).await?;
        let dev = ops.index(&self.name).await?.ok_or_else(|| gone(&self.name))?;
        told(wg::set_up(&self.name, pair.private, self.port))?;
        // What comes out of it is from addresses that are routed elsewhere for everybody else. That is let in where the
        // filter is loose, which is what the stricter of this and the machine's own setting comes to, but only on an
        // interface that has an address.
        sysctl::write(&format!("ipv4/conf/{}/rp_filter", self.name), "2")?;
        ops.address(dev, DUMMY.into()).await?;
        ops.up(dev).await?;
        let (_, known) = told(wg::look(&self.name))?;
        for old in &known {
            for address in old.addresses.iter().filter(|address| !hosts.contains_key(address)) {
                ops.no_route_in(TABLE, (*address).into(), dev).await?;
            }
            if !hosts.values().any(|key| *key == old.key) {
                told(wg::remove_peer(&self.name, old.key))?;
            }
        }
        for (host, key) in hosts {
            let address = std::slice::from_ref(host);
            if !known.iter().any(|known| known.key == *key && known.addresses == address) {
                told(wg::set_peer(&self.name, *key, SocketAddr::new(*host, self.port)))?;
            }
            ops.route_in(TABLE, (*host).into(), dev).await?;
        }
        ops.rule(underlay.address.is_ipv6(), underlay.port, TABLE, PRIORITY).await
    }

    /// Speaks with nobody any more. The keys stay.
    pub(super) async fn remove(&self, ops: &Ops, underlay: Underlay) -> Result<()> {
        if ops.index(&self.name).await?.is_none() {
            return Ok(());
        }
        ops.no_rule(underlay.address.is_ipv6(), underlay.port, TABLE, PRIORITY).await?;
        ops.remove(&self.name).await // its routes go with it
    }

    /// Makes the interface if need be; false where the kernel knows no such.
    async fn make(&self, ops: &Ops, mtu: u32) -> Result<bool> {
        let link = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Wireguard)
            .name(self.name.clone())
            .mtu(mtu)
            .build();
        match ops.make(link, &format!("making {}", self.name)).await {
            Err(e) if super::lacks_kind(&e) => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// Reads the keys, or makes them. The interface is there.
    fn pair(&self) -> Result<Pair> {
        let private = match self.stored()? {
            Some(private) => private,
            None => {
                let mut private: wg::Key = rand::random();
                // as the curve wants it; the kernel does the same
                private[0] &= 248;
                private[31] = (private[31] & 127) | 64;
                self.store(private).map_err(|e| failed("keeping the key of WireGuard", e))?;
                private
            }
        };
        told(wg::set_up(&self.name, private, self.port))?;
        let (public, _) = told(wg::look(&self.name))?;
        Ok(Pair { private, public: public.ok_or_else(|| gone("the public key of WireGuard"))? })
    }

    /// A file that makes no sense is an error, and not made anew: somebody should look.
    fn stored(&self) -> Result<Option<wg::Key>> {
        let text = match std::fs::read_to_string(&self.key_file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("reading the key of WireGuard", e)),
        };
        parse_key(text.trim()).map(Some).ok_or_else(|| {
            let why = format!("{} holds no key: remove it, and another is made", self.key_file.display());
            failed("reading the key of WireGuard", io::Error::other(why))
        })
    }

    fn store(&self, private: wg::Key) -> io::Result<()> {
        let fresh = self.key_file.with_extension("new");
        let _ = std::fs::remove_file(&fresh); // left by an agent that was killed
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(STANDARD.encode(private).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.key_file)
    }
}

/// Reads a key as WireGuard's own tools write it.
pub(super) fn parse_key(text: &str) -> Option<wg::Key> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn told<T>(answer: io::Result<T>) -> Result<T> {
    answer.map_err(|e| failed("speaking with the kernel's WireGuard", e))
}

fn gone(what: &str) -> NetError {
    failed(&format!("finding {what}"), io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod between;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_read_strictly_and_kept_to_ourselves() {
        let text = "8bdQrVLqiw3ZoHCucNh1YfH0iCWuyStniRr8t7H24Fk=";
        assert_eq!(STANDARD.encode(parse_key(text).unwrap()), text);
        for bad in
            ["", "8bdQ", &text[1..], "8bdQrVLqiw3ZoHCucNh1YfH0iCWuyStniRr8t7H24Fk", &format!("{text}\n")]
        {
            assert_eq!(parse_key(bad), None, "{bad}");
        }
        let dir = tempfile::tempdir().unwrap();
        let tunnel = Tunnel::new("bt", dir.path(), 4788);
        assert_eq!(tunnel.stored().unwrap(), None);
        let private = parse_key(text).unwrap();
        tunnel.store(private).unwrap();
        assert_eq!(tunnel.stored().unwrap(), Some(private));
        let mode = std::fs::metadata(dir.path().join("wireguard.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join("wireguard.key"), "nonsense").unwrap();
        assert!(tunnel.stored().unwrap_err().to_string().contains("remove it"));
        let pair = Pair { private, public: private };
        assert!(!format!("{:?}", Pair { public: [0; 32], ..pair }).contains(text));
    }
}
