//! Limits of a VPS: which there are, which figures are possible, who may change them, and what of them is booked.
//!
//! All is pure. A [`Change`] names single limits; [`change`] puts it on top of what a VPS has and says which field is
//! wrong. Two may ask ([`By`]): operators set anything that is possible, tenants move within what they rent: down, and up
//! again to the plan's figure (or to what an operator gave them beyond it). A disk never shrinks, whoever asks.
//!
//! What 0 means differs by limit, and with it what is more: no bandwidth limit is more than any, no swap is less than
//! any. [`amount`] knows.

mod change;

use berth_proto::{LimitHits, LimitName, Limits};

pub use self::change::Change;
use crate::domain::placement::Resources;
use crate::error::{Error, Result};

/// One limit and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Which.
    pub limit: LimitName,
    /// As APIs spell it.
    pub name: &'static str,
    field: fn(&mut Limits) -> &mut i64,
    zero: Zero,
    least: i64,
    most: i64,
}

/// What the figure 0 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zero {
    /// It is not possible.
    Wrong,
    /// None of it: the least.
    None,
    /// No limit: the most.
    Endless,
}

const GIB: i64 = 1 << 30;
const MIB: i64 = 1 << 20;
/// More bytes than any host has; sums over a host still fit.
const PIB: i64 = 1 << 50;
/// What a process may open where nobody says otherwise (`fs.nr_open`).
const OPEN_FILES: i64 = 1 << 20;
/// A file system's blocks; a disk is whole ones.
const BLOCK: i64 = 4096;

macro_rules! known {
    ($($limit:ident $field:ident $zero:ident $least:expr, $most:expr;)*) => {
        /// All limits, in the order in which they are shown. The figures are the least and the most besides 0.
        pub const ALL: &[Known] = &[$(Known {
            limit: LimitName::$limit,
            name: stringify!($field),
            field: |limits| &mut limits.$field,
            zero: Zero::$zero,
            least: $least,
            most: $most,
        }),*];
    };
}

known! {
    CpuMilli cpu_milli Wrong 10, 1_024_000;
    CpuWeight cpu_weight None 1, 10_000;
    CpuGuaranteeMilli cpu_guarantee_milli None 1, 1_024_000;
    MemoryBytes memory_bytes Wrong 32 * MIB, PIB;
    MemoryHighBytes memory_high_bytes Endless 16 * MIB, PIB;
    MemoryGuaranteeBytes memory_guarantee_bytes None 1, PIB;
    SwapBytes swap_bytes None 1, PIB;
    DiskBytes disk_bytes Wrong 64 * MIB, PIB;
    Inodes inodes Endless 4096, 4_294_967_295;
    Pids pids Wrong 32, 4_194_304;
    OpenFiles open_files Endless 256, GIB;
    DiskReadBps disk_read_bps Endless 64 << 10, PIB;
    DiskWriteBps disk_write_bps Endless 64 << 10, PIB;
    DiskReadIops disk_read_iops Endless 10, 1_000_000_000;
    DiskWriteIops disk_write_iops Endless 10, 1_000_000_000;
    BandwidthMbit bandwidth_mbit Endless 1, 1_000_000;
}

impl Known {
    /// The limit with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|known| known.name == name)
    }

    /// Its figure.
    #[must_use]
    pub fn of(&self, limits: &Limits) -> i64 {
        let mut copy = *limits;
        *(self.field)(&mut copy)
    }

    fn set(&self, limits: &mut Limits, figure: i64) {
        *(self.field)(limits) = figure;
    }

    /// Whether a figure is possible at all.
    fn check(&self, figure: i64) -> Result<()> {
        let zero = self.zero != Zero::Wrong;
        if (zero && figure == 0) || (self.least..=self.most).contains(&figure) {
            let whole = self.limit != LimitName::DiskBytes || figure % BLOCK == 0;
            return if whole { Ok(()) } else { self.wrong(format!("must be a multiple of {BLOCK}")) };
        }
        let or_zero = if zero { "0 or " } else { "" };
        self.wrong(format!("must be {or_zero}from {} to {}", self.least, self.most))
    }

    fn wrong<T>(&self, message: String) -> Result<T> {
        Err(Error::invalid(self.name, message))
    }
}

/// How much a VPS gets by one of its limits, comparable between VPSes.
fn amount(known: &Known, limits: &Limits) -> i64 {
    match (known.limit, known.of(limits)) {
        (LimitName::CpuWeight, 0) => (limits.cpu_milli / 10).clamp(1, 10_000),
        (LimitName::OpenFiles, 0) => OPEN_FILES,
        (_, 0) if known.zero == Zero::Endless => i64::MAX,
        (_, figure) => figure,
    }
}

/// Who asks for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Whoever rents it.
    Tenant,
    /// Whoever runs the installation.
    Operator,
}

/// What a VPS with the limits `now`, of a plan with the limits `plan`, has after a change.
///
/// # Errors
/// `invalid_input` with the limit's name when a figure is impossible, contradicts another limit, takes disk away, or is
/// more than a tenant may have.
pub fn change(now: &Limits, plan: &Limits, wanted: &Change, by: By) -> Result<Limits> {
    let mut new = *now;
    let named: Vec<(&Known, i64)> = wanted.figures();
    for (known, figure) in &named {
        known.check(*figure)?;
        known.set(&mut new, *figure);
    }
    if new.disk_bytes < now.disk_bytes {
        let message =
            format!("is {}; this server has {}, and a disk cannot shrink", new.disk_bytes, now.disk_bytes);
        return Err(Error::invalid("disk_bytes", message));
    }
    for (known, figure) in named {
        let most = amount(known, plan).max(amount(known, now));
        if by == By::Tenant && figure != known.of(now) && amount(known, &new) > most {
            let plan = known.of(plan);
            return known
                .wrong(format!("is more than the server type gives, which is {plan}; choose a larger one"));
        }
    }
    fits_together(&new).map_err(|(smaller, larger)| {
        let (figure, most) = (smaller.of(&new), larger.of(&new));
        match wanted.names(smaller) {
            true => Error::invalid(
                smaller.name,
                format!("is {figure}, more than {}, which is {most}", larger.name),
            ),
            false => Error::invalid(
                larger.name,
                format!("is less than {}, which is {figure}; lower that too", smaller.name),
            ),
        }
    })?;
    Ok(new)
}

/// Whether a plan can have these limits. Its sizes are checked by the table.
///
/// # Errors
/// `invalid_input` with the limit's name.
pub fn check_plan(limits: &Limits) -> Result<()> {
    use LimitName as L;
    let sizes = [L::CpuMilli, L::MemoryBytes, L::DiskBytes, L::SwapBytes, L::Pids, L::BandwidthMbit];
    for known in ALL.iter().filter(|known| !sizes.contains(&known.limit)) {
        known.check(known.of(limits))?;
    }
    fits_together(limits)
        .map_err(|(smaller, larger)| Error::invalid(smaller.name, format!("is more than {}", larger.name)))
}

/// The pair that contradicts itself, if one does.
fn fits_together(limits: &Limits) -> Result<(), (&'static Known, &'static Known)> {
    for (smaller, larger) in [
        ("cpu_guarantee_milli", "cpu_milli"),
        ("memory_high_bytes", "memory_bytes"),
        ("memory_guarantee_bytes", "memory_bytes"),
    ] {
        if let (Some(smaller), Some(larger)) = (Known::by_name(smaller), Known::by_name(larger))
            && smaller.of(limits) > larger.of(limits)
        {
            return Err((smaller, larger));
        }
    }
    Ok(())
}

/// How often a limit was hit, where that is counted; for the CPU cap the microseconds that were waited for it.
#[must_use]
pub fn hits(limit: LimitName, hits: &LimitHits) -> Option<i64> {
    match limit {
        LimitName::MemoryBytes => Some(hits.memory_max),
        LimitName::Pids => Some(hits.pids_max),
        LimitName::CpuMilli => Some(hits.cpu_throttled_usec),
        _ => None,
    }
}

/// What a VPS takes of its host. What its plan gives stays booked while it has less, so that whoever pays for it can
/// have it back at any time; a disk is only what was made.
#[must_use]
pub fn booked(limits: &Limits, plan: &Limits) -> Resources {
    Resources {
        cpu_milli: limits.cpu_milli.max(plan.cpu_milli),
        cpu_guarantee_milli: limits.cpu_guarantee_milli.max(plan.cpu_guarantee_milli),
        memory_bytes: limits.memory_bytes.max(plan.memory_bytes),
        disk_bytes: limits.disk_bytes,
    }
}

#[cfg(test)]
mod tests;
