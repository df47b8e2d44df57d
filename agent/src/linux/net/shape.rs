//! The bandwidth of a VPS, the same each way.
//!
//! Traffic to the guest leaves by the host's side of its interface and waits in a token bucket there. Traffic from it
//! arrives by the same interface, where nothing can wait; so it takes a turn through a device of its own (`ifb`, named
//! `<prefix>i<id>`) with such a bucket, and then goes on as if it had just arrived: rules see it as before. Both buckets
//! are on the host's side, out of the guest's reach. A VPS without a limit has neither.
//!
//! Made by `tc`, which knows all kernels' attributes; what goes into its input is numbers and names of our own.

use std::process::Stdio;

use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::link::InfoKind;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use berth_proto::VpsId;

use super::{Net, NetError, Result};

/// Bits of a megabit.
const MEGA: i64 = 1_000_000;
/// Most Mbit/s that a bucket can count.
const MOST_MBIT: i64 = 4_000_000;

impl Net {
    /// Limits a VPS that is attached to so many Mbit/s each way; 0 takes the limit away. Connections go on.
    ///
    /// # Errors
    /// When the kernel or `tc` lacks what that needs.
    pub async fn shape(&self, id: VpsId, mbit: i64) -> Result<()> {
        let (name, turn) = (self.name(id), self.turn(id));
        if mbit <= 0 {
            if if_nametoindex(turn.as_str()).is_ok() {
                tc(&format!("qdisc del dev {name} root\nqdisc del dev {name} ingress\n")).await?;
            }
            return self.remove_by_name(&turn).await;
        }
        if if_nametoindex(turn.as_str()).is_err() {
            let failed = |source| NetError::Netlink { what: format!("making {turn}"), source };
            let link = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Ifb);
            self.handle.link().add(link.name(turn.clone()).build()).execute().await.map_err(failed)?;
            let index = if_nametoindex(turn.as_str())
                .map_err(|e| NetError::Io { what: format!("looking up {turn}"), source: e.into() })?;
            let up = LinkUnspec::new_with_index(index).up().build();
            self.handle.link().set(up).execute().await.map_err(failed)?;
        }
        tc(&rules(&name, &turn, mbit.min(MOST_MBIT))).await
    }

    /// Mbit/s that a VPS is limited to each way, as the kernel holds it; none for no limit.
    pub async fn shaped(&self, id: VpsId) -> Option<i64> {
        let (to, from) = (rate(&self.name(id)).await?, rate(&self.turn(id)).await?);
        Some(to.min(from))
    }

    /// Removes what traffic from a VPS takes its turn through.
    pub(super) async fn unshape(&self, id: VpsId) -> Result<()> {
        self.remove_by_name(&self.turn(id)).await
    }

    fn turn(&self, id: VpsId) -> String {
        format!("{}i{id}", self.prefix)
    }
}

/// What `tc` reads. Every line may be given again.
fn rules(name: &str, turn: &str, mbit: i64) -> String {
    let bytes = mbit * MEGA / 8;
    // what may pass at once, a hundredth of a second; and what may wait, a fifth
    let burst = (bytes / 100).max(16_384);
    let limit = bytes / 5 + burst;
    let bucket = format!("root handle 1: tbf rate {mbit}mbit burst {burst} limit {limit}");
    format!(
        "qdisc replace dev {turn} {bucket}\n\
         qdisc replace dev {name} handle ffff: ingress\n\
         filter replace dev {name} parent ffff: protocol all prio 1 handle 800::800 u32 match u32 0 0 action mirred egress redirect dev {turn}\n\
         qdisc replace dev {name} {bucket}\n"
    )
}

async fn tc(batch: &str) -> Result<()> {
    let failed = |source| NetError::Io { what: "running tc (install iproute2)".into(), source };
    let mut child = Command::new("tc")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(batch.as_bytes()).await.map_err(failed)?;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(NetError::Shape(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

async fn rate(device: &str) -> Option<i64> {
    let shown = Command::new("tc").args(["-j", "qdisc", "show", "dev", device]).output().await.ok()?;
    parse_rate(&shown.stdout)
}

/// Mbit/s of the token bucket in what `tc -j qdisc show` says.
fn parse_rate(json: &[u8]) -> Option<i64> {
    let qdiscs: serde_json::Value = serde_json::from_slice(json).ok()?;
    let bucket = qdiscs.as_array()?.iter().find(|qdisc| qdisc["kind"] == "tbf")?;
    Some(bucket["options"]["rate"].as_i64()? * 8 / MEGA)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::linux::net::tests::{Guest, in_namespace, spec};

    /// On the wire, of each segment: its payload, and that with the headers of Ethernet, IP and TCP with time stamps.
    const SEGMENT: (f64, f64) = (1448.0, 1514.0);

    /// Mbit/s on the wire from the first to the second, or the other way. Slow starts do not count.
    fn measure(a: &Guest, b: &Guest, reverse: bool) -> f64 {
        let iperf = |guest: &Guest, args: &[&str]| {
            let mut command = std::process::Command::new("nsenter");
            command.args(["-t", &guest.pid().to_string(), "-n", "iperf3"]).args(args);
            command
        };
        let mut server = iperf(b, &["--server", "--one-off"]);
        let mut server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut args = vec!["--json", "--time", "4", "--omit", "2", "--client", "10.9.0.3"];
        if reverse {
            args.push("--reverse");
        }
        let began = Instant::now();
        let said = loop {
            let said = iperf(a, &args).output().unwrap();
            let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
            if said.get("error").is_none() {
                break said;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{said}"); // the server may not listen yet
            std::thread::yield_now();
        };
        server.kill().unwrap();
        server.wait().unwrap();
        let payload =
            said["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or_else(|| panic!("{said}"));
        payload / 1e6 * SEGMENT.1 / SEGMENT.0
    }

    #[test]
    fn rates_hold_each_way_within_a_twentieth() {
        in_namespace(|net, _| async move {
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            let (a, b) = (Guest::start(), Guest::start());
            for (id, guest, ip) in [(1, &a, Ipv4Addr::new(10, 9, 0, 2)), (2, &b, Ipv4Addr::new(10, 9, 0, 3))]
            {
                net.attach(VpsId(id), guest.pid(), &spec(ip, &format!("02:00:00:00:00:0{id}")))
                    .await
                    .unwrap();
                guest.configure(&ip.to_string());
            }
            for mbit in [10, 100, 1000] {
                net.shape(VpsId(1), mbit).await.unwrap();
                for reverse in [false, true] {
                    let wanted = f64::from(i32::try_from(mbit).unwrap());
                    // a busy machine may give the two programs too little time, so they have some tries
                    let mut got = 0.0;
                    for _ in 0..5 {
                        got = measure(&a, &b, reverse);
                        if (got / wanted - 1.0).abs() <= 0.05 {
                            break;
                        }
                    }
                    println!("{} the guest: {got:.1} of {mbit} Mbit/s", if reverse { "to" } else { "from" });
                    assert!((got / wanted - 1.0).abs() <= 0.05, "{got:.1} where {mbit} Mbit/s are wanted");
                }
            }
            net.detach(VpsId(1)).await.unwrap();
            net.detach(VpsId(2)).await.unwrap();
        });
    }

    #[test]
    fn a_bucket_is_found_among_others() {
        let json = br#"[{"kind":"tbf","handle":"1:","root":true,"options":{"rate":1000000,"burst":16384,"lat":103616}},
            {"kind":"ingress","handle":"ffff:","options":{}}]"#;
        assert_eq!(parse_rate(json), Some(8));
        assert_eq!(parse_rate(br#"[{"kind":"noqueue"}]"#), None);
        assert_eq!(parse_rate(b""), None);
    }
}
