//! Tests on the machine's real cgroups. They need root and say so when they cannot run.

use super::*;

const MIB: i64 = 1 << 20;

fn limits(cpu_milli: i64, memory_bytes: i64) -> Limits {
    Limits { cpu_milli, memory_bytes, pids: 64, ..Limits::default() }
}

fn tree(name: &str) -> Option<Tree> {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, and on CI it must run");
        eprintln!("SKIPPED: needs root to make cgroups");
        return None;
    }
    Some(Tree::open(&format!("berth-test-{name}-{}", std::process::id())).unwrap())
}

#[tokio::test]
async fn a_vps_is_limited_changed_killed_and_removed() {
    let Some(tree) = tree("life") else { return };
    let id = VpsId(7);
    let membership = tree.create(id, &limits(500, 64 * MIB), (100_000, 100_000)).unwrap();
    tree.create(id, &limits(500, 64 * MIB), (100_000, 100_000)).unwrap(); // again: the same
    tree.apply(id, &limits(1000, 32 * MIB)).unwrap();
    tree.apply(id, &limits(1000, 128 * MIB)).unwrap();

    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    for group in membership.v1.iter().chain(&membership.v2) {
        std::fs::write(group.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    assert!(tree.populated(id));
    assert_eq!(tree.usage(id).pids, 1);
    assert_eq!(tree.list().unwrap(), [id]);

    // another agent that starts now learns which CPUs are taken
    let again = Tree::open(&tree.parent).unwrap();
    assert_eq!(again.cpus_of(id).unwrap().len(), 1);

    let reaper = std::thread::spawn(move || child.wait().unwrap());
    tree.kill(id).await.unwrap();
    assert!(!reaper.join().unwrap().success());
    tree.remove(id).await.unwrap();
    tree.remove(id).await.unwrap();
    assert_eq!(tree.list().unwrap(), []);
    tree.remove_parent();
    for hierarchy in &tree.layout.hierarchies {
        assert!(!hierarchy.root.join(&tree.parent).exists());
    }
}

#[tokio::test]
async fn groups_that_the_guest_made_go_too() {
    let Some(tree) = tree("nested") else { return };
    let id = VpsId(1);
    tree.create(id, &limits(500, 64 * MIB), (100_000, 100_000)).unwrap();
    if let Some(v2) = tree.layout.hierarchies.iter().find(|h| h.v2) {
        std::fs::create_dir_all(tree.group(v2, id).join("guest/a.slice/b.scope")).unwrap();
    }
    tree.remove(id).await.unwrap();
    tree.remove_parent();
    assert_eq!(tree.list().unwrap(), []);
}

#[test]
fn a_limit_that_the_kernel_refuses_is_an_error() {
    let Some(tree) = tree("refuse") else { return };
    let id = VpsId(2);
    let bad = Limits { pids: -5, ..limits(500, 64 * MIB) };
    assert!(tree.create(id, &bad, (100_000, 100_000)).is_err());
    let removed = tokio::runtime::Runtime::new().unwrap().block_on(tree.remove(id));
    removed.unwrap();
    tree.remove_parent();
}
