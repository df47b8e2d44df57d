//! Programs and files of simulated guests.
//!
//! The programs are few: `echo`, `cat`, `exit N`, `sleep`; anything else is not there. They say what real ones would, keep
//! all of it, and end by the signals that they are sent. Files are what was put.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use berth_proto::{ExecEnd, ExecSpec, FileHead, FileTask, VpsFault, VpsId, channel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

use crate::frames::{END, PIECE, head};
use crate::host::{Fault, Session, SessionChange, SessionStart};

/// What a program hears.
#[derive(Debug)]
enum Word {
    Input(Vec<u8>),
    EndOfInput,
    Change(SessionChange),
}

/// What it has said, and how it ended.
#[derive(Clone, Debug, Default)]
struct Said {
    stdout: Vec<u8>,
    end: Option<ExecEnd>,
}

#[derive(Clone, Debug)]
struct Running {
    ears: mpsc::UnboundedSender<Word>,
    said: watch::Receiver<Said>,
    /// Ends with the guest.
    guest: watch::Receiver<()>,
}

/// Files of a guest by path, with their modes.
type Files = BTreeMap<String, (Vec<u8>, u32)>;

/// Programs by guest and session, each with what ends when its guest does.
type Programs = HashMap<(VpsId, String), (Running, watch::Sender<()>)>;

/// All of a host's.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    running: Arc<Mutex<Programs>>,
    files: Arc<Mutex<HashMap<VpsId, Files>>>,
}

impl Sessions {
    pub(super) fn open(&self, vps: VpsId, start: &SessionStart) -> Result<Session<DuplexStream>, Fault> {
        let (mut session, from) = match start {
            SessionStart::File(task) => return Ok(self.file(vps, task.clone())),
            SessionStart::Exec(name, spec) => (self.begin(vps, name, spec)?, 0),
            SessionStart::Attach(name, [stdout, _]) => (self.find(vps, name)?, *stdout),
        };
        let known = session.said.borrow().stdout.len() as u64;
        let from = from.min(known);
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (reader, writer) = tokio::io::split(ours);
        tokio::spawn(async move {
            tokio::select! {
                _ = show(session.said, from, writer) => {}
                () = hear(reader, session.ears) => {}
                _ = session.guest.changed() => {}
            }
        });
        Ok(Session { connection: theirs, from: [from, 0] })
    }

    pub(super) fn change(&self, vps: VpsId, name: &str, change: SessionChange) -> Result<(), Fault> {
        let _ = self.find(vps, name)?.ears.send(Word::Change(change)); // it has ended: fine
        Ok(())
    }

    /// The guest has ended, and all of its programs.
    pub(super) fn close(&self, vps: VpsId) {
        lock(&self.running).retain(|(of, _), _| *of != vps);
    }

    fn find(&self, vps: VpsId, name: &str) -> Result<Running, Fault> {
        let found = lock(&self.running).get(&(vps, name.to_owned())).map(|(session, _)| session.clone());
        found.ok_or_else(|| VpsFault::passing("no_session", "there is no such session in this server"))
    }

    fn begin(&self, vps: VpsId, name: &str, spec: &ExecSpec) -> Result<Running, Fault> {
        let mut running = lock(&self.running);
        if let Some((session, _)) = running.get(&(vps, name.to_owned())) {
            return Ok(session.clone());
        }
        let program = spec.argv.first().map(String::as_str).unwrap_or_default();
        if !["echo", "cat", "exit", "sleep"].contains(&program) {
            let message = format!("running '{program}': No such file or directory (os error 2)");
            return Err(VpsFault::passing("refused", message));
        }
        let (ears, words) = mpsc::unbounded_channel();
        let (mouth, said) = watch::channel(Said::default());
        tokio::spawn(run(spec.clone(), words, mouth));
        let (life, guest) = watch::channel(());
        let session = Running { ears, said, guest };
        running.insert((vps, name.to_owned()), (session.clone(), life));
        Ok(session)
    }

    fn file(&self, vps: VpsId, task: FileTask) -> Session<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (reader, writer) = tokio::io::split(ours);
        let files = self.files.clone();
        tokio::spawn(async move {
            match task {
                FileTask::Get { path } => {
                    let found = lock(&files).get(&vps).and_then(|files| answer(files, &path));
                    transfer(writer, found.ok_or_else(|| "there is no such file".to_owned())).await
                }
                FileTask::Put { path, mode } => {
                    let content = whole_input(reader).await?;
                    lock(&files).entry(vps).or_default().insert(path, (content, mode));
                    transfer(writer, Ok(Vec::new())).await
                }
            }
        });
        Session { connection: theirs, from: [0, 0] }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while holding this lock")
}

/// The program itself.
async fn run(spec: ExecSpec, mut words: mpsc::UnboundedReceiver<Word>, mouth: watch::Sender<Said>) {
    let say = |text: &[u8]| mouth.send_modify(|said| said.stdout.extend_from_slice(text));
    let end = |code, signal| mouth.send_modify(|said| said.end = Some(ExecEnd { code, signal }));
    match spec.argv[0].as_str() {
        "echo" => {
            say(format!("{}\n", spec.argv[1..].join(" ")).as_bytes());
            return end(Some(0), None);
        }
        "exit" => return end(spec.argv.get(1).and_then(|code| code.parse().ok()), None),
        _ => {}
    }
    // All words come from sessions that hold the other end: none any more means that the guest has ended.
    while let Some(word) = words.recv().await {
        match word {
            Word::Input(bytes) if spec.argv[0] == "cat" => say(&bytes),
            Word::EndOfInput if spec.argv[0] == "cat" => return end(Some(0), None),
            Word::Input(_) | Word::EndOfInput => {}
            Word::Change(SessionChange::Resize(size)) => {
                say(format!("window {}x{}\r\n", size.cols, size.rows).as_bytes());
            }
            Word::Change(SessionChange::Signal(signal)) => return end(None, Some(signal)),
            Word::Change(SessionChange::Kill) => return end(None, Some(9)),
        }
    }
}

async fn show(mut said: watch::Receiver<Said>, from: u64, mut to: WriteHalf<DuplexStream>) -> io::Result<()> {
    let mut seen = usize::try_from(from).unwrap_or(usize::MAX);
    loop {
        let Said { stdout, end } = said.borrow_and_update().clone();
        for piece in stdout.get(seen..).unwrap_or_default().chunks(PIECE) {
            send(&mut to, channel::STDOUT, piece).await?;
        }
        seen = stdout.len();
        if let Some(end) = end {
            return send(&mut to, END, &serde_json::to_vec(&end)?).await;
        }
        if said.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn send(to: &mut WriteHalf<DuplexStream>, channel: u8, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&head(channel, u16::try_from(bytes.len()).expect("a piece is short"))).await?;
    to.write_all(bytes).await
}

/// A frame of input; empty at its end, none when the other side is gone.
async fn input(from: &mut ReadHalf<DuplexStream>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; from.read_u16_le().await.ok()?.into()];
    from.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn hear(mut from: ReadHalf<DuplexStream>, ears: mpsc::UnboundedSender<Word>) {
    while let Some(bytes) = input(&mut from).await {
        let word = if bytes.is_empty() { Word::EndOfInput } else { Word::Input(bytes) };
        let _ = ears.send(word); // it has ended: what it has said is still shown
    }
}

async fn whole_input(mut from: ReadHalf<DuplexStream>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match input(&mut from).await {
            Some(bytes) if bytes.is_empty() => return Ok(all),
            Some(bytes) => all.extend(bytes),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// What a get sends.
fn answer(files: &Files, path: &str) -> Option<Vec<u8>> {
    let (head, body) = match files.get(path) {
        Some((content, mode)) => {
            let size = Some(content.len() as u64);
            (FileHead::File { size, mode: *mode, modified: 1_700_000_000 }, content.clone())
        }
        None => {
            let inside = format!("{}/", path.trim_end_matches('/'));
            let names = files.keys().filter_map(|name| name.strip_prefix(&inside));
            let entries: Vec<_> = names
                .map(|name| {
                    let size = files[&format!("{inside}{name}")].0.len();
                    serde_json::json!({"name": name, "kind": "file", "size": size, "mode": 0o644,
                                       "uid": 0, "gid": 0, "modified": 1_700_000_000})
                })
                .collect();
            if entries.is_empty() {
                return None;
            }
            let list = serde_json::json!({"path": path, "entries": entries, "truncated": false});
            (FileHead::Directory, list.to_string().into_bytes())
        }
    };
    let mut all = serde_json::to_vec(&head).ok()?;
    all.push(b'\n');
    all.extend(body);
    Some(all)
}

async fn transfer(mut to: WriteHalf<DuplexStream>, what: Result<Vec<u8>, String>) -> io::Result<()> {
    let (channel, bytes, code) = match what {
        Ok(bytes) => (channel::STDOUT, bytes, 0),
        Err(text) => (channel::STDERR, text.into_bytes(), 1),
    };
    for piece in bytes.chunks(PIECE) {
        send(&mut to, channel, piece).await?;
    }
    send(&mut to, END, format!("{{\"code\":{code}}}").as_bytes()).await
}
