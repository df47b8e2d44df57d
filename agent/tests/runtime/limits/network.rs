//! Bandwidth, each way.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use berth_proto::LimitName;

use super::{boot, change, held, near, told};
use crate::world::{self, World, wait_for};

const PORT: u16 = 7777;
/// How long bytes are counted, after a moment in which what may pass at once has passed.
const WINDOW: Duration = Duration::from_secs(3);

/// Sends (for `u`) or takes (for `d`) whatever the caller can bear.
const SERVES: &str = "socket(L, 2, 1, 6); setsockopt(L, 1, 2, 1); bind(L, pack(\"Sna4x8\", 2, 7777, \"\\0\\0\\0\\0\")); listen(L, 5);
    while (accept(C, L)) { if (!fork) { sysread(C, $how, 1); $x = \"x\" x 65536;
    if ($how eq \"u\") { 1 while syswrite(C, $x) } else { 1 while sysread(C, $x, 65536) } exit } close C }";

fn connect(address: Ipv4Addr, how: u8) -> TcpStream {
    let mut stream = None;
    wait_for("the guest to listen", Duration::from_secs(60), || {
        stream = TcpStream::connect((address, PORT)).ok();
        stream.is_some()
    });
    let mut stream = stream.unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(&[how]).unwrap();
    stream
}

/// Mbit/s that arrive from the guest.
fn from_guest(address: Ipv4Addr) -> f64 {
    let mut stream = connect(address, b'u');
    let mut bytes = vec![0; 65536];
    let mut take = |window: Duration| {
        let (began, mut taken) = (Instant::now(), 0);
        while began.elapsed() < window {
            taken += stream.read(&mut bytes).unwrap();
        }
        taken as f64 * 8.0 / 1e6 / began.elapsed().as_secs_f64()
    };
    take(Duration::from_secs(1));
    take(WINDOW)
}

/// As [`from_guest`], once more when a lost packet was made up for within the time: what had waited behind it comes at
/// once.
fn steady_from_guest(address: Ipv4Addr, wanted: f64) -> f64 {
    let mut got = from_guest(address);
    for _ in 0..4 {
        if (got / wanted - 1.0).abs() <= 0.1 {
            break;
        }
        got = from_guest(address);
    }
    got
}

/// Mbit/s that leave for the guest, as its interface counts them after the bucket.
async fn to_guest(world: &World, spec: &berth_proto::VpsSpec) -> f64 {
    use berth_agent::host::Host;
    let mut stream = connect(spec.net.ipv4.unwrap(), b'd');
    let sender = std::thread::spawn(move || while stream.write(&[0; 16384]).is_ok_and(|n| n > 0) {});
    std::thread::sleep(Duration::from_secs(1));
    let bytes = async || world.host.vps_metrics(spec.id).await.unwrap().net_in_bytes as f64;
    let (before, began) = (bytes().await, Instant::now());
    std::thread::sleep(WINDOW);
    let rate = (bytes().await - before) * 8.0 / 1e6 / began.elapsed().as_secs_f64();
    world.in_guest(spec.id, "for p in /proc/[0-9]*; do read -r name <$p/comm; [ \"$name\" = served ] && kill -9 ${p#/proc/}; done; true");
    sender.join().unwrap();
    rate
}

#[test]
fn the_bandwidth_holds_each_way() {
    world::run(async |world| {
        let mut spec = boot(world, |limits| limits.bandwidth_mbit = 8).await;
        let (id, address) = (spec.id, spec.net.ipv4.unwrap());
        if told(world, id, LimitName::BandwidthMbit).await.applied.is_none() {
            let why = told(world, id, LimitName::BandwidthMbit).await.why.unwrap();
            assert!(why.contains("cannot shape traffic"), "{why}");
            return;
        }
        world.in_guest(
            id,
            &format!(
                "perl -e '{}' >/dev/null 2>&1 &",
                SERVES.replace("!fork) {", "!fork) { $0 = \"served\";")
            ),
        );
        for mbit in [8, 16, 4] {
            change(world, &mut spec, |limits| limits.bandwidth_mbit = mbit).await;
            held(world, id, LimitName::BandwidthMbit, mbit).await;
            near("Mbit/s from the guest", steady_from_guest(address, mbit as f64), mbit as f64);
            near("Mbit/s to the guest", to_guest(world, &spec).await, mbit as f64);
        }
        change(world, &mut spec, |limits| limits.bandwidth_mbit = 0).await;
        let (from, to) = (from_guest(address), to_guest(world, &spec).await);
        assert!(from > 20.0 && to > 20.0, "{from} and {to} Mbit/s without a limit");
    });
}
