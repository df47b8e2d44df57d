//! Which host takes a new VPS: a pure function over what the inventory knows.
//!
//! Filter, then score. A host must be enrolled, not revoked, not cordoned, heard of within the last minute, in the
//! wanted place, of the wanted architecture, and have room in memory, disk and CPU (CPU times the operator's
//! overcommit, but guaranteed CPU without it), reach the other members of its private networks, and
//! be able to serve the addresses that there are. Among those the one that ends up least loaded wins, judged by the fuller of memory and CPU with a
//! small penalty for using them unevenly; a host that has the image unpacked already is worth a fifth of a host's load.
//! Ties go to fewer VPSes, then to the smaller id, so the answer depends on nothing but the input.
//!
//! What is chosen here is only a proposal: `db::vps::create` takes the room with a conditional update under the host's
//! row lock and asks again when another request was faster.

use std::fmt;

use crate::ids::{DatacenterId, HostId, LocationId};

/// A host as placement sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which host.
    pub host: HostId,
    /// Where it stands.
    pub location: LocationId,
    /// Where it stands, more exactly.
    pub datacenter: DatacenterId,
    /// Whether it is enrolled, and its certificate is not revoked.
    pub enrolled: bool,
    /// Whether the operator wants no new VPSes there.
    pub cordoned: bool,
    /// Whether it reported within the last minute.
    pub fresh: bool,
    /// `x86` or `arm`.
    pub architecture: String,
    /// What it can give in all.
    pub capacity: Resources,
    /// What is sold already.
    pub allocated: Resources,
    /// How many times each core may be sold.
    pub cpu_overcommit: f64,
    /// How many VPSes it has.
    pub vps_count: i64,
    /// Whether the wanted image stands ready there.
    pub has_image: bool,
    /// What IPv4 addresses it could serve.
    pub addresses: Supply,
    /// Whether a VPS here would have ports of the host where its IPv4 address needs some.
    pub has_ports: bool,
    /// Whether a VPS here would reach the members of the wanted private networks that other hosts have.
    pub reaches_members: bool,
    /// What /64s of IPv6 it could serve.
    pub prefixes: Supply,
    /// What it lacks for the addresses that the VPS is to have and that are held already.
    pub chosen: Option<Gap>,
}

/// What pools of a family a host's location has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// None.
    None,
    /// Some, in which nothing is free.
    Full,
    /// Something is free, but nothing that the host could serve: it lacks this.
    Unserved(Gap),
    /// Something that the host can serve is free.
    Free,
}

/// What a host lacks to serve addresses of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// Its kernel has no IPv6.
    Ipv6,
    /// An interface on which it could answer for addresses.
    Uplink,
    /// The program that announces addresses.
    Bird,
    /// Anybody to announce addresses of that family to.
    Routers,
}

impl Gap {
    const CODES: [(&'static str, Self); 4] =
        [("ipv6", Self::Ipv6), ("uplink", Self::Uplink), ("bird", Self::Bird), ("routers", Self::Routers)];

    /// Reads the word that `host_lacks` of the inventory has for it.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::CODES.iter().find(|(known, _)| *known == code).map(|(_, gap)| *gap)
    }
}

/// As a noun.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv6 => "IPv6",
            Self::Uplink => "an uplink to answer for addresses on",
            Self::Bird => "bird, which announces addresses by BGP",
            Self::Routers => "routers to announce such addresses to by BGP",
        })
    }
}

/// Whether a new VPS gets a /64 out of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixNeed {
    /// It gets none.
    None,
    /// It gets one where there are pools.
    IfThere,
    /// It gets one.
    Sure,
}

/// Amounts of what is sold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Thousandths of a core that are guaranteed: sold once, whatever the overcommit. Of a host's capacity this field
    /// is not looked at: all its CPU can be guaranteed.
    pub cpu_guarantee_milli: i64,
    /// Bytes.
    pub memory_bytes: i64,
    /// Bytes.
    pub disk_bytes: i64,
}

/// What a new VPS needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Room.
    pub resources: Resources,
    /// `x86` or `arm`.
    pub architecture: String,
    /// Whether it gets an IPv4 address.
    pub address: bool,
    /// Whether it gets a /64 of IPv6.
    pub prefix: PrefixNeed,
    /// Where it must be.
    pub place: Place,
}

/// Where a VPS must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Anywhere.
    #[default]
    Anywhere,
    /// In a location; the name is for messages.
    Location(LocationId, String),
    /// In a data centre; the name is for messages.
    Datacenter(DatacenterId, String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere => f.write_str("any location"),
            Self::Location(_, name) => write!(f, "location {name}"),
            Self::Datacenter(_, name) => write!(f, "datacenter {name}"),
        }
    }
}

/// Why no host fits: what most of the hosts that came furthest lacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyNot {
    /// What was missing.
    pub lack: Lack,
    /// Where.
    pub place: Place,
}

/// What hosts lack, from the first filter to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// There is no host at all.
    Host,
    /// Hosts are there, and none takes new VPSes now (not enrolled, cordoned, not heard of).
    Ready,
    /// None has the plan's architecture.
    Architecture,
    /// This much disk.
    Disk(i64),
    /// This much memory.
    Memory(i64),
    /// This much CPU.
    Cpu(i64),
    /// This much CPU that is guaranteed to nobody.
    CpuGuarantee(i64),
    /// A way to members of its private networks on other hosts.
    Network,
    /// What it takes to serve the addresses that there are.
    Gateway(Gap),
    /// An IPv4 address.
    Address,
    /// Ports of the host for a private IPv4 address.
    Ports,
    /// A /64 of IPv6.
    Prefix,
}

/// What is missing, as a noun.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host | Self::Ready => f.write_str("a host"),
            Self::Architecture => f.write_str("the architecture of this server type"),
            Self::Disk(bytes) => write!(f, "{} of disk", Bytes(*bytes)),
            Self::Memory(bytes) => write!(f, "{} of memory", Bytes(*bytes)),
            Self::Cpu(milli) => write!(f, "{} cores", *milli as f64 / 1000.0),
            Self::CpuGuarantee(milli) => write!(f, "{} guaranteed cores", *milli as f64 / 1000.0),
            Self::Network => f.write_str("a way to the other servers of the networks"),
            Self::Gateway(gap) => gap.fmt(f),
            Self::Address => f.write_str("an IPv4 address"),
            Self::Ports => f.write_str("ports for a private IPv4 address"),
            Self::Prefix => f.write_str("an IPv6 address"),
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, lack } = self;
        match lack {
            Lack::Host => write!(f, "there is no host in {place}"),
            Lack::Ready => write!(f, "no host in {place} takes new servers at the moment"),
            Lack::Architecture => write!(f, "no host in {place} has {lack}"),
            Lack::Disk(_) | Lack::Memory(_) | Lack::Cpu(_) | Lack::CpuGuarantee(_) => {
                write!(f, "no host in {place} has {lack} free")
            }
            Lack::Network => write!(
                f,
                "no host in {place} that has room has {lack}: hosts need VXLAN and an address among hosts for that, and WireGuard \
                 where the location encrypts"
            ),
            Lack::Gateway(_) => write!(f, "no host in {place} that has room has {lack}"),
            Lack::Address => write!(f, "no IPv4 address is free in {place}"),
            Lack::Ports => write!(f, "no host in {place} that has room has {lack} left"),
            Lack::Prefix => write!(f, "no IPv6 address is free in {place}"),
        }
    }
}

/// Bytes for people: `2 GiB`, `512 MiB`.
struct Bytes(i64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TiB", 1_i64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, size)| self.0 >= *size) {
            Some((unit, size)) if self.0 % size == 0 => write!(f, "{} {unit}", self.0 / size),
            Some((unit, size)) => write!(f, "{:.1} {unit}", self.0 as f64 / *size as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// Chooses a host.
pub fn choose(candidates: &[Candidate], need: &Need) -> Result<HostId, WhyNot> {
    let in_place = candidates.iter().filter(|c| match need.place {
        Place::Anywhere => true,
        Place::Location(id, _) => c.location == id,
        Place::Datacenter(id, _) => c.datacenter == id,
    });
    let mut lacks = Vec::new();
    let mut best: Option<(Score, HostId)> = None;
    for candidate in in_place {
        match lack(candidate, need) {
            Some(lack) => lacks.push(lack),
            None => {
                let score = score(candidate, need);
                if best.is_none_or(|(s, _)| score < s) {
                    best = Some((score, candidate.host));
                }
            }
        }
    }
    match best {
        Some((_, host)) => Ok(host),
        // The host that came furthest says most about what would have helped.
        None => {
            Err(WhyNot { lack: lacks.into_iter().max().unwrap_or(Lack::Host), place: need.place.clone() })
        }
    }
}

/// CPU that may be sold in all.
#[must_use]
pub fn sellable_cpu(capacity_milli: i64, overcommit: f64) -> i64 {
    (capacity_milli as f64 * overcommit) as i64
}

fn lack(c: &Candidate, need: &Need) -> Option<Lack> {
    if !c.enrolled || c.cordoned || !c.fresh {
        Some(Lack::Ready)
    } else if c.architecture != need.architecture {
        Some(Lack::Architecture)
    } else {
        lack_of_room(&c.capacity, c.cpu_overcommit, &c.allocated, &need.resources)
            .or_else(|| (!c.reaches_members).then_some(Lack::Network))
            .or_else(|| c.chosen.map(Lack::Gateway))
            .or_else(|| if need.address { short(c.addresses, Lack::Address) } else { None })
            .or_else(|| (!c.has_ports).then_some(Lack::Ports))
            .or_else(|| match need.prefix {
                PrefixNeed::None => None,
                PrefixNeed::IfThere if c.prefixes == Supply::None => None,
                PrefixNeed::IfThere | PrefixNeed::Sure => short(c.prefixes, Lack::Prefix),
            })
    }
}

/// What is lacking to have something of this supply.
fn short(supply: Supply, lack: Lack) -> Option<Lack> {
    match supply {
        Supply::Free => None,
        Supply::Unserved(gap) => Some(Lack::Gateway(gap)),
        Supply::None | Supply::Full => Some(lack),
    }
}

/// What a host lacks for `wanted` more than it has sold. Giving back is always possible, also where more is sold than
/// there is.
#[must_use]
pub fn lack_of_room(
    capacity: &Resources,
    overcommit: f64,
    allocated: &Resources,
    wanted: &Resources,
) -> Option<Lack> {
    let fits = |allocated: i64, wanted: i64, capacity: i64| {
        wanted <= 0 || allocated.saturating_add(wanted) <= capacity
    };
    let cpu = sellable_cpu(capacity.cpu_milli, overcommit);
    if !fits(allocated.disk_bytes, wanted.disk_bytes, capacity.disk_bytes) {
        Some(Lack::Disk(wanted.disk_bytes))
    } else if !fits(allocated.memory_bytes, wanted.memory_bytes, capacity.memory_bytes) {
        Some(Lack::Memory(wanted.memory_bytes))
    } else if !fits(allocated.cpu_milli, wanted.cpu_milli, cpu) {
        Some(Lack::Cpu(wanted.cpu_milli))
    } else if !fits(allocated.cpu_guarantee_milli, wanted.cpu_guarantee_milli, capacity.cpu_milli) {
        Some(Lack::CpuGuarantee(wanted.cpu_guarantee_milli))
    } else {
        None
    }
}

/// Smaller is better: load in thousandths, then VPSes, then id.
type Score = (i128, i64, HostId);

fn score(c: &Candidate, need: &Need) -> Score {
    let part = |used: i64, of: i64| i128::from(used) * 1000 / i128::from(of.max(1));
    let cpu = sellable_cpu(c.capacity.cpu_milli, c.cpu_overcommit);
    let cpu = part(c.allocated.cpu_milli + need.resources.cpu_milli, cpu);
    let memory = part(c.allocated.memory_bytes + need.resources.memory_bytes, c.capacity.memory_bytes);
    let image = if c.has_image { 200 } else { 0 };
    (cpu.max(memory) + (cpu - memory).abs() / 4 - image, c.vps_count, c.host)
}

#[cfg(test)]
mod tests;
