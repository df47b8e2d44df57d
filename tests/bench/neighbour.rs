//! What a hostile guest costs its neighbour: each flood in turn, and the neighbour before and meanwhile.
//!
//! Both guests have one core, so on two cores nothing that either may have is sold twice: whatever the neighbour loses,
//! it loses to something that is not counted to the flood's owner. Alone and loaded take turns, since machines drift.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use berth_tests::e2e::cell::{Cell, Made, order};
use berth_tests::e2e::guest::Guest;
use serde_json::json;

use crate::figures::{median, ms};
use crate::life::rounds;

/// Rounds of each flood at most, each with a fresh guest.
const ROUNDS: usize = 3;
/// Measurements in a round.
const TASKS: usize = 2;
const LOGINS: usize = 3;
/// How long a flood may take to come to its limit.
const FLOODED_WITHIN: Duration = Duration::from_secs(60);
/// What the neighbour may lose.
const MOST: f64 = 1.2;

/// A word for each, and the script.
const FLOODS: [(&str, &str); 9] = [
    ("fork bomb", include_str!("../floods/fork.pl")),
    ("memory hog", include_str!("../floods/memory.pl")),
    ("inode bomb", include_str!("../floods/inodes.pl")),
    ("fd bomb", include_str!("../floods/files.pl")),
    ("log flood", include_str!("../floods/log.pl")),
    ("pty flood", include_str!("../floods/ptys.pl")),
    ("socket flood", include_str!("../floods/sockets.pl")),
    ("mount flood", include_str!("../floods/mounts.pl")),
    ("inotify flood", include_str!("../floods/watches.pl")),
];

/// The fixed task: arithmetic, timed by itself, so that the way to it does not count.
const TASK: &str = "perl -MTime::HiRes=time -e '$t = time; $x = 1; \
                    $x = ($x * 1103515245 + 12345) & 0x7fffffff for 1 .. 5000000; print time - $t'";

/// Two guests on one host, one of them hostile.
pub(crate) trait Side {
    /// Whose.
    fn name(&self) -> &'static str;
    /// The one that is measured.
    fn neighbour(&self) -> Guest<'_>;
    /// Makes a fresh hostile one, which has booted.
    async fn attacker(&self) -> Made;
    /// Who logs in there.
    fn guest(&self, made: &Made) -> Guest<'_>;
    /// Deletes it, whatever it does.
    async fn remove(&self, made: Made);
    /// Has whoever manages the guests do something for the neighbour.
    async fn manage(&self);
}

#[derive(Default)]
struct Samples {
    logins: Vec<Duration>,
    tasks: Vec<Duration>,
    managed: Vec<Duration>,
    failed: usize,
}

impl Samples {
    async fn take(&mut self, side: &impl Side) {
        let neighbour = side.neighbour();
        for _ in 0..LOGINS {
            let clock = Instant::now();
            match neighbour.try_ssh("true") {
                Ok(_) => self.logins.push(clock.elapsed()),
                Err(_) => self.failed += 1,
            }
        }
        for _ in 0..TASKS {
            match neighbour.try_ssh(TASK).map(|said| said.trim().parse()) {
                Ok(Ok(seconds)) => self.tasks.push(Duration::from_secs_f64(seconds)),
                _ => self.failed += 1,
            }
        }
        let clock = Instant::now();
        side.manage().await;
        self.managed.push(clock.elapsed());
    }
}

/// Measures all floods on one side; `dir` is for logs.
pub(crate) async fn measure(side: &impl Side, dir: &Path) {
    println!("\n{}'s neighbour of a flood, alone -> loaded (medians)", side.name());
    let heading = ["ssh", "fixed CPU task", "managing it", "flood deleted"];
    let [ssh, task, managing, deleted] = heading;
    println!("{:<14} {ssh:<31} {task:<31} {managing:<22} {deleted:<13} limit met", "");
    let mut above = Vec::new();
    let rounds = ROUNDS.min(rounds());
    for (what, script) in FLOODS {
        let (mut alone, mut loaded) = (Samples::default(), Samples::default());
        let (mut hits, mut deleted) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let attacker = side.attacker().await;
            alone.take(side).await;
            let log = dir.join(format!("{}-{what}-{round}.log", side.name()).replace(' ', "-"));
            let flood = side.guest(&attacker).session(&command(script), &log);
            hits.extend(flooded(&log).await);
            loaded.take(side).await;
            let clock = Instant::now();
            side.remove(attacker).await;
            deleted.push(clock.elapsed());
            drop(flood);
        }
        let ratios =
            [(&alone.logins, &loaded.logins), (&alone.tasks, &loaded.tasks)].map(|(a, b)| ratio(a, b));
        println!(
            "{what:<14} {:<31} {:<31} {:<22} {:<13} {} of {rounds}: {}",
            pair(&alone.logins, &loaded.logins, ratios[0]),
            pair(&alone.tasks, &loaded.tasks, ratios[1]),
            format!("{} -> {}", ms(median(&alone.managed)), ms(median(&loaded.managed))),
            ms(median(&deleted)),
            hits.len(),
            hits.first().map_or("-", String::as_str),
        );
        if loaded.failed + alone.failed > 0 {
            above.push(format!("{what}: {} failures ({} alone)", loaded.failed + alone.failed, alone.failed));
        }
        if ratios.iter().any(|ratio| *ratio > MOST) || loaded.tasks.is_empty() || hits.is_empty() {
            above.push(format!(
                "{what}: ssh {:.2}, task {:.2}, limit met {} times",
                ratios[0],
                ratios[1],
                hits.len()
            ));
        }
    }
    let verdict = if above.is_empty() { "met".to_owned() } else { format!("MISSED: {}", above.join("; ")) };
    println!("aim: a neighbour loses at most a fifth to any flood that meets its limit: {verdict}");
}

fn ratio(alone: &[Duration], loaded: &[Duration]) -> f64 {
    median(loaded).as_secs_f64() / median(alone).as_secs_f64().max(1e-9)
}

fn pair(alone: &[Duration], loaded: &[Duration], ratio: f64) -> String {
    format!("{} -> {} ({ratio:.2})", ms(median(alone)), ms(median(loaded)))
}

/// The script as a service without any limit but those that hold from outside.
fn command(script: &str) -> String {
    let script = base64::engine::general_purpose::STANDARD.encode(script);
    format!(
        "echo {script} | base64 -d > /run/flood.pl && exec systemd-run --quiet --pipe --wait --collect \
         -p TasksMax=infinity -p OOMPolicy=continue sh -c 'ulimit -n $(ulimit -Hn); exec perl /run/flood.pl'"
    )
}

/// Waits until a flood says that a limit held, and returns what it said.
async fn flooded(log: &Path) -> Option<String> {
    let deadline = Instant::now() + FLOODED_WITHIN;
    while Instant::now() < deadline {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        if let Some(hit) = said.lines().find_map(|line| line.strip_prefix("hit: ")) {
            return Some(hit.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("no limit met: {}", std::fs::read_to_string(log).unwrap_or_default());
    None
}

/// Berth's two.
pub(crate) struct Ours<'a> {
    cell: &'a Cell,
    neighbour: Made,
}

impl<'a> Ours<'a> {
    /// Makes the neighbour.
    pub(crate) async fn new(cell: &'a Cell) -> Self {
        let figures = json!({"cpu_milli": 1000, "memory_bytes": 512_i64 << 20, "disk_bytes": 1_i64 << 30,
            "pids": 2000, "price_hourly": "0.01", "price_monthly": "3"});
        cell.control.plan("hostile", &figures).await;
        let neighbour = cell.create("neighbour", cell.images.first().expect("an image"), true).await;
        cell.guest(&neighbour).boot_state();
        Self { cell, neighbour }
    }

    /// Deletes the neighbour.
    pub(crate) async fn end(self) {
        self.cell.delete(self.neighbour.id).await;
    }
}

impl Side for Ours<'_> {
    fn name(&self) -> &'static str {
        crate::figures::BERTH
    }

    fn neighbour(&self) -> Guest<'_> {
        self.cell.guest(&self.neighbour)
    }

    async fn attacker(&self) -> Made {
        let mut body = order("attacker", self.cell.images.first().expect("an image"), true);
        body["server_type"] = json!("hostile");
        let created = self.cell.api.post("/v1/servers", body).await.expect(201);
        self.cell.api.succeeded(&created["action"]).await;
        let made = self.cell.made(created["server"]["id"].as_i64().expect("an id")).await;
        self.cell.guest(&made).boot_state();
        made
    }

    fn guest(&self, made: &Made) -> Guest<'_> {
        self.cell.guest(made)
    }

    async fn remove(&self, made: Made) {
        self.cell.delete(made.id).await;
    }

    /// The way of every order: API, inventory, agent, monitor, guest, and the report back.
    async fn manage(&self) {
        self.cell.act(self.neighbour.id, "reset_password").await;
    }
}
