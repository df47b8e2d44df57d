//! Tests of disk images on the machine's own file system.

use std::os::unix::fs::MetadataExt;

use super::*;

const GIB: i64 = 1 << 30;

fn disks() -> (tempfile::TempDir, Disks) {
    let dir = tempfile::tempdir().unwrap();
    let disks = Disks::new(dir.path(), 0);
    (dir, disks)
}

fn of(bytes: i64) -> Size {
    Size { bytes, inodes: 0 }
}

#[tokio::test]
async fn a_disk_is_sparse_whole_and_deleted() {
    let (_dir, disks) = disks();
    let id = VpsId(5);
    disks.create(id, of(10 * GIB)).await.unwrap();
    let meta = std::fs::metadata(disks.path(id)).unwrap();
    assert!(meta.len() > 10 * GIB as u64, "{}", meta.len());
    assert!(meta.blocks() * 512 < 32 << 20, "{} bytes are really written", meta.blocks() * 512);
    let checked = std::process::Command::new("e2fsck").args(["-fn"]).arg(disks.path(id)).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert_eq!(disks.list(), [id]);

    // making it again leaves it as it is
    disks.create(id, of(10 * GIB)).await.unwrap();
    assert_eq!(std::fs::metadata(disks.path(id)).unwrap().ino(), meta.ino());
    disks.delete(id).await.unwrap();
    disks.delete(id).await.unwrap();
    assert_eq!(disks.list(), []);
}

#[test]
fn df_will_show_what_was_sold() {
    let dir = tempfile::tempdir().unwrap();
    for gib in [1, 10, 40] {
        let bytes = gib * GIB as u64;
        let blank = blank::of_size(dir.path(), bytes, 0).unwrap();
        let dumped = std::process::Command::new("dumpe2fs").arg("-h").arg(&blank).output().unwrap();
        let text = String::from_utf8(dumped.stdout).unwrap();
        let field = |name: &str| -> u64 {
            text.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().parse().unwrap()
        };
        let shown = (field("Block count:") - field("Overhead clusters:")) * 4096;
        assert!(shown >= bytes && shown - bytes < bytes / 100, "{gib} GiB: {shown}");
    }
}

#[tokio::test]
async fn a_full_pool_is_said_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let disks = Disks::new(dir.path(), u64::MAX / 2);
    let fault = disks.create(VpsId(1), of(GIB)).await.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.terminal), ("disk_pool_full", true));
    assert!(fault.message.contains("delete a server"), "{}", fault.message);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn half_a_disk_is_no_disk() {
    let (dir, disks) = disks();
    let id = VpsId(3);
    std::fs::create_dir_all(dir.path().join("vps/3")).unwrap();
    std::fs::write(dir.path().join("vps/3/disk.img.new"), "half").unwrap();
    assert!(disks.half_made(id) && !disks.exists(id));
    assert_eq!(disks.list(), [id]);
    disks.create(id, of(GIB)).await.unwrap();
    assert!(disks.exists(id) && !disks.half_made(id));
}

#[tokio::test]
async fn a_disk_has_the_inodes_of_its_plan_and_grows_with_them() {
    let (_dir, disks) = disks();
    for (number, inodes) in [(1, 20_000), (2, 120_000), (3, 1 << 40)] {
        let id = VpsId(number);
        disks.create(id, Size { bytes: GIB, inodes }).await.unwrap();
        let field = |name: &str| -> i64 {
            let dumped =
                std::process::Command::new("dumpe2fs").arg("-h").arg(disks.path(id)).output().unwrap();
            let text = String::from_utf8(dumped.stdout).unwrap();
            text.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().parse().unwrap()
        };
        let shown = || (field("Block count:") - field("Overhead clusters:")) * 4096;
        let (made, wanted) = (field("Inode count:"), inodes.min(GIB / 8192));
        assert!(made >= wanted && made - wanted < wanted / 10, "{made} inodes where {wanted} were asked for");
        assert!(shown() >= GIB && shown() - GIB < GIB / 100, "{inodes} inodes: {} bytes", shown());

        disks.lengthen(id, 3 * GIB).await.unwrap();
        disks.lengthen(id, 3 * GIB).await.unwrap();
        disks.grow_unmounted(id).await.unwrap();
        // resize2fs leaves it to the kernel to say what the file system needs for itself; the journal is part of it
        let now = field("Inode count:");
        let room = field("Block count:") * 4096 - now * 256;
        assert!(room >= 3 * GIB && room - 3 * GIB < GIB / 8, "{inodes} inodes: {room} bytes");
        // Whole block groups are added, so the last part of one is missing.
        assert!(now * 10 >= 3 * made * 9, "{made} inodes became {now}");
    }
}
