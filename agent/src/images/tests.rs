//! Transfers from a small HTTP server that can be told to misbehave.

use std::sync::atomic::{AtomicUsize, Ordering};

use berth_proto::{ArchiveFormat, ImageId};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::sim::{Behaviour, SimHost};

/// How the server treats the next request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// As asked.
    Fair,
    /// Breaks off after so many bytes.
    Cut(usize),
    /// Sends from the first byte on, whatever was asked.
    NoRange,
    /// Sends other bytes.
    Lie,
    /// Says that there is no such image.
    Missing,
}

struct Rig {
    dir: tempfile::TempDir,
    host: SimHost,
    images: Images<SimHost>,
    image: ImageRef,
    requests: Arc<Mutex<Vec<Option<usize>>>>,
    manners: Arc<Mutex<Vec<Manner>>>,
}

impl Rig {
    /// A host without templates and a server that treats the next requests in these manners, and later ones fairly.
    async fn new(manners: &[Manner]) -> Self {
        let body: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let image = ImageRef {
            id: ImageId(1),
            sha256: hex::encode(Sha256::digest(&body)),
            size_bytes: i64::try_from(body.len()).unwrap(),
            format: ArchiveFormat::Tar,
            cloud_init: false,
            stop_signal: None,
            default_user: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let manners = Arc::new(Mutex::new(manners.iter().rev().copied().collect::<Vec<_>>()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (next, seen) = (manners.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let manner = next.lock().unwrap().pop().unwrap_or(Manner::Fair);
                tokio::spawn(serve(stream, manner, body.clone(), seen.clone()));
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let host = SimHost::new(Behaviour { needs_images: true, ..Behaviour::default() });
        let link = Arc::new(Link::plain(url));
        let images = Images::new(Arc::new(host.clone()), dir.path().join("downloads"), Some(link));
        Self { dir, host, images, image, requests, manners }
    }

    fn requests(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().clone()
    }

    async fn has_it(&self) -> bool {
        self.host.has_template(&self.image.sha256).await
    }

    fn download(&self) -> PathBuf {
        self.dir.path().join("downloads").join(&self.image.sha256)
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, body: Vec<u8>, seen: Arc<Mutex<Vec<Option<usize>>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap().to_lowercase();
    let range = request.split("range: bytes=").nth(1).and_then(|r| r.split('-').next());
    let from: Option<usize> = range.map(|r| r.parse().unwrap());
    seen.lock().unwrap().push(from);
    if manner == Manner::Missing {
        let _ = stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
        return;
    }
    let from = from.filter(|_| manner != Manner::NoRange);
    let mut rest = body[from.unwrap_or(0)..].to_vec();
    if manner == Manner::Lie {
        rest.iter_mut().for_each(|b| *b ^= 1);
    }
    let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", rest.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    let send = if let Manner::Cut(after) = manner { &rest[..after] } else { &rest };
    let _ = stream.write_all(send).await; // the agent may have gone
    let _ = stream.shutdown().await;
}

#[tokio::test]
async fn an_image_is_fetched_once_for_all_who_wait() {
    let rig = Rig::new(&[]).await;
    let (a, b, c) = tokio::join!(
        rig.images.ensure(&rig.image),
        rig.images.ensure(&rig.image),
        rig.images.ensure(&rig.image)
    );
    assert_eq!((a, b, c), (Ok(()), Ok(()), Ok(())));
    assert_eq!(rig.requests(), [None]);
    assert!(rig.has_it().await && !rig.download().exists());
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_broke() {
    let rig = Rig::new(&[Manner::Cut(300_000)]).await;
    let broke = rig.images.ensure(&rig.image).await.unwrap_err();
    assert_eq!((broke.code.as_str(), broke.terminal), ("image_unavailable", false));
    let have = std::fs::metadata(rig.download()).unwrap().len() as usize;
    assert!(have > 0 && have <= 300_000);
    assert_eq!(rig.images.ensure(&rig.image).await, Ok(()));
    assert_eq!(rig.requests(), [None, Some(have)]);
}

#[tokio::test]
async fn a_server_without_ranges_is_taken_from_the_first_byte() {
    let rig = Rig::new(&[Manner::Cut(300_000), Manner::NoRange]).await;
    assert!(rig.images.ensure(&rig.image).await.is_err());
    assert_eq!(rig.images.ensure(&rig.image).await, Ok(()));
}

#[tokio::test]
async fn another_file_than_its_digest_names_is_refused_for_good() {
    let rig = Rig::new(&[Manner::Lie]).await;
    let refused = rig.images.ensure(&rig.image).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.terminal), ("image_digest_mismatch", true));
    assert!(!rig.has_it().await && !rig.download().exists());
}

#[tokio::test]
async fn what_was_left_of_a_bad_transfer_is_no_verdict() {
    let rig = Rig::new(&[]).await;
    std::fs::create_dir_all(rig.download().parent().unwrap()).unwrap();
    std::fs::write(rig.download(), vec![7; 5000]).unwrap();
    let first = rig.images.ensure(&rig.image).await.unwrap_err();
    assert_eq!((first.code.as_str(), first.terminal), ("image_digest_mismatch", false));
    assert_eq!(rig.images.ensure(&rig.image).await, Ok(()));
    // More than there should be counts as nothing.
    let rig = Rig::new(&[]).await;
    std::fs::create_dir_all(rig.download().parent().unwrap()).unwrap();
    std::fs::write(rig.download(), vec![7; 900_000]).unwrap();
    assert_eq!(rig.images.ensure(&rig.image).await, Ok(()));
}

#[tokio::test]
async fn a_missing_image_or_mirror_is_a_passing_fault() {
    let rig = Rig::new(&[Manner::Missing]).await;
    let missing = rig.images.ensure(&rig.image).await.unwrap_err();
    assert_eq!((missing.code.as_str(), missing.terminal), ("image_unavailable", false));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let link = Arc::new(Link::plain(format!("http://{nobody}")));
    let images = Images::new(Arc::new(rig.host.clone()), rig.dir.path().join("d"), Some(link));
    assert_eq!(images.ensure(&rig.image).await.unwrap_err().code, "image_unavailable");
}

#[tokio::test]
async fn a_failure_is_shared_by_those_who_waited_for_it() {
    let rig = Rig::new(&[Manner::Missing]).await;
    let (a, b) = tokio::join!(rig.images.ensure(&rig.image), rig.images.ensure(&rig.image));
    assert!(a.is_err() && b.is_err());
    assert_eq!(rig.requests().len(), 1);
    assert_eq!(rig.images.ensure(&rig.image).await, Ok(()), "who asks later asks again");
}

#[tokio::test]
async fn a_digest_is_no_path() {
    let rig = Rig::new(&[]).await;
    let image = ImageRef { sha256: "../../etc/passwd".into(), ..rig.image.clone() };
    assert!(rig.images.ensure(&image).await.unwrap_err().terminal);
    assert!(rig.requests().is_empty());
}

#[tokio::test]
async fn what_should_stand_ready_is_fetched_and_tried_again() {
    let rig = Rig::new(&[]).await;
    let told = AtomicUsize::new(0);
    rig.images.want(std::slice::from_ref(&rig.image));
    let ready = async {
        while told.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = rig.images.keep_ready(|| { told.fetch_add(1, Ordering::Relaxed); }) => {}
        done = tokio::time::timeout(Duration::from_secs(20), ready) => done.unwrap(),
    }
    assert!(rig.has_it().await && rig.manners.lock().unwrap().is_empty());
}
