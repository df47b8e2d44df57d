//! Processes, and the files that one of them may open.

use berth_agent::host::Host;
use berth_proto::LimitName;

use super::{boot, by_init, change, held, hit, near, refused};
use crate::world;

#[test]
fn the_limit_of_processes_holds() {
    world::run(async |world| {
        let mut spec = boot(world, |limits| limits.pids = 100).await;
        let id = spec.id;
        let forks = "perl -e 'for (1..999) { my $p = fork; last if !defined $p; if (!$p) { sleep 60; exit } push @p, $p } print scalar @p; kill 9, @p; 1 while wait != -1'";
        for pids in [100, 200, 60] {
            change(world, &mut spec, |limits| limits.pids = pids).await;
            held(world, id, LimitName::Pids, pids).await;
            let others = world.host.vps_metrics(id).await.unwrap().pids;
            // Beside init and what it waits for there are the two that fork.
            let forked: i64 = world.in_guest(id, forks).parse().unwrap();
            assert!(forked < pids, "{forked} processes where {pids} are allowed");
            near("processes", (forked + others + 2) as f64, pids as f64);
        }
        assert!(world.host.vps_metrics(id).await.unwrap().hits.pids_max > 0);
        assert!(hit(world, id, LimitName::Pids).await);
    });
}

#[test]
fn the_limit_of_open_files_holds() {
    world::run(async |world| {
        let mut spec = boot(world, |limits| limits.open_files = 256).await;
        let id = spec.id;
        // A process may set its soft limit as high as its hard one, and no higher.
        let opens = "ulimit -n $(ulimit -Hn)
            ulimit -n 100000 2>/dev/null && echo raised
            perl -e 'while (open(my $f, \"<\", \"/\")) { push @f, $f; last if @f > 9999 } print scalar @f'";
        let files = |wanted: i64| {
            let opened: f64 = by_init(world, id, opens).parse().unwrap();
            near("open files", opened + 3.0, wanted as f64);
        };
        held(world, id, LimitName::OpenFiles, 256).await;
        files(256);
        change(world, &mut spec, |limits| limits.open_files = 128).await;
        held(world, id, LimitName::OpenFiles, 128).await;
        files(128);
        change(world, &mut spec, |limits| limits.open_files = 512).await;
        if may_raise() {
            held(world, id, LimitName::OpenFiles, 512).await;
            files(512);
            return;
        }
        refused(world, id, LimitName::OpenFiles, "CAP_SYS_RESOURCE").await;
        files(128);
        world.host.kill(id).await.unwrap();
        world.host.remove_leftovers(id).await.unwrap();
        spec.boot_epoch += 1;
        world.host.start(&spec).await.unwrap();
        held(world, id, LimitName::OpenFiles, 512).await;
        files(512);
    });
}

/// Whether this machine's root may raise limits (`CAP_SYS_RESOURCE`).
fn may_raise() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(effective.trim(), 16).unwrap() & (1 << 24) != 0
}
