//! Templates: fetched before they are needed where possible, and when a create needs one in any case.
//!
//! An archive is fetched to `<state>/downloads/<sha256>`, resumed where it broke off, hashed as it comes, and handed to
//! the host to unpack only when size and digest are right. One transfer per digest at a time; whoever waits for it
//! shares its outcome. A digest that is wrong after a transfer from the first byte is final: the control plane holds
//! another file than it says.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_proto::{ImageRef, VpsFault};
use futures_util::StreamExt as _;
use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff;
use crate::host::{Fault, Host};
use crate::link::{Link, LinkError};

/// A transfer that brings nothing for this long is broken off.
const STALLED: Duration = Duration::from_secs(30);

/// The outcome that was last, for those who waited for it.
type Last = Option<(Instant, Fault)>;

/// The templates of one host.
#[derive(Debug)]
pub struct Images<H> {
    host: Arc<H>,
    dir: PathBuf,
    link: Option<Arc<Link>>,
    transfers: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Last>>>>,
    wanted: Mutex<Vec<ImageRef>>,
    wanted_changed: Notify,
}

impl<H: Host> Images<H> {
    /// Fetches to `dir`; without a link only templates that are there can be used.
    #[must_use]
    pub fn new(host: Arc<H>, dir: PathBuf, link: Option<Arc<Link>>) -> Self {
        Self {
            host,
            dir,
            link,
            transfers: Mutex::default(),
            wanted: Mutex::default(),
            wanted_changed: Notify::new(),
        }
    }

    /// The control plane says which templates should stand ready.
    pub fn want(&self, images: &[ImageRef]) {
        let mut wanted = self.wanted.lock().expect("no code panics while holding this lock");
        if *wanted != images && !images.is_empty() {
            *wanted = images.to_vec();
            self.wanted_changed.notify_one();
        }
    }

    /// Fetches what should stand ready, one after the other; never ends. `ready` is called after each that came.
    pub async fn keep_ready(&self, ready: impl Fn() + Send + Sync) {
        let mut failures = 0;
        loop {
            let again =
                backoff::doubled(Duration::from_secs(5), Duration::from_secs(300), failures, rand::random());
            tokio::select! {
                () = self.wanted_changed.notified() => {}
                () = tokio::time::sleep(again), if failures > 0 => {}
            }
            let wanted = self.wanted.lock().expect("no code panics while holding this lock").clone();
            let mut failed = false;
            for image in wanted {
                if self.host.has_template(&image.sha256).await {
                    continue;
                }
                match self.ensure(&image).await {
                    Ok(()) => ready(),
                    Err(fault) => {
                        failed = true;
                        tracing::warn!(
                            image = image.sha256,
                            code = fault.code,
                            error = fault.message,
                            "image not fetched"
                        );
                    }
                }
            }
            failures = if failed { failures + 1 } else { 0 };
        }
    }

    /// Returns when the template stands ready.
    pub async fn ensure(&self, image: &ImageRef) -> Result<(), Fault> {
        if self.host.has_template(&image.sha256).await {
            return Ok(());
        }
        let asked = Instant::now();
        let transfer = {
            let mut transfers = self.transfers.lock().expect("no code panics while holding this lock");
            transfers.entry(image.sha256.clone()).or_default().clone()
        };
        let mut last = transfer.lock().await;
        if self.host.has_template(&image.sha256).await {
            return Ok(());
        }
        if let Some((_, fault)) = last.as_ref().filter(|(at, _)| *at > asked) {
            return Err(fault.clone());
        }
        let done = self.fetch_and_unpack(image).await;
        *last = done.as_ref().err().map(|fault| (Instant::now(), fault.clone()));
        done
    }

    async fn fetch_and_unpack(&self, image: &ImageRef) -> Result<(), Fault> {
        let known = image.sha256.len() == 64 && image.sha256.bytes().all(|c| c.is_ascii_hexdigit());
        let size = u64::try_from(image.size_bytes).ok().filter(|_| known);
        let size =
            size.ok_or_else(|| VpsFault::terminal("image_unavailable", "The image's digest is malformed."))?;
        let started = Instant::now();
        tokio::fs::create_dir_all(&self.dir).await.map_err(|e| local(&e))?;
        let path = self.dir.join(&image.sha256);
        self.fetch(image, size, &path).await?;
        let fetched = started.elapsed();
        self.host.unpack(image, &path).await?;
        tracing::info!(image = image.sha256, size, ?fetched, all = ?started.elapsed(), "image ready");
        tokio::fs::remove_file(&path).await.map_err(|e| local(&e))
    }

    async fn fetch(&self, image: &ImageRef, size: u64, path: &std::path::Path) -> Result<(), Fault> {
        let Some(link) = &self.link else {
            return Err(VpsFault::passing(
                "image_unavailable",
                "There is no control plane to fetch it from.",
            ));
        };
        let (mut hash, mut have) = hash_of(path.to_owned()).await.map_err(|e| local(&e))?;
        if have > size {
            (hash, have) = (Sha256::new(), 0);
        }
        let resumed = have > 0;
        if have < size {
            let response = link.image(&image.sha256, have).await.map_err(|e| unreachable(&e))?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                (hash, have) = (Sha256::new(), 0);
            }
            let mut file = tokio::fs::OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(false)
                .open(path)
                .await
                .map_err(|e| local(&e))?;
            file.set_len(have).await.map_err(|e| local(&e))?;
            file.seek(std::io::SeekFrom::Start(have)).await.map_err(|e| local(&e))?;
            let mut body = response.bytes_stream();
            let came = loop {
                let chunk = match tokio::time::timeout(STALLED, body.next()).await {
                    Err(_) => break Err(stalled()),
                    Ok(None) => break Ok(()),
                    Ok(Some(chunk)) => chunk,
                };
                let chunk = match chunk {
                    Err(e) => break Err(unreachable(&e.into())),
                    Ok(chunk) => chunk,
                };
                have += chunk.len() as u64;
                if have > size {
                    break Ok(());
                }
                hash.update(&chunk);
                file.write_all(&chunk).await.map_err(|e| local(&e))?;
            };
            file.flush().await.map_err(|e| local(&e))?; // what came so far is where the next attempt goes on
            came?;
        }
        if have < size {
            let message = format!("The transfer of the image broke off after {have} of {size} bytes.");
            return Err(VpsFault::passing("image_unavailable", message));
        }
        let digest = hex::encode(hash.finalize());
        if have == size && digest == image.sha256 {
            return Ok(());
        }
        tokio::fs::remove_file(path).await.map_err(|e| local(&e))?;
        let message = "The image that the control plane sent is not the one that its digest names. It was \
                       thrown away; import the image again.";
        // What was there before may have been the bad part: once more, from the first byte.
        Err(VpsFault { terminal: !resumed, ..VpsFault::passing("image_digest_mismatch", message) })
    }
}

async fn hash_of(path: PathBuf) -> std::io::Result<(Sha256, u64)> {
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        match std::fs::File::open(&path) {
            Ok(mut file) => {
                let mut have = 0;
                let mut buffer = vec![0; 1 << 18];
                loop {
                    let n = std::io::Read::read(&mut file, &mut buffer)?;
                    if n == 0 {
                        return Ok((hash, have));
                    }
                    hash.update(&buffer[..n]);
                    have += n as u64;
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok((hash, 0)),
            Err(e) => Err(e),
        }
    });
    hashed.await.map_err(std::io::Error::other)?
}

fn local(e: &std::io::Error) -> Fault {
    if e.kind() == std::io::ErrorKind::StorageFull {
        let message = "The host's disk has no room for the image. Make room, or choose another host.";
        return VpsFault::terminal("disk_pool_full", message);
    }
    VpsFault::passing("image_unavailable", format!("The image cannot be written on the host: {e}."))
}

fn unreachable(e: &LinkError) -> Fault {
    VpsFault::passing("image_unavailable", format!("The image cannot be fetched: {e}."))
}

fn stalled() -> Fault {
    let message = format!("The transfer of the image stood still for {} s.", STALLED.as_secs());
    VpsFault::passing("image_unavailable", message)
}

#[cfg(test)]
mod tests;
