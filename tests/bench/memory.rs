//! What an idle VPS costs in memory, and what our own processes do.
//!
//! `MemFree` after the caches were dropped is what guests and kernel really hold; warm, it also counts page cache, which
//! the kernel gives back when it is wanted. The template's page cache is shared by all guests of a host.

use std::time::Duration;

use berth_tests::e2e::cell::{Cell, Made};
use berth_tests::e2e::process;

/// The machine's memory at one moment, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    free: i64,
    available: i64,
}

impl Machine {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/meminfo").expect("Linux has it");
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has it");
            line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
        };
        Self { free: field("MemFree:"), available: field("MemAvailable:") }
    }

    /// After everything that can be dropped was dropped.
    pub(crate) fn without_caches() -> Self {
        nix::unistd::sync();
        std::fs::write("/proc/sys/vm/drop_caches", "3").expect("root may drop caches");
        Self::now()
    }
}

/// Prints what the idle guests cost each.
pub(crate) async fn report(cell: &Cell, empty: &Machine, made: &[Made]) {
    for guest in made {
        cell.guest(guest).boot_state();
    }
    // First-boot work (keys, timers) goes on after the boot; idle is what is measured here.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let n = i64::try_from(made.len()).expect("a few");
    println!("\nmemory per idle VPS, {n} of them        MemFree    MemAvailable");
    for (what, now) in [("warm", Machine::now()), ("after dropping caches", Machine::without_caches())] {
        let mib = |before: i64, after: i64| format!("{:.1} MiB", (before - after) as f64 / 1024.0 / n as f64);
        println!("{what:<36} {:>12} {:>12}", mib(empty.free, now.free), mib(empty.available, now.available));
    }

    let of = |name: &'static str| {
        let runs = move |line: &str| line.split(' ').next().is_some_and(|program| program.ends_with(name));
        process::all()
            .into_iter()
            .filter(move |(pid, line)| runs(line) && cell.owns(*pid))
            .map(|(pid, _)| pid)
    };
    for name in ["berth-server", "berth-agent"] {
        for pid in of(name) {
            println!("{name:<14} RSS {:>6} KiB   PSS {:>6} KiB", rollup(pid, "Rss:"), rollup(pid, "Pss:"));
        }
    }
    let monitors: Vec<_> = of("berth-monitor").collect();
    let private = |pid: &u32| rollup(*pid, "Private_Dirty:") + rollup(*pid, "Private_Clean:");
    let mut each: Vec<_> = monitors.iter().map(private).collect();
    each.sort_unstable();
    println!(
        "berth-monitor  {} of them, private memory: median {} KiB, most {} KiB",
        each.len(),
        each.get(each.len() / 2).copied().unwrap_or_default(),
        each.last().copied().unwrap_or_default()
    );
}

fn rollup(pid: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
