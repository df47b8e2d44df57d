//! Images from LXC image servers: a directory or a URL with a simplestreams index, honest and hostile.

use std::path::Path;
use std::sync::{Arc, Mutex};

use berth_tests::world::World;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The first bytes of a squashfs; nothing of it is read here.
const SQUASHFS: &[u8] = b"hsqs and more";

fn piece(path: &str, content: &[u8]) -> Value {
    json!({"ftype": "squashfs", "path": path, "size": content.len(), "sha256": hex(content)})
}

fn hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lays out an image server with one image, whose root file system is described by `item`.
fn lay_out(root: &Path, item: &Value) {
    std::fs::create_dir_all(root.join("streams/v1")).expect("a directory");
    std::fs::create_dir_all(root.join("images/a")).expect("a directory");
    std::fs::write(root.join("images/a/rootfs.squashfs"), SQUASHFS).expect("a file");
    let index = json!({"format": "index:1.0", "index": {"images": {
        "datatype": "image-downloads", "path": "streams/v1/images.json", "products": ["alpine:3.19:amd64:cloud"]}}});
    let images = json!({"format": "products:1.0", "products": {"alpine:3.19:amd64:cloud": {
        "aliases": "alpine/3.19/cloud", "arch": "amd64", "os": "Alpine", "release": "3.19", "variant": "cloud",
        "versions": {"20240110_13:00": {"items": {"root.squashfs": item}}}}}});
    std::fs::write(root.join("streams/v1/index.json"), index.to_string()).expect("a file");
    std::fs::write(root.join("streams/v1/images.json"), images.to_string()).expect("a file");
}

fn wanted(server: &str) -> Value {
    json!({"server": server, "image": "alpine/3.19/cloud", "architecture": "amd64"})
}

#[tokio::test]
async fn an_image_comes_from_a_directory_with_what_is_known_of_it() {
    let w = World::builder().hosts(0).start().await;
    let dir = tempfile::tempdir().expect("a directory");
    lay_out(dir.path(), &piece("images/a/rootfs.squashfs", SQUASHFS));
    let server = dir.path().to_str().expect("plain");
    let mut body = wanted(server);
    body["stop_signal"] = "SIGUSR2".into();
    body["default_user"] = "alpine".into();
    let image = w.admin.post("/admin/v1/images/from_server", body).await.expect(201)["image"].take();
    assert_eq!(image["name"], "alpine-3.19-cloud");
    assert_eq!(image["format"], "squashfs");
    assert_eq!(image["sha256"], hex(SQUASHFS));
    assert_eq!((&image["os_flavor"], &image["os_version"]), (&json!("unknown"), &json!("3.19")));
    assert_eq!(image["cloud_init"], true);
    assert_eq!((&image["stop_signal"], &image["default_user"]), (&json!("SIGUSR2"), &json!("alpine")));
    // Tenants see it, in the words of their API.
    let offered = w.api.get("/v1/images?name=alpine-3.19-cloud").await.expect(200);
    assert_eq!(offered["images"].as_array().map(Vec::len), Some(1));

    for (field, value, wrong) in [
        ("image", json!("alpine/9"), "image"),
        ("architecture", json!("riscv64"), "image"),
        ("version", json!("20200101"), "image"),
        ("server", json!("images.example"), "server"),
        ("server", json!("/nowhere"), "server"),
        ("name", json!("A B"), "name"),
        ("stop_signal", json!("SIGKILL"), "stop_signal"),
        ("default_user", json!("../root"), "default_user"),
    ] {
        let mut body = wanted(server);
        body[field] = value;
        let answer = w.admin.post("/admin/v1/images/from_server", body.clone()).await;
        assert_eq!(answer.wrong_fields(), [wrong], "{body}");
    }
    w.finish().await;
}

#[tokio::test]
async fn a_hostile_index_brings_nothing_in() {
    let w = World::builder().hosts(0).start().await;
    let before = w.admin.get("/admin/v1/images").await.expect(200)["images"].take();
    let good = piece("images/a/rootfs.squashfs", SQUASHFS);
    let with = |field: &str, value: Value| {
        let mut item = good.clone();
        item[field] = value;
        item
    };
    for (item, field) in [
        (with("path", json!("../../../../etc/rootfs.squashfs")), "server"),
        (with("path", json!("/etc/rootfs.squashfs")), "server"),
        (with("path", json!("images/a/missing.squashfs")), "server"),
        (with("sha256", json!("0".repeat(64))), "sha256"),
        (with("sha256", Value::Null), "server"),
        (with("size", json!(5)), "image"),
        (with("size", json!(50)), "image"),
        (with("size", json!(1_u64 << 60)), "server"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        lay_out(dir.path(), &item);
        let body = wanted(dir.path().to_str().expect("plain"));
        let answer = w.admin.post("/admin/v1/images/from_server", body).await;
        assert_eq!(answer.wrong_fields(), [field], "{item}");
    }
    let after = w.admin.get("/admin/v1/images").await.expect(200)["images"].take();
    assert_eq!(after, before);
    w.finish().await;
}

#[tokio::test]
async fn an_image_comes_from_a_url_and_redirects_are_not_followed() {
    let w = World::builder().hosts(0).start().await;
    let dir = tempfile::tempdir().expect("a directory");
    lay_out(dir.path(), &piece("images/a/rootfs.squashfs", SQUASHFS));
    let redirect = Arc::new(Mutex::new(false));
    let url = serve(dir.path().to_owned(), redirect.clone()).await;
    let image = w.admin.post("/admin/v1/images/from_server", wanted(&url)).await.expect(201)["image"].take();
    assert_eq!(image["sha256"], hex(SQUASHFS));

    *redirect.lock().expect("no panic holds it") = true;
    let answer = w.admin.post("/admin/v1/images/from_server", wanted(&url)).await;
    let text = answer.body.to_string();
    assert_eq!(answer.wrong_fields(), ["server"]);
    assert!(text.contains("redirects to") && text.contains("elsewhere.example"), "{text}");
    w.finish().await;
}

/// A plain HTTP server of a directory; it sends everybody elsewhere while `redirect` is set.
async fn serve(root: std::path::PathBuf, redirect: Arc<Mutex<bool>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                request.push(byte);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let away = *redirect.lock().expect("no panic holds it");
            let (head, body) = match std::fs::read(root.join(path)) {
                _ if away => ("302 Found\r\nlocation: http://elsewhere.example/x".to_owned(), Vec::new()),
                Ok(body) => ("200 OK".to_owned(), body),
                Err(_) => ("404 Not Found".to_owned(), Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    url
}
