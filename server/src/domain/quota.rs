//! Quotas: what a project may have at most, of each thing that is counted.
//!
//! Only what makes it more is refused: a project that has more than its quota, because that was lowered, may still change
//! what it has for less, and keeps it.

use crate::error::{Error, Result};

/// The largest figure of a quota: more of anything than an installation has, and sums still fit.
pub const MOST: i64 = 1 << 50;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Servers.
    Servers,
    /// CPU, thousandths of a core.
    Cpu,
    /// Memory, bytes.
    Memory,
    /// Disk, bytes.
    Disk,
    /// IPv4 addresses of primary and floating IPs.
    Addresses,
    /// IPv6 prefixes (/64) of primary and floating IPs.
    Prefixes,
}

impl Counted {
    /// All of it, in the order in which it is shown.
    pub const ALL: [Self; 6] =
        [Self::Servers, Self::Cpu, Self::Memory, Self::Disk, Self::Addresses, Self::Prefixes];

    /// A figure of it in words: `3 servers`.
    #[must_use]
    pub fn tell(self, figure: i64) -> String {
        let gib = |bytes: i64| bytes as f64 / f64::from(1 << 30);
        let s = if figure == 1 { "" } else { "s" };
        match self {
            Self::Servers => format!("{figure} server{s}"),
            Self::Cpu => format!("{} core{}", figure as f64 / 1000.0, if figure == 1000 { "" } else { "s" }),
            Self::Memory => format!("{} GiB of memory", gib(figure)),
            Self::Disk => format!("{} GiB of disk", gib(figure)),
            Self::Addresses => format!("{figure} IPv4 address{}", if figure == 1 { "" } else { "es" }),
            Self::Prefixes => format!("{figure} IPv6 prefix{}", if figure == 1 { "" } else { "es" }),
        }
    }
}

/// What a project has, or some of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Servers.
    pub servers: i64,
    /// Thousandths of a core.
    pub cpu_milli: i64,
    /// Bytes of memory.
    pub memory_bytes: i64,
    /// Bytes of disk.
    pub disk_bytes: i64,
    /// IPv4 addresses.
    pub addresses: i64,
    /// IPv6 prefixes.
    pub prefixes: i64,
}

impl std::ops::Add for Amounts {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            servers: self.servers + more.servers,
            cpu_milli: self.cpu_milli + more.cpu_milli,
            memory_bytes: self.memory_bytes + more.memory_bytes,
            disk_bytes: self.disk_bytes + more.disk_bytes,
            addresses: self.addresses + more.addresses,
            prefixes: self.prefixes + more.prefixes,
        }
    }
}

impl Amounts {
    /// How much of this.
    #[must_use]
    pub fn of(&self, what: Counted) -> i64 {
        match what {
            Counted::Servers => self.servers,
            Counted::Cpu => self.cpu_milli,
            Counted::Memory => self.memory_bytes,
            Counted::Disk => self.disk_bytes,
            Counted::Addresses => self.addresses,
            Counted::Prefixes => self.prefixes,
        }
    }
}

/// What a project may have at most; where there is none, there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Servers.
    pub servers: Option<i64>,
    /// Thousandths of a core.
    pub cpu_milli: Option<i64>,
    /// Bytes of memory.
    pub memory_bytes: Option<i64>,
    /// Bytes of disk.
    pub disk_bytes: Option<i64>,
    /// IPv4 addresses.
    pub addresses: Option<i64>,
    /// IPv6 prefixes.
    pub prefixes: Option<i64>,
}

impl Quota {
    /// The limit of this.
    #[must_use]
    pub fn of(&self, what: Counted) -> Option<i64> {
        match what {
            Counted::Servers => self.servers,
            Counted::Cpu => self.cpu_milli,
            Counted::Memory => self.memory_bytes,
            Counted::Disk => self.disk_bytes,
            Counted::Addresses => self.addresses,
            Counted::Prefixes => self.prefixes,
        }
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a project may come from what it had to what it would have.
///
/// # Errors
/// `resource_limit_exceeded` with the first figure that rose above its limit.
pub fn check(quota: &Quota, before: &Amounts, after: &Amounts) -> Result<()> {
    for what in Counted::ALL {
        let (had, has) = (before.of(what), after.of(what));
        if let Some(most) = quota.of(what).filter(|most| has > *most && has > had) {
            return Err(Error::LimitExceeded(format!(
                "the project's quota is {}, and it would have {}; give back what is not needed, or ask the operator for more",
                what.tell(most),
                what.tell(has)
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: i64 = 1 << 30;

    #[test]
    fn the_first_figure_that_is_passed_is_told() {
        let quota = Quota { servers: Some(2), memory_bytes: Some(4 * GIB), ..Quota::default() };
        let two = Amounts { servers: 2, memory_bytes: 4 * GIB, cpu_milli: 90_000, ..Amounts::default() };
        assert!(check(&quota, &Amounts::default(), &two).is_ok(), "up to the limit, and no limit of cores");
        let three = Amounts { servers: 3, ..two };
        let error = check(&quota, &two, &three).unwrap_err();
        assert_eq!((error.code(), error.status()), ("resource_limit_exceeded", 403));
        let text = error.to_string();
        assert!(text.contains("quota is 2 servers") && text.contains("would have 3 servers"), "{text}");
        let larger = Amounts { memory_bytes: 4 * GIB + GIB / 2, ..two };
        let text = check(&quota, &two, &larger).unwrap_err().to_string();
        assert!(text.contains("4 GiB of memory") && text.contains("4.5 GiB of memory"), "{text}");
    }

    #[test]
    fn who_has_too_much_may_have_less_of_it() {
        let quota = Quota { servers: Some(1), cpu_milli: Some(1000), ..Quota::default() };
        let much = Amounts { servers: 5, cpu_milli: 9000, ..Amounts::default() };
        assert!(check(&quota, &much, &much).is_ok());
        assert!(check(&quota, &much, &Amounts { cpu_milli: 5000, ..much }).is_ok());
        assert!(check(&quota, &much, &Amounts { disk_bytes: 1, ..much }).is_ok(), "of what is not limited");
        assert!(check(&quota, &much, &Amounts { cpu_milli: 9001, ..much }).is_err());
    }

    #[test]
    fn nothing_is_less_than_one_and_no_limit_is_no_limit() {
        let none = Quota { addresses: Some(0), ..Quota::default() };
        assert!(!none.is_endless() && Quota::default().is_endless());
        let one = Amounts { addresses: 1, ..Amounts::default() };
        assert!(check(&none, &Amounts::default(), &one).unwrap_err().to_string().contains("1 IPv4 address;"));
        let all = Amounts { servers: MOST, disk_bytes: MOST, ..one };
        assert!(check(&Quota::default(), &Amounts::default(), &all).is_ok());
    }

    proptest! {
        /// Whatever is asked for, one thing after another: what a project has never rises above a limit, and everything
        /// that fits is let through.
        #[test]
        fn no_sequence_passes_a_quota(
            most in prop::array::uniform6(prop::option::of(0_i64..20)),
            asked in prop::collection::vec(prop::array::uniform6(-4_i64..5), 0..40),
        ) {
            let quota = Quota {
                servers: most[0], cpu_milli: most[1], memory_bytes: most[2],
                disk_bytes: most[3], addresses: most[4], prefixes: most[5],
            };
            let mut has = Amounts::default();
            for [servers, cpu, memory, disk, addresses, prefixes] in asked {
                let next = Amounts {
                    servers: (has.servers + servers).max(0),
                    cpu_milli: (has.cpu_milli + cpu).max(0),
                    memory_bytes: (has.memory_bytes + memory).max(0),
                    disk_bytes: (has.disk_bytes + disk).max(0),
                    addresses: (has.addresses + addresses).max(0),
                    prefixes: (has.prefixes + prefixes).max(0),
                };
                let fits = Counted::ALL.iter().all(|w| quota.of(*w).is_none_or(|most| next.of(*w) <= most));
                let may = check(&quota, &has, &next).is_ok();
                prop_assert_eq!(may, fits);
                if may {
                    has = next;
                }
            }
        }
    }
}
