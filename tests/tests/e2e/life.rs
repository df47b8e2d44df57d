//! A guest is a real computer, from its creation to its end.

use std::io::Read as _;
use std::net::SocketAddr;

use berth_tests::e2e::cell::{Cell, PLAN};
use berth_tests::e2e::guest::Guest;
use serde_json::json;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

fn number(guest: &Guest<'_>, command: &str) -> u64 {
    let text = guest.ssh(command);
    text.trim().parse().unwrap_or_else(|e| panic!("`{command}` prints a number, not {text:?}: {e}"))
}

/// `free`, `df`, `nproc` and the rest say what was rented, not what the host has.
fn is_what_was_rented(guest: &Guest<'_>, name: &str, image: &str) {
    assert_eq!(guest.boot_state(), "running", "{}", guest.ssh("systemctl --failed --no-legend; true"));
    let version = image.trim_start_matches("debian-");
    assert_eq!(guest.ssh(". /etc/os-release; echo $ID $VERSION_ID").trim(), format!("debian {version}"));
    assert_eq!(guest.ssh("hostname").trim(), name);
    assert_eq!(number(guest, "nproc"), 1);
    let memory = number(guest, "free -b | awk '/^Mem:/ {print $2}'");
    assert_eq!(memory, 512 * MIB, "free");
    let disk = number(guest, "df -B1 --output=size / | tail -n1");
    assert!(disk.abs_diff(4 * GIB) < 4 * GIB / 100, "df says {disk}");
    let available = number(guest, "df -B1 --output=avail / | tail -n1");
    assert!(available > 3 * GIB, "a new disk is empty: {available}");
    assert!(number(guest, "cut -d. -f1 /proc/uptime") < 120, "uptime is the guest's own");
    assert_ne!(guest.ssh("systemd-detect-virt -c || true").trim(), "none");
    assert_eq!(guest.ssh("stat -fc %T /sys/fs/cgroup").trim(), "cgroup2fs");
    // It can do what a computer can: write, schedule, limit, know people.
    let checks =
        "set -e; touch /root/x; useradd -m person; su person -c 'echo hi > ~/f'; chown person /root/x;
        systemd-run --wait --quiet -p MemoryMax=32M true; mount -t tmpfs none /mnt; umount /mnt;
        test $(cat /etc/machine-id | wc -c) -ge 32; date > /dev/null; ls -l /dev/pts > /dev/null; echo fine";
    assert_eq!(guest.ssh(checks).trim(), "fine");
    // It cannot do what would reach the host.
    for forbidden in [
        "echo b > /proc/sysrq-trigger",
        "mknod /tmp/disk b 254 0",
        "date -s 2001-01-01",
        "insmod /tmp/x.ko 2>&1 | grep -q . && false",
        "echo x > /proc/sys/kernel/core_pattern",
        "dmesg | head -n1 | grep -q .",
    ] {
        guest.try_ssh(forbidden).expect_err(forbidden);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_debian_on_every_host_is_a_real_computer() {
    let cell = Cell::with_all_images(2).await;
    for (n, image) in cell.images.clone().iter().enumerate() {
        // Each image on a host of its own, so that both hosts are used.
        let (used, other) = (n % 2, (n + 1) % 2);
        cell.control.cordon(cell.hosts[other].id, true).await;
        let name = format!("web-{n}");
        let made = cell.create(&name, image, true).await;
        cell.control.cordon(cell.hosts[other].id, false).await;
        assert_eq!(made.host, used, "a cordoned host gets nothing");
        assert_eq!(cell.hosts[used].first_processes(made.id).len(), 1);
        is_what_was_rented(&cell.guest(&made), &name, image);
    }
    cell.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_and_passwords_do_what_they_say_and_data_stays() {
    let cell = Cell::with_all_images(1).await;
    for image in cell.images.clone() {
        let made = cell.create("web", &image, false).await;
        let guest = cell.guest(&made);
        let password = made.password.clone().expect("without a key there is a password");
        let login = |password: &str, command: &str| guest.try_password(password, command);
        berth_tests::wait::until_blocking("a login by password", berth_tests::e2e::guest::BOOT, || {
            login(&password, "true")
        });
        guest.try_ssh("true").expect_err("a key that was not given does not open");
        let public = &cell.key.public;
        let install =
            format!("mkdir -p -m 700 /root/.ssh && echo '{public}' >> /root/.ssh/authorized_keys && sync");
        login(&password, &install).expect("it is an ordinary computer");
        assert_eq!(guest.boot_state(), "running");
        let first = cell.hosts[0].first_processes(made.id);

        guest.ssh("echo precious > /root/data; sync");
        cell.act(made.id, "reboot").await;
        assert_eq!(guest.boot_state(), "running");
        let second = cell.hosts[0].first_processes(made.id);
        assert_ne!(second, first, "a fresh boot");
        assert_eq!(guest.ssh("cat /root/data"), "precious\n");
        login(&password, "true").expect("a reboot changes no password");

        // Off and on, the polite way and the other.
        for off in ["shutdown", "poweroff"] {
            cell.act(made.id, off).await;
            cell.api.server_is(made.id, "off").await;
            assert_eq!(cell.hosts[0].first_processes(made.id), [], "{off}");
            guest.try_ssh("true").expect_err("what is off does not answer");
            cell.act(made.id, "poweron").await;
            cell.api.server_is(made.id, "running").await;
            assert_eq!(guest.ssh("cat /root/data"), "precious\n", "after {off}");
        }

        // From inside.
        let before = cell.hosts[0].first_processes(made.id);
        let _ = guest.try_ssh("systemctl reboot");
        let third =
            berth_tests::wait::until_blocking("a boot from inside", berth_tests::e2e::guest::BOOT, || {
                let now = cell.hosts[0].first_processes(made.id);
                if now.len() == 1 && now != before { Ok(now) } else { Err(format!("{now:?}")) }
            });
        assert_eq!(guest.boot_state(), "running");
        assert_eq!(cell.hosts[0].first_processes(made.id), third);
        let _ = guest.try_ssh("systemctl poweroff");
        cell.api.server_is(made.id, "off").await;
        cell.act(made.id, "poweron").await;
        assert_eq!(guest.ssh("cat /root/data"), "precious\n");

        let reset = cell.act(made.id, "reset_password").await;
        let new = reset["root_password"].as_str().expect("a new password");
        login(new, "true").expect("the new password opens");
        login(&password, "true").expect_err("the old one does not");
        // Applied at the next boot when it is off.
        cell.act(made.id, "shutdown").await;
        let reset = cell.act(made.id, "reset_password").await;
        cell.act(made.id, "poweron").await;
        let newest = reset["root_password"].as_str().expect("a new password");
        berth_tests::wait::until_blocking("a login", berth_tests::e2e::guest::BOOT, || login(newest, "true"));
        login(new, "true").expect_err("the old one does not");
        cell.delete(made.id).await;
    }
    cell.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resize_is_seen_inside_at_once_and_the_guest_runs_on() {
    let cell = Cell::start(1).await;
    let larger = cell.control.larger_plan().await;
    let made = cell.create("web", &cell.images[0], true).await;
    let guest = cell.guest(&made);
    assert_eq!(guest.boot_state(), "running");
    let first = cell.hosts[0].first_processes(made.id);
    let memory = || number(&guest, "free -b | awk '/^Mem:/ {print $2}'");
    for (plan, cores, mib) in [(larger, 2, 1024), (PLAN, 1, 512)] {
        let body = json!({"server_type": plan, "upgrade_disk": false});
        let path = format!("/v1/servers/{}/actions/change_type", made.id);
        let answer = cell.api.post(&path, body).await.expect(201);
        cell.api.succeeded(&answer["action"]).await;
        assert_eq!((number(&guest, "nproc"), memory()), (cores, mib * MIB), "{plan}");
    }
    assert_eq!(cell.hosts[0].first_processes(made.id), first, "the same guest");
    cell.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_reach_the_world_by_their_host_and_nobody_by_another_name() {
    let cell = Cell::start(2).await;
    let made = cell.create("web", &cell.images[0], true).await;
    let guest = cell.guest(&made);
    assert_eq!(guest.boot_state(), "running");

    // Out, by the host's address.
    let listener = cell.outside().listen(SocketAddr::from(([10, 99, 0, 1], 7777)));
    let server = std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().expect("the guest connects");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("the guest speaks");
        (from, said)
    });
    guest.ssh("exec 3<>/dev/tcp/10.99.0.1/7777 && echo hello >&3");
    let (from, said) = server.join().expect("the listener does not panic");
    assert_eq!(said, "hello\n");
    assert_eq!(
        from.ip().to_string(),
        format!("10.99.0.{}", made.host + 11),
        "translated to its host's address"
    );

    // Not as somebody else: neither with another's address nor with another MAC.
    let victim = cell.outside().udp(SocketAddr::from(([10, 99, 0, 1], 7778)));
    victim.set_read_timeout(Some(std::time::Duration::from_millis(700))).expect("a timeout");
    let mut buffer = [0; 64];
    guest.ssh("echo -n honest > /dev/udp/10.99.0.1/7778");
    victim.recv_from(&mut buffer).expect("an honest packet arrives");
    guest.ssh("ip addr add 10.98.0.250/32 dev eth0 2>/dev/null || ip addr add 10.98.0.250/32 dev host0");
    guest.ssh(
        "python3 -c 'import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind((\"10.98.0.250\",0)); \
         s.sendto(b\"liar\",(\"10.99.0.1\",7778))' 2>/dev/null || \
         perl -MSocket -e 'socket(S,PF_INET,SOCK_DGRAM,17); bind(S,sockaddr_in(0,inet_aton(\"10.98.0.250\"))) or die; \
         send(S,\"liar\",0,sockaddr_in(7778,inet_aton(\"10.99.0.1\")))'; true",
    );
    victim.recv_from(&mut buffer).expect_err("a packet with another's address goes nowhere");
    cell.finish().await;
}
