//! Private networks of real guests on two hosts: who is in one reaches the others, wherever they are, and nobody else
//! gets a packet of it.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_tests::client::Api;
use berth_tests::e2e::cell::{Cell, Made, PLAN};
use berth_tests::e2e::guest::{BOOT, Guest};
use berth_tests::wait::until_blocking;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use serde_json::{Value, json};

/// Makes a server on this host, in these networks.
async fn create(cell: &Cell, api: &Api, name: &str, host: usize, networks: &[&Value]) -> Made {
    for (n, other) in cell.hosts.iter().enumerate() {
        cell.control.cordon(other.id, n != host).await;
    }
    let order = json!({"name": name, "server_type": PLAN, "image": cell.images[0], "ssh_keys": ["e2e"], "networks": networks});
    let created = api.post("/v1/servers", order).await.expect(201);
    api.succeeded(&created["action"]).await;
    let server = &created["server"];
    let ip = server["public_net"]["ipv4"]["ip"].as_str().and_then(|ip| ip.parse().ok()).expect("an address");
    Made { id: server["id"].as_i64().expect("an id"), ip, host, password: None }
}

async fn network(api: &Api, name: &str) -> Value {
    let subnet = json!({"type": "cloud", "network_zone": "local", "ip_range": "10.0.0.0/24"});
    let body = json!({"name": name, "ip_range": "10.0.0.0/16", "subnets": [subnet]});
    api.post("/v1/networks", body).await.expect(201)["network"]["id"].take()
}

/// Whether somebody answers at this address, by the name of its ssh server.
fn answers(guest: &Guest<'_>, ip: &str) -> bool {
    let ask = format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{ip}/22 && head -c 4 <&3'");
    guest.try_ssh(&ask).is_ok_and(|said| said == "SSH-")
}

fn comes_to_answer(guest: &Guest<'_>, ip: &str) {
    until_blocking(&format!("an answer from {ip}"), BOOT, || {
        if answers(guest, ip) { Ok(()) } else { Err("none".to_owned()) }
    });
}

/// Everything that comes to a guest and leaves it, from now on.
struct Capture {
    frames: Arc<Mutex<Vec<u8>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Capture {
    fn of(cell: &Cell, made: &Made) -> Self {
        let (pid, _) = cell.hosts[made.host].first_processes(made.id)[0];
        let ns = File::open(format!("/proc/{pid}/ns/net")).expect("it runs");
        let (frames, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (ready, begun) = std::sync::mpsc::channel();
        let (seen, end) = (Arc::clone(&frames), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            setns(ns, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            let all = SockProtocol::EthAll;
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK, all)
                .expect("a raw socket");
            ready.send(()).expect("somebody waits");
            let mut buffer = [0; 65_536];
            while !end.load(Ordering::Relaxed) {
                match nix::sys::socket::recv(
                    socket.as_raw_fd(),
                    &mut buffer,
                    nix::sys::socket::MsgFlags::empty(),
                ) {
                    Ok(length) => seen.lock().expect("nobody panics").extend(&buffer[..length]),
                    Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(5)),
                    Err(e) => panic!("capturing: {e}"),
                }
            }
        });
        begun.recv().expect("it begins");
        Self { frames, stop, thread: Some(thread) }
    }

    fn holds(&self, text: &str) -> bool {
        let frames = self.frames.lock().expect("nobody panics");
        frames.windows(text.len()).any(|part| part == text.as_bytes())
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("once").join().expect("it captured");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_reach_each_other_over_hosts_and_strangers_see_nothing() {
    let mut cell = Cell::start(2).await;
    let project = cell.control.project("strangers").await;
    let strangers = cell.api.with_token(cell.control.token(project, true).await);
    strangers.post("/v1/ssh_keys", json!({"name": "e2e", "public_key": cell.key.public})).await.expect(201);
    let (blue, red) = (network(&cell.api, "blue").await, network(&strangers, "red").await);

    let a = create(&cell, &cell.api, "a", 0, &[&blue]).await;
    let b = create(&cell, &cell.api, "b", 1, &[&blue]).await;
    // the same addresses, on the same hosts
    let theirs_a = create(&cell, &strangers, "a", 0, &[&red]).await;
    let theirs_b = create(&cell, &strangers, "b", 1, &[&red]).await;
    let guest = cell.guest(&a);
    assert_eq!(guest.boot_state(), "running", "{}", guest.ssh("systemctl --failed --no-legend; true"));
    let address = "ip -4 -o address show dev eth1 | awk '{print $4}'";
    assert_eq!(guest.ssh(address), "10.0.0.2/32\n");
    assert_eq!(cell.guest(&b).ssh(address), "10.0.0.3/32\n");
    assert_eq!(guest.ssh("cat /sys/class/net/eth1/mtu"), "1450\n", "what VXLAN leaves of 1500");
    comes_to_answer(&guest, "10.0.0.3");
    comes_to_answer(&cell.guest(&theirs_b), "10.0.0.2");
    let captures = [Capture::of(&cell, &b), Capture::of(&cell, &theirs_a), Capture::of(&cell, &theirs_b)];
    let say = "for to in 10.0.0.3 10.0.0.77 10.0.255.255; do for n in 1 2 3; do echo for-blue-eyes-only > /dev/udp/$to/9; done; done";
    until_blocking("the member to hear it", BOOT, || {
        let _ = guest.try_ssh(&format!("bash -c '{say}' 2>/dev/null"));
        if captures[0].holds("for-blue-eyes-only") { Ok(()) } else { Err("it did not".to_owned()) }
    });
    for size in [1400, 8000] {
        let say = format!("bash -c 'printf %0{size}dlarge-{size} 0 > /dev/udp/10.0.0.3/9'");
        until_blocking("a large packet to come through", BOOT, || {
            guest.try_ssh(&say)?;
            if captures[0].holds(&format!("0large-{size}")) { Ok(()) } else { Err("it does not".to_owned()) }
        });
    }
    assert!(!captures[1].holds("for-blue-eyes-only") && !captures[2].holds("for-blue-eyes-only"));
    let red_says = "bash -c 'echo red-hot > /dev/udp/10.0.0.3/9'";
    until_blocking("strangers to hear each other", BOOT, || {
        cell.guest(&theirs_a).try_ssh(red_says)?;
        if captures[2].holds("red-hot") { Ok(()) } else { Err("they do not".to_owned()) }
    });
    assert!(!captures[0].holds("red-hot"));
    captures.into_iter().for_each(Capture::end);

    // Out of it and into it again, while it runs.
    let membership = json!({"network": blue});
    let path = format!("/v1/servers/{}/actions", b.id);
    let begun = cell.api.post(&format!("{path}/detach_from_network"), membership.clone()).await.expect(201);
    cell.api.succeeded(&begun["action"]).await;
    assert_eq!(cell.guest(&b).ssh("ls /sys/class/net/eth1 2>/dev/null | wc -l"), "0\n");
    assert!(!answers(&guest, "10.0.0.3"));
    let again = json!({"network": blue, "ip": "10.0.0.30", "alias_ips": ["10.0.0.31"]});
    let begun = cell.api.post(&format!("{path}/attach_to_network"), again).await.expect(201);
    cell.api.succeeded(&begun["action"]).await;
    comes_to_answer(&guest, "10.0.0.30");
    cell.guest(&b).ssh("ip address add 10.0.0.31/32 dev eth1");
    comes_to_answer(&guest, "10.0.0.31");

    // It outlives the agents, a boot of the guest, and of a host that the control plane does not reach.
    for host in &mut cell.hosts {
        host.kill_agent();
        host.start_agent(None);
    }
    assert!(answers(&cell.guest(&a), "10.0.0.30"));
    cell.act(b.id, "reboot").await;
    comes_to_answer(&cell.guest(&a), "10.0.0.30");
    cell.kill_server();
    cell.hosts[1].power_cut();
    assert!(!answers(&cell.guest(&a), "10.0.0.30"));
    cell.hosts[1].start_agent(None);
    comes_to_answer(&cell.guest(&a), "10.0.0.30");
    comes_to_answer(&cell.guest(&theirs_a), "10.0.0.3");
    cell.start_server(None).await;

    for id in [theirs_a.id, theirs_b.id] {
        let answer = strangers.delete(&format!("/v1/servers/{id}")).await.expect(200);
        strangers.succeeded(&answer["action"]).await;
        strangers.server_is_gone(id).await;
    }
    cell.finish().await;
}
