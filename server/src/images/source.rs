//! Where an image server is: a URL, or a directory that holds the same files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::{Error, Result};

/// A transfer that brings nothing for this long is given up.
const STALLED: Duration = Duration::from_secs(60);

/// An open file of a [`Source`].
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// An image server.
#[derive(Clone, Debug)]
pub enum Source {
    /// On the network.
    Url(String, reqwest::Client),
    /// A directory of this machine.
    Directory(PathBuf),
}

/// A client that follows no redirects: what an operator named is where images come from.
///
/// # Errors
/// Internal when no client can be made.
pub fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(20))
        .read_timeout(STALLED)
        .redirect(reqwest::redirect::Policy::none());
    Ok(client.build().map_err(anyhow::Error::from)?)
}

impl Source {
    /// Reads what an operator wrote.
    ///
    /// # Errors
    /// `invalid_input` when it is neither an http or https URL nor an absolute path.
    pub fn parse(server: &str) -> Result<Self> {
        if server.starts_with("http://") || server.starts_with("https://") {
            let root = server.trim_end_matches('/').to_owned();
            if root.contains(['?', '#']) || root.bytes().any(|c| c.is_ascii_control() || c == b' ') {
                return Err(bad(format!("{server} is no root of an image server")));
            }
            return Ok(Self::Url(root, client()?));
        }
        let path = Path::new(server.strip_prefix("file://").unwrap_or(server));
        if path.is_absolute() {
            return Ok(Self::Directory(path.to_owned()));
        }
        Err(bad("must be an http or https URL, or the absolute path of a directory".into()))
    }

    /// Opens a file by its path below the root.
    ///
    /// # Errors
    /// `invalid_input` that says what could not be reached, and why.
    pub async fn open(&self, path: &str) -> Result<Reader> {
        match self {
            Self::Url(root, http) => fetch(http, &format!("{root}/{path}")).await,
            Self::Directory(root) => {
                let (root, path) = (root.clone(), path.to_owned());
                let shown = root.join(&path).display().to_string();
                let opened = tokio::task::spawn_blocking(move || beneath(&root, &path)).await;
                let file = opened.map_err(anyhow::Error::from)?;
                Ok(Box::pin(tokio::fs::File::from_std(
                    file.map_err(|e| bad(format!("cannot read {shown}: {e}")))?,
                )))
            }
        }
    }

    /// Reads a small file whole.
    ///
    /// # Errors
    /// `invalid_input` when it cannot be reached or is larger than `most` bytes.
    pub async fn read(&self, path: &str, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.open(path).await?.take(most + 1).read_to_end(&mut bytes).await;
        read.map_err(|e| bad(format!("{path} broke off: {e}")))?;
        if bytes.len() as u64 > most {
            return Err(bad(format!("{path} is larger than {most} bytes")));
        }
        Ok(bytes)
    }
}

/// Asks for one file, and says where a redirect leads instead of going there.
async fn fetch(http: &reqwest::Client, url: &str) -> Result<Reader> {
    let failed = |e: reqwest::Error| bad(format!("cannot fetch {url}: {}", e.without_url()));
    let response = http.get(url).send().await.map_err(failed)?;
    if response.status().is_redirection() {
        let to = response.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        let to: String = to.chars().take(300).collect();
        let message =
            format!("{url} redirects to {to:?}, which is not followed; if you trust that server, name it");
        return Err(bad(message));
    }
    let body = response.error_for_status().map_err(failed)?.bytes_stream().map_err(io::Error::other);
    Ok(Box::pin(tokio_util::io::StreamReader::new(body)))
}

/// A regular file below a directory; no link leads out of it.
fn beneath(root: &Path, path: &str) -> io::Result<File> {
    let root = File::open(root)?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = File::from(openat2(&root, path, how)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

fn bad(message: String) -> Error {
    Error::invalid("server", message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_urls_and_absolute_paths_are_servers() {
        let _ = rustls::crypto::ring::default_provider().install_default(); // the server does so when it starts
        for good in
            ["https://images.example", "http://127.0.0.1:8000/lxc/", "/srv/images", "file:///srv/images"]
        {
            assert!(Source::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "images.example", "ftp://x", "../x", "https://x/?a=b", "https://x/ y"] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_directory_is_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let (root, secret) = (dir.path().join("root"), dir.path().join("secret"));
        std::fs::create_dir(&root).unwrap();
        std::fs::write(&secret, "secret").unwrap();
        std::fs::write(root.join("file"), "content").unwrap();
        symlink("file", root.join("inner")).unwrap();
        symlink(&secret, root.join("outer")).unwrap();
        let source = Source::parse(root.to_str().unwrap()).unwrap();
        assert_eq!(source.read("file", 7).await.unwrap(), b"content");
        assert_eq!(source.read("inner", 7).await.unwrap(), b"content");
        assert!(source.read("file", 6).await.unwrap_err().to_string().contains("larger"));
        for path in ["outer", "../secret", "missing", "."] {
            assert!(source.read(path, 100).await.is_err(), "{path}");
        }
    }
}
