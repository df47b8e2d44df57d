//! What an idle VPS costs in memory, and what our own processes do.
//!
//! `MemFree` after the caches were dropped is what guests and kernel really hold; warm, it also counts page cache, which
//! the kernel gives back when it is wanted. The template's page cache is shared by all guests of a host.

use std::time::Duration;

use berth_tests::e2e::cell::Cell;
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

/// First-boot work (keys, timers) goes on after the boot; idle is what is measured.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_secs(30)).await;
}

/// Prints what `n` idle guests cost each, compared with the machine before them.
pub(crate) fn report(whose: &str, empty: &Machine, n: usize) {
    let n = i64::try_from(n).expect("a few");
    let heading = format!("{whose}: memory per idle VPS, {n} of them");
    println!("\n{heading:<48} {:>12} {:>12}", "MemFree", "MemAvailable");
    for (what, now) in [("warm", Machine::now()), ("after dropping caches", Machine::without_caches())] {
        let mib = |before: i64, after: i64| format!("{:.1} MiB", (before - after) as f64 / 1024.0 / n as f64);
        println!("{what:<48} {:>12} {:>12}", mib(empty.free, now.free), mib(empty.available, now.available));
    }
}

/// Prints what our own processes hold, and returns the agents' resident memory in KiB.
pub(crate) fn processes(cell: &Cell) -> Vec<u64> {
    let of = |name: &'static str| {
        let runs = move |line: &str| line.split(' ').next().is_some_and(|program| program.ends_with(name));
        process::all()
            .into_iter()
            .filter(move |(pid, line)| runs(line) && cell.owns(*pid))
            .map(|(pid, _)| pid)
    };
    let mut agents = Vec::new();
    for name in ["berth-server", "berth-agent"] {
        for pid in of(name) {
            let (resident, shared_out) = (rollup(pid, "Rss:"), rollup(pid, "Pss:"));
            println!(
                "{name:<14} RSS {resident:>6} KiB   PSS {shared_out:>6} KiB   most ever {:>6} KiB",
                peak(pid)
            );
            if name == "berth-agent" {
                agents.push(resident);
            }
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
    agents
}

fn rollup(pid: u32, field: &str) -> u64 {
    kib(&format!("/proc/{pid}/smaps_rollup"), field)
}

/// The most that was ever resident.
fn peak(pid: u32) -> u64 {
    kib(&format!("/proc/{pid}/status"), "VmHWM:")
}

fn kib(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Prints what processes hold of which the command line begins with `name` and has `part` in it.
pub(crate) fn processes_named(name: &str, part: &str) {
    let ours = process::all().into_iter().filter(|(_, line)| {
        let program = line.split(' ').next().unwrap_or_default();
        (line.starts_with(name) || program.ends_with(name)) && line.contains(part)
    });
    let mut each: Vec<_> = ours
        .map(|(pid, _)| {
            let own = rollup(pid, "Private_Dirty:") + rollup(pid, "Private_Clean:");
            (own, rollup(pid, "Rss:"))
        })
        .collect();
    each.sort_unstable();
    let (own, resident) = each.get(each.len() / 2).copied().unwrap_or_default();
    println!("{name:<14} {} of them, median: private {own} KiB, RSS {resident} KiB", each.len());
}
