//! What a guest sees of its plan, right after it has been changed.

use std::time::Duration;

use berth_agent::host::Host;

use super::{boot, change};
use crate::world::{self, sh, wait_for};

const MIB: i64 = 1 << 20;

#[test]
fn a_guest_sees_its_changed_plan() {
    world::run(async |world| {
        let mut spec = boot(world, |limits| limits.cpu_milli = 500).await;
        let id = spec.id;
        if sh("command -v lxcfs || true").is_empty() {
            assert!(std::env::var_os("CI").is_none(), "lxcfs is not installed, and on CI it must be");
            eprintln!("SKIPPED: lxcfs is not installed");
            return;
        }
        let cores = i64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
        for (cpus, mib) in [(cores, 256), (1, 768), (cores, 384)] {
            change(world, &mut spec, |limits| {
                limits.cpu_milli = cpus * 1000 - 300;
                limits.memory_bytes = mib * MIB;
            })
            .await;
            // At once for whoever asks; it is waited for only because the machine may be busy.
            let number = |command: &str| world.in_guest(id, command).trim().parse::<i64>().unwrap();
            let memory = "while read -r key value _; do [ $key = MemTotal: ] && echo $value; done </proc/meminfo; true";
            wait_for("the memory of the new plan", Duration::from_secs(60), || number(memory) == mib * 1024);
            assert_eq!(number("nproc"), cpus);
            let processors = "n=0; while read -r key _; do [ \"$key\" = processor ] && n=$((n+1)); done </proc/cpuinfo; echo $n";
            assert_eq!(number(processors), cpus);
        }
        spec.limits.disk_bytes += 2 << 30;
        if world.host.apply(&spec).await.is_ok() {
            let df = world.in_guest(id, "df -k / | { read -r _; read -r _ size _; echo $size; }");
            let shown = df.parse::<i64>().unwrap() * 1024;
            assert!(shown >= spec.limits.disk_bytes && shown < spec.limits.disk_bytes / 100 * 102, "{shown}");
        }
    });
}
