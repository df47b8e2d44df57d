//! Hostile guests that want all there is of something: each comes to its limit, the neighbour has what it had, the host
//! still answers, and nothing is left when the guest is deleted.
//!
//! How fast the neighbour is meanwhile is measured by `make bench neighbour`, with the same scripts; time on a test
//! machine says nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use berth_agent::host::Host;
use berth_proto::{ImageRef, LimitHits, VpsId, VpsSpec};

use crate::images;
use crate::outside;
use crate::tiny::{self, STAYS};
use crate::world::{self, World, wait_for};

/// How long a flood may take to come to its limit, and its guest to be gone, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A neighbour, and what it does to see that there is enough left for it.
struct Street<'a> {
    world: &'a World,
    image: ImageRef,
    neighbour: VpsSpec,
}

impl Street<'_> {
    async fn new(world: &World, image: ImageRef) -> Street<'_> {
        let neighbour = world.spec(&image);
        world.boot(&neighbour).await;
        world.booted(neighbour.id);
        Street { world, image, neighbour }
    }

    /// Runs a flood in a fresh guest; `held` looks at the kernel's counters, `needs` is what the neighbour wants of the
    /// same thing meanwhile.
    async fn floods(&self, what: &str, script: &str, needs: &str, held: impl Fn(&LimitHits) -> bool) {
        let world = self.world;
        let mut spec = world.spec(&self.image);
        spec.limits.disk_bytes = 512 << 20; // so that the inodes are few
        spec.limits.pids = 1000;
        let id = spec.id;
        world.boot(&spec).await;
        world.booted(id);

        let bytes = hex::encode(script);
        world
            .in_guest(id, &format!("echo {bytes} | perl -ne 'chomp; print pack(q(H*), $_)' > /run/flood.pl"));
        world.in_guest(
            id,
            "systemd-run --quiet --collect --unit flood -p TasksMax=infinity -p OOMPolicy=continue \
             -p StandardOutput=file:/run/flood.log -p StandardError=file:/run/flood.err \
             sh -c 'ulimit -n $(ulimit -Hn); exec perl /run/flood.pl'",
        );
        // Not from inside: a guest that is full starts no program.
        let place = format!("/proc/{}/root/run", world.pid(id));
        let read = |file: &str| std::fs::read_to_string(format!("{place}/{file}")).unwrap_or_default();
        let began = Instant::now();
        let mut said = String::new();
        while !said.starts_with("hit: ") {
            assert!(began.elapsed() < PATIENCE, "{what}: no limit held\n{said}{}", read("flood.err"));
            tokio::time::sleep(Duration::from_millis(50)).await;
            said = read("flood.log");
        }
        eprintln!("{what}: {} after {:?}", said.lines().next().unwrap_or_default(), began.elapsed());
        let hits = world.host.vps_metrics(id).await.unwrap().hits;
        assert!(held(&hits), "{what}: {hits:?}");
        // On v1 sockets have a limit of their own: a quarter of the memory, which the kernel may pass by a batch.
        let sockets = format!("memory/{}/{id}/memory.kmem.tcp.usage_in_bytes", world.config.cgroup_parent);
        if let Ok(sockets) = std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(sockets)) {
            let sockets: i64 = sockets.trim().parse().unwrap();
            assert!(sockets <= spec.limits.memory_bytes / 3, "{what}: {sockets}");
        }

        self.neighbour_has(what, needs);
        self.host_answers(what, id).await;

        let began = Instant::now();
        let gone = async {
            world.host.kill_for_deletion(id).await.unwrap();
            world.host.remove_leftovers(id).await.unwrap();
            world.host.delete_disk(id).await.unwrap();
        };
        tokio::time::timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("{what}: it cannot be deleted"));
        world.assert_no_traces(id);
        eprintln!("{what}: deleted in {:?}", began.elapsed());
    }

    fn neighbour_has(&self, what: &str, needs: &str) {
        let id = self.neighbour.id;
        for command in ["exec 3<>/dev/tcp/127.0.0.1/22 && head -c 7 <&3 | grep -q SSH", needs] {
            let command = format!("timeout 60 bash -c \"{command}\"");
            let (ok, said) = self.world.try_in_guest(id, &command);
            assert!(ok, "{what}: the neighbour cannot `{command}`: {said}");
        }
        let address = self.neighbour.net.ipv4.unwrap();
        wait_for("the neighbour to answer on the network", Duration::from_secs(60), || {
            world::sh(&format!("ping -c1 -W2 {address} || true")).contains("1 received")
        });
    }

    /// It still knows all guests, and starts and deletes another.
    async fn host_answers(&self, what: &str, id: VpsId) {
        let answers = async {
            let (world, host) = (self.world, &self.world.host);
            assert!(host.find(id).await.guest.is_some(), "{what}: the flood itself must not have ended");
            assert!(host.vps_metrics(self.neighbour.id).await.is_some(), "{what}");
            let third = world.spec(&tiny::template(world, STAYS, |_| {}));
            world.boot(&third).await;
            host.kill_for_deletion(third.id).await.unwrap();
            host.remove_leftovers(third.id).await.unwrap();
            host.delete_disk(third.id).await.unwrap();
        };
        tokio::time::timeout(PATIENCE, answers).await.unwrap_or_else(|_| panic!("{what}: the host hangs"));
    }
}

/// What is not counted by the cgroup alone, or not by the kernel in use.
const ANY: fn(&LimitHits) -> bool = |_| true;

#[test]
fn floods_of_processes_memory_and_files() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let street = Street::new(world, image).await;
        let forks = "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1 & done; wait";
        let memory = "perl -e 'my \\$x = q(x) x (100 << 20)'";
        let opens = "for i in 1 2 3 4 5 6 7 8 9; do true < /dev/null; done";
        let files = "mkdir -p /root/d && touch /root/d/1 /root/d/2 && rm -r /root/d";
        let (fork, hog) =
            (include_str!("../../../tests/floods/fork.pl"), include_str!("../../../tests/floods/memory.pl"));
        street.floods("fork bomb", fork, forks, |hits| hits.pids_max > 0).await;
        street.floods("memory hog", hog, memory, |hits| hits.oom_kills > 0).await;
        street.floods("inode bomb", include_str!("../../../tests/floods/inodes.pl"), files, ANY).await;
        street.floods("fd bomb", include_str!("../../../tests/floods/files.pl"), opens, ANY).await;
    });
}

#[test]
fn floods_of_lines_terminals_and_watches() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let street = Street::new(world, image).await;
        let log = "logger hello && journalctl --sync";
        street.floods("log flood", include_str!("../../../tests/floods/log.pl"), log, ANY).await;
        // The kernel counts inotify instances by user, and all namespaces' owners are users.
        let call = libc::SYS_inotify_init1;
        let watches = format!("perl -e 'for (1 .. 50) {{ syscall({call}, 0) >= 0 or die }}'");
        street.floods("inotify flood", include_str!("../../../tests/floods/watches.pl"), &watches, ANY).await;
        // Terminals of all guests together are a setting of the host that the doctor asks for.
        let most = std::fs::read_to_string("/proc/sys/kernel/pty/max").unwrap();
        if most.trim().parse::<u64>().unwrap() < 1 << 16 {
            assert!(
                std::env::var_os("CI").is_none(),
                "kernel.pty.max must be set as deploy/sysctl.conf has it"
            );
            eprintln!("SKIPPED: kernel.pty.max is {}, and one guest can take all of them", most.trim());
            return;
        }
        let terminal = "script -qc true /dev/null";
        street.floods("pty flood", include_str!("../../../tests/floods/ptys.pl"), terminal, ANY).await;
    });
}

#[test]
fn floods_of_sockets_and_mounts() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let street = Street::new(world, image).await;
        let network = format!("ping -c1 -W5 {}", outside::ADDRESS);
        street.floods("socket flood", include_str!("../../../tests/floods/sockets.pl"), &network, ANY).await;
        let mounts = "unshare -m sh -c 'mount -t tmpfs none /mnt && touch /mnt/x'";
        street.floods("mount flood", include_str!("../../../tests/floods/mounts.pl"), mounts, ANY).await;
    });
}
