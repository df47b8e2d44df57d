//! `kill -9` at every marked step of everything that is done to a VPS. Afterwards there is exactly one VPS or none, as
//! was asked; nothing is leaked; and the guest next door never noticed.
//!
//! Steps are marked in the sources (`failpoint::hit`). They are found there, not listed here, so that a new one cannot
//! be forgotten: a step that no operation reaches fails the test.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use berth_tests::check;
use berth_tests::client::DEADLINE;
use berth_tests::e2e::cell::{Cell, Failpoint, Made, order};
use berth_tests::e2e::process::{Process, kill9, start_time};
use berth_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

/// Who is killed when the step is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// The process that stands at the step, and its agent with it when it is a monitor.
    Agent,
    /// Only the process that stands at the step; another one than the agent.
    Monitor,
    /// The server; the agent later, because it stands at the step.
    Server,
    /// All at once.
    Both,
}

/// What is done to a VPS until the step is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Create,
    Act(&'static str),
    Delete,
    Image,
}

const SHORT: &[Op] = &[Op::Create, Op::Delete];
const LONG: &[Op] = &[
    Op::Image,
    Op::Create,
    Op::Act("reset_password"),
    Op::Act("reset"),
    Op::Act("poweroff"),
    Op::Act("poweron"),
    Op::Act("shutdown"),
    Op::Delete,
];

/// Names of all steps that are marked under a directory of the sources.
fn marked(dir: &str) -> BTreeSet<String> {
    fn walk(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).expect("the sources are there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are text");
                for call in text.split("failpoint::hit").skip(1) {
                    let call = call.strip_prefix("_async").unwrap_or(call);
                    let name = call.trim_start_matches(['(', ' ', '\n']).strip_prefix('"');
                    found.extend(name.and_then(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()));
                }
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is inside the repository");
    let mut found = BTreeSet::new();
    walk(&root.join(dir), &mut found);
    assert!(found.len() > 2, "steps are marked in {dir}: {found:?}");
    found
}

/// The guest next door: runs the whole time, and is asked after every round whether it noticed anything.
struct Neighbour {
    made: Made,
    first: Vec<(u32, u64)>,
    session: Process,
    log: std::path::PathBuf,
    ticks: u64,
}

impl Neighbour {
    async fn settle(cell: &Cell) -> Self {
        let made = cell.create("neighbour", &cell.images[0], true).await;
        let guest = cell.guest(&made);
        assert_eq!(guest.boot_state(), "running");
        let log = cell.dir.join("log/neighbour.log");
        let session = guest.ticking(&log);
        let first = cell.hosts[made.host].first_processes(made.id);
        assert_eq!(first.len(), 1);
        Self { made, first, session, log, ticks: 0 }
    }

    async fn noticed_nothing(&mut self, cell: &Cell, round: &str) {
        let host = &cell.hosts[self.made.host];
        assert_eq!(host.first_processes(self.made.id), self.first, "{round}: the neighbour was restarted");
        if let Some(status) = self.session.ended() {
            panic!("{round}: the neighbour's ssh session ended: {status}\n{}", self.session.tail());
        }
        self.ticks = until(&format!("{round}: the neighbour's session to go on"), DEADLINE, async || {
            let ticks = std::fs::metadata(&self.log).map(|m| m.len()).map_err(|e| e.to_string())?;
            if ticks > self.ticks { Ok(ticks) } else { Err(format!("still {ticks} bytes")) }
        })
        .await;
    }
}

/// One round: until the step is reached, kill, start again, and see that all is as was asked.
struct Round<'a> {
    cell: &'a mut Cell,
    point: Failpoint,
    victim: Victim,
    in_server: bool,
}

impl Round<'_> {
    /// Sends what `op` says; the answer if there is one before the step is reached. `None`: the step was reached.
    async fn provoke(&self, op: Op, id: Option<i64>) -> Option<Value> {
        let (api, point) = (self.cell.api.clone(), &self.point);
        let image = self.cell.images[0].clone();
        let asked = async {
            match (op, id) {
                (Op::Create, _) => {
                    api.try_send(Method::POST, "/v1/servers", Some(order("web", &image, true).to_string()))
                        .await
                }
                (Op::Act(what), Some(id)) => {
                    let path = format!("/v1/servers/{id}/actions/{what}");
                    api.try_send(Method::POST, &path, Some(json!({}).to_string())).await
                }
                (Op::Delete, Some(id)) => {
                    api.try_send(Method::DELETE, &format!("/v1/servers/{id}"), None).await
                }
                (Op::Image, _) | (_, None) => {
                    unreachable!("images are asked for elsewhere, and the rest has an id")
                }
            }
        };
        let reached = async {
            while point.reached().is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        // A server that runs answers whatever its agents do; so what comes of it was confirmed.
        let answer = if self.in_server {
            tokio::select! {
                answer = asked => answer,
                () = reached => return None,
            }
        } else {
            asked.await
        };
        let answer = answer.unwrap_or_else(|e| panic!("{op:?}: {e}"));
        assert!(matches!(answer.status, 200 | 201), "{op:?}: {answer:?}");
        let path = format!("/v1/actions/{}", answer.body["action"]["id"]);
        let ended = until(&format!("{op:?} to end or {} to be reached", point.name), DEADLINE, async || {
            if point.reached().is_some() {
                return Ok(None);
            }
            let now = api.try_send(Method::GET, &path, None).await?;
            let running = now.body["action"]["status"] == "running";
            if running { Err(now.body.to_string()) } else { Ok(Some(now.body)) }
        })
        .await;
        let ended = ended?;
        assert_eq!(ended["action"]["status"], "success", "{op:?}: {ended}");
        Some(answer.body)
    }

    /// A new image makes the host fetch and unpack.
    async fn provoke_image(&self) -> bool {
        let name = format!("tiny-{:08x}", rand::random::<u32>());
        let file = self.cell.tiny_image(&name);
        let host = self.cell.hosts[0].id;
        let (point, control) = (&self.point, &self.cell.control);
        let made = async {
            let sha256 = control.image(&name, &file).await["sha256"].as_str().expect("a digest").to_owned();
            control.host_has_image(host, &sha256).await;
        };
        let reached = async {
            while point.reached().is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            () = made => point.reached().is_some(),
            () = reached => true,
        }
    }

    /// Does one thing after the other until the step is reached; the operation that reached it, and the VPS.
    async fn until_reached(&self, ops: &[Op]) -> Option<Op> {
        let mut id = None;
        for op in ops {
            if *op == Op::Image {
                if self.provoke_image().await {
                    return Some(*op);
                }
                continue;
            }
            if let (Op::Act("shutdown"), Some(id)) = (op, id) {
                let made = self.cell.made(id).await;
                self.cell.guest(&made).boot_state(); // a guest that boots still does not listen
            }
            let Some(answer) = self.provoke(*op, id).await else { return Some(*op) };
            id = answer["server"]["id"].as_i64().or(id);
        }
        if self.point.reached().is_some() { ops.last().copied() } else { None }
    }

    fn kill(&mut self) {
        let pid = self.point.reached().expect("it was reached");
        let started = start_time(pid);
        let agent = self.cell.hosts[0].agent().map(|agent| agent.pid());
        let is_monitor = !self.in_server && agent != Some(pid);
        let kill_monitor = || {
            // By pid and start time: it may be gone, because it left when its agent died.
            if is_monitor && start_time(pid) == started {
                kill9(pid);
            }
        };
        match self.victim {
            Victim::Agent => {
                self.cell.hosts[0].kill_agent();
                kill_monitor();
            }
            Victim::Monitor => kill_monitor(),
            Victim::Server => self.cell.kill_server(),
            Victim::Both => {
                self.cell.kill_server();
                self.cell.hosts[0].kill_agent();
                kill_monitor();
            }
        }
    }

    /// Starts again what was killed, without the failpoint.
    async fn start_again(&mut self) {
        if matches!(self.victim, Victim::Server | Victim::Both) {
            self.cell.start_server(None).await;
        }
        match self.victim {
            Victim::Agent | Victim::Both => self.cell.hosts[0].start_agent(None),
            Victim::Server if self.in_server => {}
            Victim::Server | Victim::Monitor => {
                // The agent has the failpoint armed, or stands at it.
                let stuck = self.point.reached().expect("it was reached");
                let agent = self.cell.hosts[0].agent().map(|agent| agent.pid());
                if self.victim == Victim::Server || agent == Some(stuck) {
                    self.cell.hosts[0].kill_agent();
                } else {
                    self.cell.hosts[0].stop_agent();
                }
                if agent != Some(stuck) && self.victim == Victim::Server {
                    kill9(stuck);
                }
                self.cell.hosts[0].start_agent(None);
            }
        }
    }

    /// All is as was asked: one VPS that runs or is off, or none.
    async fn comes_true(&self, op: Op, round: &str) {
        let db = self.cell.db.pool().await;
        check::settled(&db).await;
        let list = self.cell.api.get("/v1/servers?name=web").await.expect(200);
        let servers = list["servers"].as_array().expect("a list");
        assert!(servers.len() <= 1, "{round}: {list}");
        let Some(server) = servers.first() else {
            assert!(matches!(op, Op::Delete | Op::Create | Op::Image), "{round}: the VPS is gone");
            assert!(op != Op::Create || self.in_server, "{round}: a create that was confirmed is gone");
            return;
        };
        let id = server["id"].as_i64().expect("an id");
        let failed: Vec<String> =
            sqlx::query_scalar("select command || ': ' || coalesce(error_message, '') from actions where vps_id = $1 and status = 'error'")
                .bind(id)
                .fetch_all(&db)
                .await
                .expect("actions can be read");
        assert!(failed.is_empty(), "{round}: what was asked succeeds after all: {failed:?}");
        if op == Op::Delete {
            assert!(self.in_server, "{round}: a delete that was confirmed is undone: {server}");
        }
        let off = matches!(op, Op::Act("poweroff" | "shutdown")) && server["status"] == "off";
        let wanted = usize::from(!off);
        until(&format!("{round}: {wanted} guests to run"), DEADLINE, async || {
            let now = self.cell.hosts[0].first_processes(id);
            if now.len() == wanted { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
        self.cell.api.server_is(id, if off { "off" } else { "running" }).await;
        self.cell.delete(id).await;
    }
}

async fn rounds(victim: Victim, in_server: bool) {
    let mut cell = Cell::start(1).await;
    let mut neighbour = Neighbour::settle(&cell).await;
    let points = marked(if in_server { "server/src" } else { "agent/src" });
    let mut never = Vec::new();
    for name in points {
        let round = format!("{name}, {victim:?} killed");
        eprintln!("--- {round}");
        let before = cell.hosts[0].snapshot();
        let point = Failpoint { name: name.clone(), dir: cell.dir.join("failpoints") };
        if in_server {
            cell.stop_server();
            cell.start_server(Some(&point)).await;
        } else {
            cell.hosts[0].stop_agent();
            cell.hosts[0].start_agent(Some(&point));
        }
        let mut this = Round { cell: &mut cell, point, victim, in_server };
        let reached = match this.until_reached(SHORT).await {
            Some(op) => Some(op),
            None => this.until_reached(LONG).await,
        };
        match reached {
            Some(op) => {
                let at_monitor = this.point.reached() != this.cell.hosts[0].agent().map(|agent| agent.pid());
                if victim == Victim::Monitor && !at_monitor {
                    this.victim = Victim::Agent; // nothing but an agent stands there
                }
                this.kill();
                this.start_again().await;
                this.comes_true(op, &round).await;
            }
            None => never.push(name),
        }
        cell.hosts[0].holds_no_more_than(&before);
        let lost = cell.hosts[0].snapshot().less_than(&before);
        assert!(lost.is_empty(), "{round}: more went than came: {lost:#?}");
        neighbour.noticed_nothing(&cell, &round).await;
    }
    assert!(never.is_empty(), "no operation reaches these steps: {never:?}");
    drop(neighbour);
    cell.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_killed_at_every_step() {
    rounds(Victim::Agent, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn monitors_killed_at_every_step() {
    rounds(Victim::Monitor, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_killed_at_every_step_of_the_agent() {
    rounds(Victim::Server, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_killed_at_every_step_of_the_agent() {
    rounds(Victim::Both, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_killed_at_every_step_of_its_own() {
    rounds(Victim::Server, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_killed_at_every_step_of_the_server() {
    rounds(Victim::Both, true).await;
}
