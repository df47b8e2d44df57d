//! What became of each limit: read from the kernel again, beside what was asked for.
//!
//! A limit that this host cannot hold is told with the reason, never left out. Limits that nobody asked for are.

use std::path::{Path, PathBuf};

use berth_proto::{LimitName, LimitState, Limits, VpsId};

use super::{Hierarchy, Tree, io, limits, weights};

/// The kernel counts memory in pages of this size.
const PAGE: i64 = 4096;

const NO_HIGH: &str = "this host uses cgroup v1, which cannot slow a guest down below its memory limit; boot the host \
                       with systemd.unified_cgroup_hierarchy=1";
const NO_MIN: &str = "this host uses cgroup v1, which cannot keep memory for a guest; boot the host with \
                      systemd.unified_cgroup_hierarchy=1";
const NO_SWAP: &str = "this host's kernel does not count swap for each guest; boot it with swapaccount=1";
const NO_IO: &str = "this host's kernel has no I/O throttling (CONFIG_BLK_DEV_THROTTLING)";
const NO_DEVICE: &str = "the guest's monitor does not tell which device its disk is";
const ONLY_DIRECT: &str = "this host uses cgroup v1, which limits direct and synchronous writes and not those that the \
                           kernel writes back later; boot the host with systemd.unified_cgroup_hierarchy=1";

/// A limit beside what the kernel holds; `why` explains a difference, or what the figure does not cover.
pub(in crate::linux) fn state(
    limit: LimitName,
    asked: i64,
    applied: Option<i64>,
    why: Option<String>,
) -> LimitState {
    let why = why.or_else(|| match applied {
        Some(applied) if applied == asked => None,
        Some(applied) => Some(format!("the kernel holds {applied} where {asked} was asked for")),
        None => Some("this host's kernel has no such limit".into()),
    });
    LimitState { limit, asked, applied, why }
}

impl Tree {
    /// What became of the limits of a VPS that cgroups hold. `loop_device` is the number of its disk's.
    #[must_use]
    pub fn held(&self, id: VpsId, asked: &Limits, loop_device: Option<u32>) -> Vec<LimitState> {
        let mut states = Vec::new();
        if let Some((hierarchy, group)) = self.group_with(id, "cpu") {
            states.extend(self.cpu_held(id, asked, hierarchy, &group));
        }
        if let Some((hierarchy, group)) = self.group_with(id, "memory") {
            states.extend(memory_held(asked, hierarchy, &group));
        }
        if let Some((_, group)) = self.group_with(id, "pids") {
            states.push(state(LimitName::Pids, asked.pids, number(&group.join("pids.max")), None));
        }
        let disk = self.layout.hierarchies.iter().find(|h| io::controls(h)).map(|h| (h, self.group(h, id)));
        for rate in io::RATES.iter().filter(|rate| (rate.asked)(asked) > 0) {
            let held = match (&disk, loop_device) {
                (_, None) => Err(NO_DEVICE),
                (None, _) => Err(NO_IO),
                (Some((h, group)), Some(number)) => {
                    rate.held(h, group, number).map(|held| (held, h.v2)).ok_or(NO_IO)
                }
            };
            let writes = matches!(rate.limit, LimitName::DiskWriteBps | LimitName::DiskWriteIops);
            let why = match held {
                Err(why) => Some(why),
                Ok((_, v2)) => (writes && !v2).then_some(ONLY_DIRECT),
            };
            let applied = held.ok().map(|(held, _)| held).filter(|held| *held > 0);
            states.push(state(rate.limit, (rate.asked)(asked), applied, why.map(str::to_owned)));
        }
        states
    }

    fn group_with(&self, id: VpsId, controller: &str) -> Option<(&Hierarchy, PathBuf)> {
        let hierarchy = self.layout.with_controller(controller)?;
        Some((hierarchy, self.group(hierarchy, id)))
    }

    fn cpu_held(&self, id: VpsId, asked: &Limits, hierarchy: &Hierarchy, group: &Path) -> Vec<LimitState> {
        let cap = limits::cap_milli(hierarchy, group);
        let smallest = limits::SMALLEST_CPU_MILLI;
        let why = (asked.cpu_milli < smallest)
            .then(|| format!("the kernel's smallest CPU limit is {smallest} thousandths of a core"));
        let mut states = vec![state(LimitName::CpuMilli, asked.cpu_milli, cap, why)];
        let weight = limits::weight(hierarchy, group);
        let given = self.given_milli(id, weight.unwrap_or(0));
        if asked.cpu_weight > 0 {
            let raised = weight.filter(|w| *w > weights::asked(asked) && asked.cpu_guarantee_milli > 0);
            let why = raised.map(|w| format!("it is raised to {w} so that the CPU guarantee holds"));
            states.push(state(LimitName::CpuWeight, asked.cpu_weight, weight, why));
        }
        if asked.cpu_guarantee_milli > 0 {
            let want = asked.cpu_guarantee_milli;
            let why = (given < want).then(|| {
                format!(
                    "guests that share its CPUs leave it {given} thousandths of a core when all of them want what \
                     they may have; move one of them to another host"
                )
            });
            states.push(state(LimitName::CpuGuaranteeMilli, want, Some(given.min(want)), why));
        }
        states
    }
}

fn memory_held(asked: &Limits, hierarchy: &Hierarchy, group: &Path) -> Vec<LimitState> {
    let v2 = hierarchy.v2;
    // the kernel rounds down to pages, which nobody need be told
    let paged =
        |asked: i64, held: Option<i64>| held.map(|h| if h == asked / PAGE * PAGE { asked } else { h });
    let memory = number(&group.join(if v2 { "memory.max" } else { "memory.limit_in_bytes" }));
    let swap = if v2 {
        number(&group.join("memory.swap.max"))
    } else {
        number(&group.join("memory.memsw.limit_in_bytes")).zip(memory).map(|(both, memory)| both - memory)
    };
    let no_swap = swap.is_none().then(|| NO_SWAP.to_owned());
    let mut states = vec![
        state(LimitName::MemoryBytes, asked.memory_bytes, paged(asked.memory_bytes, memory), None),
        state(LimitName::SwapBytes, asked.swap_bytes, paged(asked.swap_bytes, swap), no_swap),
    ];
    for (limit, want, file, lacking) in [
        (LimitName::MemoryHighBytes, asked.memory_high_bytes, "memory.high", NO_HIGH),
        (LimitName::MemoryGuaranteeBytes, asked.memory_guarantee_bytes, "memory.min", NO_MIN),
    ] {
        if want > 0 {
            let held = if v2 { number(&group.join(file)) } else { None };
            states.push(state(limit, want, paged(want, held), (!v2).then(|| lacking.to_owned())));
        }
    }
    states
}

/// The number in a file; none when it says `max` or is not there.
fn number(path: &Path) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
