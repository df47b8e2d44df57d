//! A mail server that keeps what it is given: enough of SMTP (RFC 5321) for one client that sends plain text.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::wait::until;

const DEADLINE: Duration = Duration::from_secs(30);

/// A mail that came.
#[derive(Clone, Debug)]
pub struct Mail {
    /// To whom.
    pub to: String,
    /// Headers and text.
    pub text: String,
}

impl Mail {
    /// The path of the link in it, of a dashboard at `base`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn link(&self, base: &str) -> String {
        let found = self.text.split_whitespace().find_map(|word| word.strip_prefix(base));
        found.unwrap_or_else(|| panic!("a link to {base} in {}", self.text)).to_owned()
    }
}

/// A running mail server. Dropping it ends it.
#[derive(Debug)]
pub struct Catcher {
    addr: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
    task: JoinHandle<()>,
}

impl Catcher {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let addr = listener.local_addr().expect("bound");
        let mails = Arc::<Mutex<Vec<Mail>>>::default();
        let kept = mails.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, kept.clone()));
            }
        });
        Self { addr, mails, task }
    }

    /// Writes what comes to files in this directory as well, named by number and address, until it is dropped.
    pub fn file_in(&self, dir: PathBuf) -> JoinHandle<()> {
        let mails = self.mails.clone();
        tokio::spawn(async move {
            let mut written = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let new: Vec<Mail> = mails.lock().expect("no panic").iter().skip(written).cloned().collect();
                for mail in new {
                    written += 1;
                    let (part, whole) = (dir.join("part"), dir.join(format!("{written:04}-{}", mail.to)));
                    std::fs::write(&part, mail.text).expect("a directory of the test's own");
                    std::fs::rename(&part, whole).expect("a directory of the test's own");
                }
            }
        })
    }

    /// What a server is configured with.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}", self.addr)
    }

    /// All that came so far.
    ///
    /// # Panics
    /// Never; no code panics while it holds the lock.
    #[must_use]
    pub fn all(&self) -> Vec<Mail> {
        self.mails.lock().expect("no panic").clone()
    }

    /// Waits for the `n`th mail (from 1) to an address.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn to(&self, address: &str, n: usize) -> Mail {
        until(&format!("mail {n} to {address}"), DEADLINE, async || {
            let mut all = self.all().into_iter().filter(|mail| mail.to == address);
            all.nth(n - 1).ok_or_else(|| format!("there are {}", self.all().len()))
        })
        .await
    }
}

impl Drop for Catcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn talk(stream: TcpStream, kept: Arc<Mutex<Vec<Mail>>>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 catcher\r\n").await.ok()?;
    let mut to = String::new();
    while let Some(line) = lines.next_line().await.ok()? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                b"250 ok\r\n"
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                let mut text = String::new();
                loop {
                    let line = lines.next_line().await.ok()??;
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
                // A long line may come as quoted-printable: softly broken, with "=" as "=3D".
                if text.contains("quoted-printable") {
                    text = text.replace("=\n", "").replace("=3D", "=");
                }
                kept.lock().expect("no panic").push(Mail { to: to.clone(), text });
                b"250 kept\r\n"
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await.ok()?;
                return None;
            }
            _ => b"250 ok\r\n",
        };
        write.write_all(answer).await.ok()?;
    }
    None
}
