//! Public addresses over three hosts: VPSes reach each other and are reached from outside, by proxy ARP and by BGP, and a
//! floating IP moves between hosts while somebody connects to it all the time.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use berth_tests::e2e::cell::{Cell, Made, order};
use berth_tests::e2e::guest::BOOT;
use berth_tests::e2e::netns::run;
use berth_tests::e2e::process::Process;
use berth_tests::wait::{until, until_blocking};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

/// How often somebody connects.
const EVERY: Duration = Duration::from_millis(10);
/// How long they wait for an answer. A lost SYN is sent again after a second, which is too late to count.
const PATIENCE: Duration = Duration::from_millis(900);

/// The name of whoever answers at this address, asked from this network namespace.
fn ask(from: &File, ip: IpAddr) -> std::io::Result<String> {
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            setns(from, CloneFlags::CLONE_NEWNET)?;
            let mut stream = TcpStream::connect_timeout(&SocketAddr::from((ip, 80)), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut said = String::new();
            stream.read_to_string(&mut said)?;
            Ok(said.lines().last().unwrap_or_default().to_owned())
        });
        asking.join().expect("asking does not panic")
    })
}

pub(crate) fn inside(cell: &Cell, made: &Made) -> File {
    let (pid, _) = cell.hosts[made.host].first_processes(made.id)[0];
    File::open(format!("/proc/{pid}/ns/net")).expect("it runs")
}

pub(crate) fn outside(cell: &Cell) -> File {
    File::open(format!("/run/netns/{}", cell.outside().name())).expect("it is there")
}

pub(crate) fn comes_to_answer(from: &File, ip: IpAddr, name: &str) {
    until_blocking(&format!("{name} to answer at {ip}"), BOOT, || match ask(from, ip) {
        Ok(said) if said == name => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

async fn create(cell: &Cell, name: &str, host: usize) -> Made {
    create_with(cell, order(name, "busybox", true), host).await
}

/// Makes a server on this host.
pub(crate) async fn create_with(cell: &Cell, order: Value, host: usize) -> Made {
    for (n, other) in cell.hosts.iter().enumerate() {
        cell.control.cordon(other.id, n != host).await;
    }
    let created = cell.api.post("/v1/servers", order).await.expect(201);
    cell.api.succeeded(&created["action"]).await;
    cell.made(created["server"]["id"].as_i64().expect("an id")).await
}

/// Gives a guest an address beside its own, as its tenant would: of IPv6 one that it does not send from by itself, since
/// another may have it.
pub(crate) fn configure(cell: &Cell, made: &Made, ip: IpAddr) {
    let (pid, _) = cell.hosts[made.host].first_processes(made.id)[0];
    let (address, more): (_, &[&str]) = match ip {
        IpAddr::V4(ip) => (format!("{ip}/32"), &[]),
        IpAddr::V6(ip) => (format!("{ip}/128"), &["nodad", "preferred_lft", "0"]),
    };
    run(Command::new("nsenter")
        .args([&format!("--net=/proc/{pid}/ns/net"), "--"])
        .args(["ip", "address", "add", &address, "dev", "eth0"])
        .args(more));
}

/// A floating IP of a pool, with its address; of a prefix the first.
pub(crate) async fn floating_ip(cell: &Cell, kind: &str, pool: &str) -> (i64, IpAddr) {
    let location = cell.api.get("/v1/locations").await.expect(200)["locations"][0]["name"].take();
    loop {
        let order = json!({"type": kind, "home_location": location});
        let made = cell.api.post("/v1/floating_ips", order).await.expect(201)["floating_ip"].take();
        let ip = made["ip"].as_str().expect("an address");
        if ip.starts_with(pool) {
            return (made["id"].as_i64().expect("an id"), first_of(ip));
        }
    }
}

/// The address that this is, or the first one of this /64.
pub(crate) fn first_of(shown: &str) -> IpAddr {
    let ip = shown.replace("::/64", "::1");
    ip.parse().expect("an address or a prefix")
}

/// When somebody began to connect, and who answered.
type Attempt = (Instant, Option<String>);

/// Connects to an address all the time.
struct Watcher {
    attempts: Arc<Mutex<Vec<Attempt>>>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Watcher {
    fn start(from: File, ip: IpAddr) -> Self {
        let (attempts, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, end) = (Arc::clone(&attempts), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                let (all, from, begun) = (&all, &from, Instant::now());
                for n in 0_u32.. {
                    if end.load(Ordering::Relaxed) {
                        return;
                    }
                    scope.spawn(move || {
                        let at = Instant::now();
                        let who = ask(from, ip).ok();
                        all.lock().expect("nobody panics").push((at, who));
                    });
                    let next = begun + EVERY * (n + 1);
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            });
        });
        Self { attempts, stop, thread }
    }

    /// Waits for this many attempts that began since then and were answered by this name.
    fn hears(&self, name: &str, since: Instant, times: usize) {
        until_blocking(&format!("{name} to be heard {times} times"), BOOT, || {
            let all = self.attempts.lock().expect("nobody panics");
            let heard = all.iter().filter(|(at, who)| *at >= since && who.as_deref() == Some(name)).count();
            if heard >= times { Ok(()) } else { Err(format!("{heard} times")) }
        });
    }

    /// All attempts in the order in which they began.
    fn end(self) -> Vec<Attempt> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it watched");
        let mut all = std::mem::take(&mut *self.attempts.lock().expect("nobody panics"));
        all.sort_by_key(|(at, _)| *at);
        all
    }
}

/// Gives a floating IP to a server, and waits until that is done.
pub(crate) async fn assign(cell: &Cell, id: i64, to: &Made) {
    let path = format!("/v1/floating_ips/{id}/actions/assign");
    let begun = cell.api.post(&path, json!({"server": to.id})).await.expect(201);
    cell.api.succeeded(&begun["action"]).await;
}

/// Deletes all floating IPs, which nobody has any more.
pub(crate) async fn delete_floating_ips(cell: &Cell) {
    let ips = cell.api.get("/v1/floating_ips?per_page=50").await.expect(200)["floating_ips"].take();
    for ip in ips.as_array().expect("floating IPs") {
        cell.api.delete(&format!("/v1/floating_ips/{}", ip["id"])).await.expect(204);
    }
}

/// Moves a floating IP from one running server to another.
pub(crate) async fn move_it(
    cell: &Cell,
    how: &str,
    (id, ip): (i64, IpAddr),
    from: (&Made, &str),
    to: (&Made, &str),
) {
    let watcher = Watcher::start(outside(cell), ip);
    watcher.hears(from.1, Instant::now(), 20);
    let begun = Instant::now();
    let path = format!("/v1/floating_ips/{id}/actions/assign");
    let action = cell.api.post(&path, json!({"server": to.0.id})).await.expect(201)["action"].take();
    cell.api.succeeded(&action).await;
    let done = Instant::now();
    watcher.hears(to.1, done, 50);
    let attempts = watcher.end();

    let after: Vec<_> = attempts.iter().filter(|(at, _)| *at > done).map(|(_, who)| who.as_deref()).collect();
    let astray = after.iter().filter(|who| **who != Some(to.1)).count();
    assert_eq!(astray, 0, "of {} connects after the action was done: {after:?}", after.len());
    let answered: Vec<Instant> = attempts
        .iter()
        .filter(|(at, who)| *at > begun - EVERY * 10 && who.is_some())
        .map(|(at, _)| *at)
        .collect();
    let gap = answered.windows(2).map(|pair| pair[1] - pair[0]).max().expect("some are answered");
    let lost = attempts.iter().filter(|(_, who)| who.is_none()).count();
    eprintln!(
        "{how}: {ip} from host {} to host {}: gap {gap:.1?} ({lost} of {} connects lost), action {:.1?}",
        from.0.host + 1,
        to.0.host + 1,
        attempts.len(),
        done - begun
    );
}

/// A router with bird, where the fabric is, that speaks with hosts at these addresses.
pub(crate) fn router(cell: &Cell, hosts: &[IpAddr]) -> Process {
    let dir = cell.dir.join("router");
    std::fs::create_dir_all(&dir).expect("a directory of ours");
    let mut conf = "router id 10.99.0.1;\nprotocol device {}\n\
                    protocol kernel { ipv4 { import none; export all; }; }\n\
                    protocol kernel { ipv6 { import none; export all; }; }\n"
        .to_owned();
    for host in hosts {
        let family = if host.is_ipv4() { "ipv4" } else { "ipv6" };
        conf += &format!(
            "protocol bgp {{ local as 64500; neighbor {host} as 64512; connect delay time 1;\n\
             {family} {{ import all; export none; }}; }}\n"
        );
    }
    std::fs::write(dir.join("conf"), conf).expect("a file of ours");
    let mut bird = cell.outside().command("bird");
    bird.arg("-f")
        .arg("-c")
        .arg(dir.join("conf"))
        .arg("-s")
        .arg(dir.join("ctl"))
        .arg("-P")
        .arg(dir.join("pid"));
    Process::start("bird", bird, &cell.dir.join("log/router.log"))
}

/// Waits until the router speaks with all hosts, so that moves are not held up by that.
pub(crate) async fn all_sessions(cell: &Cell) {
    let shown = || {
        let mut birdc = cell.outside().command("birdc");
        run(birdc.arg("-s").arg(cell.dir.join("router/ctl")).args(["show", "protocols"]))
    };
    until("all sessions", BOOT, async || {
        let shown = shown();
        if shown.matches("Established").count() == cell.hosts.len() { Ok(()) } else { Err(shown) }
    })
    .await;
}

async fn pools(cell: &Cell) -> Vec<Value> {
    let all = cell.control.api.get("/admin/v1/pools").await.expect(200)["pools"].take();
    all.as_array().expect("pools").clone()
}

pub(crate) async fn delete_pools(cell: &Cell) {
    for pool in pools(cell).await {
        cell.control.api.delete(&format!("/admin/v1/pools/{}", pool["id"])).await.expect(204);
    }
}

pub(crate) async fn make_pool(cell: &Cell, name: &str, cidr: &str, kind: &str) {
    let pool = json!({"name": name, "cidr": cidr, "kind": kind});
    cell.control.api.post("/admin/v1/pools", pool).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_reach_their_hosts_and_move_between_them() {
    let mut cell = Cell::without_images(3).await;
    let image = cell.control.image("busybox", &cell.small_image()).await;
    let sha256 = image["sha256"].as_str().expect("a digest");
    for host in &mut cell.hosts {
        cell.control.host_has_image(host.id, sha256).await;
        host.mark();
    }
    run(cell.outside().command("sysctl").args(["-q", "-w", "net.ipv4.ip_forward=1"]));
    cell.outside().ip(&["addr", "add", "198.51.100.1/24", "dev", "br0"]);
    delete_pools(&cell).await;

    // The uplinks' own network: five addresses.
    make_pool(&cell, "wire", "198.51.100.8/29", "proxy_arp").await;
    let (a, b, c) = (create(&cell, "a", 0).await, create(&cell, "b", 1).await, create(&cell, "c", 2).await);
    let all = [(&a, "a"), (&b, "b"), (&c, "c")];
    for (made, name) in all {
        assert!(made.ip.to_string().starts_with("198.51.100."), "{}", made.ip);
        comes_to_answer(&outside(&cell), made.ip, name);
        for (other, _) in all.iter().filter(|(other, _)| other.id != made.id) {
            comes_to_answer(&inside(&cell, other), made.ip, name);
        }
    }
    let wire = floating_ip(&cell, "ipv4", "198.51.100.").await;
    assign(&cell, wire.0, &a).await;
    all.iter().for_each(|(made, _)| configure(&cell, made, wire.1));
    move_it(&cell, "proxy ARP", wire, (&a, "a"), (&b, "b")).await;
    move_it(&cell, "proxy ARP", wire, (&b, "b"), (&c, "c")).await;
    move_it(&cell, "proxy ARP", wire, (&c, "c"), (&a, "a")).await;

    // Addresses of nobody's network, which a router learns by BGP.
    let hosts: Vec<IpAddr> = (11..14).map(|n| IpAddr::from([10, 99, 0, n])).collect();
    let bird = router(&cell, &hosts);
    make_pool(&cell, "routes", "203.0.113.0/24", "bgp").await;
    let bgp = json!({"asn": 64512, "neighbours": [{"address": "10.99.0.1", "asn": 64500}]});
    for host in &cell.hosts {
        cell.control.api.put(&format!("/admin/v1/hosts/{}/bgp", host.id), bgp.clone()).await.expect(200);
    }
    let routed = floating_ip(&cell, "ipv4", "203.0.113.").await;
    configure(&cell, &a, routed.1);
    assign(&cell, routed.0, &a).await;
    comes_to_answer(&outside(&cell), routed.1, "a");
    comes_to_answer(&inside(&cell, &c), routed.1, "a");
    [&b, &c].into_iter().for_each(|made| configure(&cell, made, routed.1));
    let own = create(&cell, "d", 2).await;
    comes_to_answer(&outside(&cell), own.ip, "d");
    all_sessions(&cell).await;
    move_it(&cell, "BGP", routed, (&a, "a"), (&b, "b")).await;
    move_it(&cell, "BGP", routed, (&b, "b"), (&c, "c")).await;
    move_it(&cell, "BGP", routed, (&c, "c"), (&a, "a")).await;

    // Hosts are left as they were found.
    for id in [a.id, b.id, c.id, own.id] {
        cell.delete(id).await;
    }
    let routes = cell.outside().ip(&["route", "show", "proto", "bird"]);
    until("nothing to be announced", BOOT, async || {
        let left = cell.outside().ip(&["route", "show", "proto", "bird"]);
        if left.is_empty() { Ok(()) } else { Err(format!("{left}, of {routes}")) }
    })
    .await;
    delete_floating_ips(&cell).await;
    delete_pools(&cell).await;
    for host in &cell.hosts {
        cell.control.api.delete(&format!("/admin/v1/hosts/{}/bgp", host.id)).await.expect(204);
    }
    bird.stop();
    cell.finish().await;
}
