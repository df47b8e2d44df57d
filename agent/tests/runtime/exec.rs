//! Programs that are run in a guest on request: what they are given, what they may, and who loses them when.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use berth_agent::frames::{self, Frame};
use berth_agent::host::{Fault, Host, SessionChange, SessionStart};
use berth_proto::{ExecEnd, ExecSpec, FileTask, TerminalSize, VpsId, channel};
use tokio::net::UnixStream;

use crate::images;
use crate::tiny::{self, STAYS};
use crate::world::{self, World, sh, wait_for};

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program as its viewer sees it.
struct Run {
    connection: UnixStream,
    out: String,
    err: String,
    end: Option<ExecEnd>,
}

fn spec(argv: &[&str]) -> ExecSpec {
    ExecSpec { argv: argv.iter().map(|arg| (*arg).to_owned()).collect(), ..ExecSpec::default() }
}

fn shell(script: &str) -> ExecSpec {
    spec(&["/bin/sh", "-c", script])
}

impl Run {
    async fn open(world: &World, id: VpsId, start: SessionStart) -> Result<Self, Fault> {
        let opened =
            tokio::time::timeout(PATIENCE, world.host.session(id, &start)).await.expect("an answer")?;
        let (out, err) = (String::new(), String::new());
        Ok(Self { connection: opened.connection, out, err, end: None })
    }

    async fn begin(world: &World, id: VpsId, name: &str, spec: ExecSpec) -> Self {
        // On a machine that is busy with cgroups joining takes its time; asking again starts nothing twice.
        for _ in 0..3 {
            match Self::open(world, id, SessionStart::Exec(name.into(), spec.clone())).await {
                Err(fault) if fault.code == "internal" => eprintln!("{fault:?}"),
                result => return result.unwrap(),
            }
        }
        panic!("{name} does not begin");
    }

    /// Runs a script to its end; all that it wrote, and how it ended.
    async fn all(world: &World, id: VpsId, name: &str, spec: ExecSpec) -> (String, String, ExecEnd) {
        let mut run = Self::begin(world, id, name, spec).await;
        let end = run.ended().await;
        (run.out, run.err, end)
    }

    async fn input(&mut self, bytes: &[u8]) {
        frames::write_input(&mut self.connection, bytes).await.unwrap();
    }

    /// Reads one frame; false at the end of the connection.
    async fn read(&mut self) -> bool {
        let frame = tokio::time::timeout(PATIENCE, frames::read(&mut self.connection)).await;
        match frame.unwrap_or_else(|_| panic!("nothing comes after {:?} {:?}", self.out, self.err)).unwrap() {
            Some(Frame::Output(channel::STDERR, bytes)) => self.err += &String::from_utf8_lossy(&bytes),
            Some(Frame::Output(_, bytes)) => self.out += &String::from_utf8_lossy(&bytes),
            Some(Frame::End(end)) => self.end = Some(end),
            None => return false,
        }
        true
    }

    async fn shows(&mut self, wanted: &str) {
        while !self.out.contains(wanted) {
            assert!(self.read().await && self.end.is_none(), "{wanted} does not come after {:?}", self.out);
        }
    }

    async fn ended(&mut self) -> ExecEnd {
        while self.end.is_none() {
            assert!(self.read().await, "cut off after {:?} {:?}", self.out, self.err);
        }
        self.end.unwrap()
    }
}

/// Whether a `sleep` of so many seconds runs anywhere on this machine.
fn sleeps(seconds: &str) -> bool {
    let wanted = format!("sleep\0{seconds}\0");
    let mut all = fs::read_dir("/proc").unwrap().flatten();
    all.any(|process| fs::read(process.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes()))
}

fn code(code: i32) -> ExecEnd {
    ExecEnd { code: Some(code), signal: None }
}

fn killed(signal: i32) -> ExecEnd {
    ExecEnd { code: None, signal: Some(signal) }
}

/// A small guest with a user.
async fn small(world: &World) -> VpsId {
    let image = tiny::template(world, STAYS, |root| {
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:1000:1001::/tmp:/bin/sh\n")
            .unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nweb:x:1001:\nextra:x:44:web\n").unwrap();
    });
    let spec = world.spec(&image);
    world.boot(&spec).await;
    spec.id
}

#[test]
fn a_program_gets_what_it_was_given_and_its_end_is_told() {
    world::run(async |world| {
        let id = small(world).await;
        let mut run = Run::begin(world, id, "cat", spec(&["cat"])).await;
        run.input(b"hello ").await;
        run.input(b"there\n").await;
        run.input(b"").await;
        assert_eq!((run.ended().await, run.out.as_str()), (code(0), "hello there\n"));

        let script = shell("echo out; echo err >&2; exit 7");
        assert_eq!(Run::all(world, id, "x7", script).await, ("out\n".into(), "err\n".into(), code(7)));
        assert_eq!(Run::all(world, id, "dies", shell("kill -9 $$")).await.2, killed(9));

        let mut asked = shell("echo $A,$HOME,$USER,$container; pwd; id");
        asked.env = BTreeMap::from([("A".into(), "b c=d".into())]);
        let (out, _, _) = Run::all(world, id, "env", asked.clone()).await;
        assert_eq!(out, "b c=d,/root,root,berth\n/root\nuid=0(root) gid=0(root) groups=0(root)\n");
        asked.user = Some("web".into());
        asked.cwd = Some("/usr".into());
        let (out, _, _) = Run::all(world, id, "user", asked.clone()).await;
        assert_eq!(
            out,
            "b c=d,/tmp,web,berth\n/usr\nuid=1000(web) gid=1001(web) groups=1001(web),44(extra)\n"
        );
        let wrongs = [
            (ExecSpec { user: Some("nobody-here".into()), ..asked.clone() }, "no user 'nobody-here'"),
            (ExecSpec { cwd: Some("/nowhere".into()), ..asked.clone() }, "entering /nowhere"),
            (spec(&["no-such-program"]), "running 'no-such-program'"),
            (spec(&["/etc/passwd"]), "running '/etc/passwd'"),
        ];
        for (n, (wrong, said)) in wrongs.into_iter().enumerate() {
            let start = SessionStart::Exec(format!("wrong{n}"), wrong);
            let fault = Run::open(world, id, start).await.err().expect("it cannot run");
            assert!(fault.message.contains(said), "{said}: {fault:?}");
        }
    });
}

#[test]
fn signals_reach_it_and_a_kill_takes_all_that_it_started() {
    world::run(async |world| {
        let id = small(world).await;
        let script = "trap 'echo caught' USR1; echo ready; while :; do sleep 0.1; done";
        let mut run = Run::begin(world, id, "loop", shell(script)).await;
        run.shows("ready").await;
        world.host.change_session(id, "loop", SessionChange::Signal(libc::SIGUSR1)).await.unwrap();
        run.shows("caught").await;
        world.host.change_session(id, "loop", SessionChange::Signal(libc::SIGTERM)).await.unwrap();
        assert_eq!(run.ended().await, killed(15));

        let mut run =
            Run::begin(world, id, "tree", shell("sleep 7777 & sleep 7777 & echo ready; wait")).await;
        run.shows("ready").await;
        wait_for("its children to run", PATIENCE, || sleeps("7777"));
        world.host.change_session(id, "tree", SessionChange::Kill).await.unwrap();
        assert_eq!(run.ended().await, killed(9));
        wait_for("its children to die", PATIENCE, || !sleeps("7777"));
        let fault = world.host.change_session(id, "none", SessionChange::Kill).await.unwrap_err();
        assert_eq!(fault.code, "no_session");
    });
}

#[test]
fn a_terminal_is_one() {
    world::run(async |world| {
        let id = small(world).await;
        let mut asked = shell(
            "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo is-a-tty; stty size; read x; stty size; read y; echo got $y",
        );
        asked.tty = Some(TerminalSize { cols: 123, rows: 45 });
        let mut run = Run::begin(world, id, "tty", asked.clone()).await;
        run.shows("is-a-tty\r\n45 123\r\n").await;
        let size = TerminalSize { cols: 90, rows: 20 };
        world.host.change_session(id, "tty", SessionChange::Resize(size)).await.unwrap();
        run.input(b"\n").await;
        run.shows("20 90\r\n").await;
        run.input(b"this\n").await;
        run.shows("got this\r\n").await;
        assert_eq!(run.ended().await, code(0));

        // Ctrl-C is a signal to whoever has the terminal.
        asked.argv =
            shell("trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.1; done").argv;
        asked.user = Some("web".into());
        let mut run = Run::begin(world, id, "ctrl-c", asked.clone()).await;
        run.shows("ready").await;
        run.input(&[3]).await;
        run.shows("interrupted").await;
        assert_eq!(run.ended().await, code(3));
        // The end of input is Ctrl-D.
        asked.argv = shell("echo ready; cat; echo over").argv;
        let mut run = Run::begin(world, id, "ctrl-d", asked).await;
        run.shows("ready").await;
        run.input(b"").await;
        run.shows("over").await;
        assert_eq!(run.ended().await, code(0));
    });
}

#[test]
fn a_slow_reader_holds_up_the_program_and_loses_nothing() {
    world::run(async |world| {
        let id = small(world).await;
        let script = "n=0; while [ $n -lt 60000 ]; do echo line $n; n=$((n+1)); done; echo done >/tmp/done";
        let mut run = Run::begin(world, id, "much", shell(script)).await;
        run.shows("line 0").await;
        // It cannot come to its end: it has half a megabyte to say and nobody listens. The monitor does other things.
        for n in 0..20 {
            assert_eq!(Run::all(world, id, &format!("quick-{n}"), shell("echo x")).await.0, "x\n");
        }
        assert!(!world.try_in_guest(id, "cat /tmp/done").0, "it is held up");
        assert_eq!(run.ended().await, code(0));
        let expected: String = (0..60000).map(|n| format!("line {n}\n")).collect();
        assert!(run.out == expected, "{} of {} bytes", run.out.len(), expected.len());
        // And the other way: a program that does not read holds up the one who writes, and can still be killed.
        let mut run = Run::begin(world, id, "deaf", shell("echo ready; sleep 1000")).await;
        run.shows("ready").await;
        let all = async {
            loop {
                frames::write_input(&mut run.connection, &[b'x'; 4096]).await.unwrap()
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(2), all).await.is_err(), "it is held up");
        world.host.change_session(id, "deaf", SessionChange::Kill).await.unwrap();
    });
}

#[test]
fn a_program_is_found_again_after_the_agent_died() {
    world::run(async |world| {
        let id = small(world).await;
        let script = "echo one; read x; echo two $x; echo oops >&2; exit 5";
        let mut run = Run::begin(world, id, "long", shell(script)).await;
        run.shows("one\n").await;
        drop(run);
        world.restart_agent().await;
        let attach = |out, err| SessionStart::Attach("long".into(), [out, err]);
        let mut run = Run::open(world, id, attach(4, 0)).await.unwrap();
        run.input(b"more\n").await;
        assert_eq!(run.ended().await, code(5));
        assert_eq!((run.out.as_str(), run.err.as_str()), ("two more\n", "oops\n"));
        // What was seen can be seen again, the end too; a second begin of the same is no second program.
        for start in [attach(0, 0), SessionStart::Exec("long".into(), shell("echo another"))] {
            let mut again = Run::open(world, id, start).await.unwrap();
            assert_eq!((again.ended().await, again.out.as_str()), (code(5), "one\ntwo more\n"));
        }
        let fault = Run::open(world, id, SessionStart::Attach("none".into(), [0, 0])).await.err().unwrap();
        assert_eq!(fault.code, "no_session");

        // There is an end to how many there are, and those that have ended make room.
        for n in 0..8 {
            Run::begin(world, id, &format!("n{n}"), spec(&["cat"])).await;
        }
        let full = SessionStart::Exec("n8".into(), spec(&["cat"]));
        let fault = Run::open(world, id, full.clone()).await.err().unwrap();
        assert!(fault.message.contains("end one first"), "{fault:?}");
        world.host.change_session(id, "n0", SessionChange::Kill).await.unwrap();
        let mut run = Run::open(world, id, SessionStart::Attach("n0".into(), [0, 0])).await.unwrap();
        assert_eq!(run.ended().await, killed(9));
        Run::open(world, id, full).await.unwrap();
    });
}

#[test]
fn programs_end_with_their_monitor_and_their_guest() {
    world::run(async |world| {
        let id = small(world).await;
        let mut run = Run::begin(world, id, "forever", shell("echo ready; sleep 7778")).await;
        run.shows("ready").await;
        sh(&format!("kill -9 {}", world.monitor_pid(id)));
        assert!(!run.read().await, "the connection ends");
        wait_for("the program to die", PATIENCE, || !sleeps("7778"));
        world.host.remove_leftovers(id).await.unwrap();
        world.assert_no_traces(id);

        let id = small(world).await;
        let mut run = Run::begin(world, id, "forever", shell("echo ready; sleep 7779")).await;
        run.shows("ready").await;
        world.host.kill(id).await.unwrap();
        while run.read().await {}
        assert!(
            run.end.is_none() || run.end == Some(killed(9)),
            "nobody says that it ended by itself: {:?}",
            run.end
        );
        world.host.remove_leftovers(id).await.unwrap();
        world.assert_no_traces(id);
    });
}

#[test]
fn nothing_is_begun_in_a_frozen_guest() {
    world::run(async |world| {
        let id = small(world).await;
        let group = |freezer: &str| format!("/sys/fs/cgroup/{freezer}/{}/{id}", world.config.cgroup_parent);
        let freezer = Path::new(&group("freezer")).exists();
        let (freeze, thaw) = match freezer {
            true => {
                let state = format!("{}/freezer.state", group("freezer"));
                (format!("echo FROZEN >{state}"), format!("echo THAWED >{state}"))
            }
            false => {
                let state = format!("{}/cgroup.freeze", group(""));
                (format!("echo 1 >{state}"), format!("echo 0 >{state}"))
            }
        };
        sh(&freeze);
        let start = SessionStart::Exec("cold".into(), spec(&["id"]));
        let asked = tokio::time::timeout(PATIENCE, world.host.session(id, &start)).await;
        sh(&thaw);
        let fault = asked.unwrap().unwrap_err();
        assert!(fault.message.contains("thaw it first"), "{fault:?}");
        assert_eq!(Run::all(world, id, "warm", spec(&["id"])).await.2, code(0));
    });
}

/// The same walls as around PID 1 and everything that it starts.
#[test]
fn a_program_stands_where_pid_1_stands() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let guest = world.spec(&image);
        let id = guest.id;
        world.boot(&guest).await;
        world.booted(id);
        let look = "grep -E '^(Cap|Seccomp|NoNewPrivs|Uid|Gid)' /proc/self/status; \
                    readlink /proc/self/ns/* | grep -v time";
        let (ours, _, _) = Run::all(world, id, "walls", shell(look)).await;
        let of_init = look.replace("/proc/self", "/proc/1");
        let (inits, _, _) = Run::all(world, id, "init", shell(&of_init)).await;
        assert_eq!(ours, inits);
        assert!(ours.contains("Seccomp:\t2") && ours.contains("cgroup:["), "{ours}");

        // Nothing of the monitor's or the host's came along (CVE-2016-9962, CVE-2024-21626).
        let (fds, _, _) = Run::all(
            world,
            id,
            "fds",
            shell("ls /proc/$$/fd | tr '\\n' ' '; ls -l /proc/$$/fd /proc/$$/cwd /proc/$$/exe"),
        )
        .await;
        assert!(fds.starts_with("0 1 2 "), "{fds}");
        let dir = world.dir.display().to_string();
        assert!(!fds.contains(&dir) && !fds.contains("berth"), "{fds}");
        let (groups, _, _) = Run::all(world, id, "groups", shell("cat /proc/self/cgroup")).await;
        assert!(groups.contains("0::/berth-exec-groups"), "{groups}");
        assert!(!groups.contains("..") && !groups.contains(&world.config.cgroup_parent), "{groups}");
        for file in ["oom_score_adj", "coredump_filter"] {
            let of = |pid: &str| shell(&format!("cat /proc/{pid}/{file}"));
            let ours = Run::all(world, id, &format!("{}-a", file.replace('_', "-")), of("self")).await.0;
            assert_eq!(ours, Run::all(world, id, &format!("{}-b", file.replace('_', "-")), of("1")).await.0);
        }
        let (nice, _, _) = Run::all(world, id, "nice", spec(&["nice"])).await;
        assert_eq!(nice, "0\n");
        // It can do what root of a server does, services included.
        let (out, err, end) = Run::all(world, id, "svc", shell("systemctl is-active dbus ssh || systemctl --no-pager --failed; systemd-run --wait -q true && echo ran")).await;
        assert!(out.contains("ran") && end == code(0), "{out} {err}");

        // A script that names the joining process as its interpreter (CVE-2019-5736) runs the monitor's program at
        // most, and cannot write to it.
        let monitor = env!("CARGO_BIN_EXE_berth-monitor");
        let before = sh(&format!("sha256sum {monitor}"));
        world.in_guest(id, "printf '#!/proc/self/exe\\n' >/root/evil && chmod 755 /root/evil");
        let _ = Run::open(world, id, SessionStart::Exec("evil".into(), spec(&["/root/evil"]))).await;
        let steal = "for p in /proc/[0-9]*; do case $(readlink $p/exe 2>/dev/null) in *berth*) echo seen $p; \
                     (echo x >>$p/exe) 2>/dev/null && echo WROTE;; esac; done; echo looked";
        let (out, _, _) = Run::all(world, id, "steal", shell(steal)).await;
        assert!(out.contains("looked") && !out.contains("WROTE"), "{out}");
        assert_eq!(sh(&format!("sha256sum {monitor}")), before);
    });
}

/// A guest that does what it can against those that join it.
#[test]
fn a_hostile_guest_harms_only_itself() {
    world::run(async |world| {
        let id = small(world).await;
        // Everything that could be looked at on the way in is something else.
        world.in_guest(id, "mv /bin/cat /bin/meow; ln -s /proc/self/exe /bin/cat");
        let result = Run::open(world, id, SessionStart::Exec("cat".into(), spec(&["cat"]))).await;
        if let Ok(mut run) = result {
            while run.read().await {}
        }
        world.in_guest(id, "rm /etc/passwd; mknod /etc/passwd p; rm /etc/group; ln -s /etc/group /etc/group");
        assert_eq!(Run::all(world, id, "as-root", shell("echo alive")).await.0, "alive\n");
        let user = ExecSpec { user: Some("web".into()), ..shell("id") };
        assert!(Run::open(world, id, SessionStart::Exec("as-web".into(), user)).await.is_err());
        // One that stops every newcomer, again and again: the monitor gives up on it, and answers all the while.
        let stopper = "while :; do kill -STOP -1 2>/dev/null; done";
        let mut run = Run::begin(world, id, "stopper", shell(&format!("echo ready; {stopper}"))).await;
        run.shows("ready").await;
        for n in 0..4 {
            let _ = Run::open(world, id, SessionStart::Exec(format!("stopped-{n}"), shell("echo x"))).await;
            assert!(world.pid(id) > 0, "the monitor answers");
        }
        world.host.change_session(id, "stopper", SessionChange::Kill).await.unwrap();
        while run.read().await {}
    });
}

async fn get(world: &World, id: VpsId, path: &str) -> Result<(serde_json::Value, String), String> {
    let task = FileTask::Get { path: path.into() };
    let mut run = Run::open(world, id, SessionStart::File(task)).await.map_err(|fault| fault.message)?;
    match run.ended().await {
        end if end == code(0) => {
            let (head, body) = run.out.split_once('\n').unwrap();
            Ok((serde_json::from_str(head).unwrap(), body.to_owned()))
        }
        _ => Err(run.err),
    }
}

async fn put(world: &World, id: VpsId, path: &str, content: &[u8]) -> Result<(), String> {
    let task = FileTask::Put { path: path.into(), mode: 0o640 };
    let mut run = Run::open(world, id, SessionStart::File(task)).await.map_err(|fault| fault.message)?;
    // One that is refused at once does not read on.
    let _ = frames::write_input(&mut run.connection, content).await;
    let _ = frames::write_input(&mut run.connection, b"").await;
    if run.ended().await == code(0) { Ok(()) } else { Err(run.err) }
}

#[test]
fn files_come_and_go_and_never_leave_the_guest() {
    world::run(async |world| {
        let id = small(world).await;
        let secret = world.dir.join("secret");
        fs::write(&secret, "of the host").unwrap();
        put(world, id, "/root/new", b"content\n").await.unwrap();
        let (head, body) = get(world, id, "/root/new").await.unwrap();
        assert_eq!((head["file"]["size"].as_u64(), head["file"]["mode"].as_u64()), (Some(8), Some(0o640)));
        assert_eq!(body, "content\n");
        assert_eq!(
            world.in_guest(id, "ls -ln /root/new | { read mode n uid gid rest; echo $mode $uid $gid; }"),
            "-rw-r----- 0 0"
        );
        let (head, list) = get(world, id, "/root").await.unwrap();
        assert_eq!(head, "directory");
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        assert!(list["entries"].as_array().unwrap().iter().any(|e| e["name"] == "new"), "{list}");
        let large = vec![b'y'; 3 << 20];
        put(world, id, "/root/large", &large).await.unwrap();
        assert!(get(world, id, "/root/large").await.unwrap().1.as_bytes() == large);

        // Links are the guest's, whatever they say; what is no file is not waited for.
        world.in_guest(
            id,
            &format!(
                "ln -s {} /root/out; ln -s /root/new /root/in; ln -s ../../../../../../etc/passwd /root/up",
                secret.display()
            ),
        );
        assert!(get(world, id, "/root/out").await.unwrap_err().contains("no such file"));
        assert_eq!(get(world, id, "/root/in").await.unwrap().1, "content\n");
        assert!(get(world, id, "/root/up").await.unwrap().1.contains("web:"));
        assert!(get(world, id, "/root/../../../../../../../../../root/new").await.is_ok());
        put(world, id, "/root/out", b"mine").await.unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "of the host", "a link is replaced");
        world.in_guest(id, "mknod /root/fifo p; mkdir /root/dir; ln -s loop /root/loop");
        for path in [
            "/root/fifo",
            "/dev/null",
            "/dev/console",
            "/root/loop",
            "/proc/self/exe",
            "/proc/1/root/etc/passwd",
            "/nothing",
            "/etc/passwd/x",
        ] {
            assert!(get(world, id, path).await.is_err(), "{path}");
        }
        for path in ["/root/fifo", "/dev/null", "/root/dir", "/root/dir/", "/", "/nothing/x", "/root/.."] {
            assert!(put(world, id, path, b"x").await.is_err(), "{path}");
        }
        // Half a file is none: neither in place nor left beside it.
        let task = FileTask::Put { path: "/root/new".into(), mode: 0o644 };
        let mut run = Run::open(world, id, SessionStart::File(task)).await.unwrap();
        run.input(b"half").await;
        wait_for("the half", PATIENCE, || world.in_guest(id, "ls -A /root").contains(".berth-"));
        drop(run);
        wait_for("it to go", PATIENCE, || !world.in_guest(id, "ls -A /root").contains(".berth-"));
        assert_eq!(get(world, id, "/root/new").await.unwrap().1, "content\n");
    });
}
