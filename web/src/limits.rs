//! Limits and events of a server in words: what was asked, what the kernel holds, and why not.

use berth_proto::LimitName;

use crate::format::{Bytes, Cores, When};
use crate::icon::{Icon, icon};

/// One limit.
#[derive(Clone, Debug)]
pub struct LimitRow {
    /// Which.
    pub limit: LimitName,
    /// What is asked for.
    pub asked: i64,
    /// What the plan gives.
    pub plan: i64,
    /// What the kernel was seen to hold, if anything is known.
    pub applied: Option<i64>,
    /// Why the host cannot hold it as asked.
    pub why: Option<String>,
    /// How often it was hit, in words.
    pub hits: Option<String>,
}

impl LimitRow {
    /// Whether there is anything to tell: a figure, or a reason.
    #[must_use]
    pub fn tells(&self) -> bool {
        self.asked != 0 || self.plan != 0 || self.why.is_some()
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.limit {
            LimitName::CpuMilli => "CPU",
            LimitName::CpuWeight => "CPU weight",
            LimitName::CpuGuaranteeMilli => "CPU, guaranteed",
            LimitName::MemoryBytes => "Memory",
            LimitName::MemoryHighBytes => "Memory, slowed from",
            LimitName::MemoryGuaranteeBytes => "Memory, guaranteed",
            LimitName::SwapBytes => "Swap",
            LimitName::DiskBytes => "Disk",
            LimitName::Inodes => "Files on the disk",
            LimitName::Pids => "Processes",
            LimitName::OpenFiles => "Open files a process",
            LimitName::DiskReadBps => "Disk, read",
            LimitName::DiskWriteBps => "Disk, write",
            LimitName::DiskReadIops => "Disk, reads",
            LimitName::DiskWriteIops => "Disk, writes",
            LimitName::BandwidthMbit => "Network",
            LimitName::Unknown => "Another limit",
        }
    }

    fn figure(&self, figure: i64) -> String {
        use LimitName as L;
        match self.limit {
            L::CpuWeight if figure == 0 => "by the cap".to_owned(),
            L::CpuGuaranteeMilli | L::MemoryGuaranteeBytes | L::SwapBytes if figure == 0 => "none".to_owned(),
            L::Inodes | L::OpenFiles if figure == 0 => "as usual".to_owned(),
            _ if figure == 0 => "no limit".to_owned(),
            L::CpuMilli | L::CpuGuaranteeMilli => Cores(figure).to_string(),
            L::DiskReadBps | L::DiskWriteBps => format!("{}/s", Bytes(figure)),
            L::DiskReadIops | L::DiskWriteIops => format!("{figure}/s"),
            L::BandwidthMbit => format!("{figure} Mbit/s"),
            L::MemoryBytes | L::MemoryHighBytes | L::MemoryGuaranteeBytes | L::SwapBytes | L::DiskBytes => {
                Bytes(figure).to_string()
            }
            L::CpuWeight | L::Inodes | L::Pids | L::OpenFiles | L::Unknown => figure.to_string(),
        }
    }

    pub(crate) fn asked_text(&self) -> String {
        self.figure(self.asked)
    }

    /// The plan's figure where it is another one.
    pub(crate) fn plan_text(&self) -> Option<String> {
        (self.plan != self.asked).then(|| self.figure(self.plan))
    }

    pub(crate) fn applied_text(&self) -> Option<String> {
        self.applied.map(|figure| self.figure(figure))
    }

    /// Whether the kernel holds another figure than what is asked for.
    pub(crate) fn differs(&self) -> bool {
        self.applied.is_some_and(|figure| self.figure(figure) != self.figure(self.asked))
    }
}

/// Something that happened to a server.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Its id.
    pub id: i64,
    /// `started`, `crashed`, `oom_kill` …
    pub kind: String,
    /// In a sentence.
    pub text: String,
    /// When it was noticed.
    pub at: When,
}

impl EventRow {
    pub(crate) fn tone(&self) -> &'static str {
        match self.kind.as_str() {
            "started" => "ok",
            "crashed" | "lost" | "oom_kill" | "isolated" | "traffic_suspended" => "bad",
            "limit_hit" | "traffic_reached" | "traffic_throttled" => "busy",
            _ => "off",
        }
    }

    pub(crate) fn icon(&self) -> Icon {
        match self.kind.as_str() {
            "started" | "stopped" | "halted" => icon("power"),
            "rebooted" => icon("rotate-cw"),
            "crashed" | "lost" | "oom_kill" => icon("circle-alert"),
            _ => icon("triangle-alert"),
        }
    }
}

impl crate::ServerLive {
    /// Limits that have something to tell.
    pub(crate) fn telling(&self) -> impl Iterator<Item = &LimitRow> {
        self.limits.iter().filter(|row| row.tells())
    }
}

/// A limit's name within a sentence.
#[must_use]
pub fn limit_words(limit: LimitName) -> String {
    let row = LimitRow { limit, asked: 0, plan: 0, applied: None, why: None, hits: None };
    match row.name() {
        cpu if cpu.starts_with("CPU") => cpu.to_owned(),
        other => other.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_units() {
        let told = |limit, asked| {
            LimitRow { limit, asked, plan: 0, applied: Some(0), why: None, hits: None }.asked_text()
        };
        for (limit, figure, text) in [
            (LimitName::CpuMilli, 1500, "1.5 cores"),
            (LimitName::CpuWeight, 0, "by the cap"),
            (LimitName::MemoryHighBytes, 0, "no limit"),
            (LimitName::SwapBytes, 0, "none"),
            (LimitName::OpenFiles, 0, "as usual"),
            (LimitName::DiskReadBps, 10 << 20, "10 MB/s"),
            (LimitName::DiskWriteIops, 500, "500/s"),
            (LimitName::BandwidthMbit, 100, "100 Mbit/s"),
            (LimitName::Pids, 4096, "4096"),
        ] {
            assert_eq!(told(limit, figure), text, "{limit:?}");
        }
        assert_eq!(limit_words(LimitName::MemoryBytes), "memory");
        assert_eq!(limit_words(LimitName::CpuMilli), "CPU");
    }
}
