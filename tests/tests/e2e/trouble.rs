//! What a host cannot do is said, with what to do about it, and leaves nothing.

use std::process::Command;

use berth_tests::e2e::cell::{Cell, order};
use berth_tests::e2e::netns::run;
use berth_tests::e2e::snapshot::Snapshot;
use serde_json::Value;

/// Creates a server that cannot be made and returns what its action says; nothing of it may be left.
async fn fails(cell: &Cell, before: &Snapshot, name: &str, image: &str) -> Value {
    let created = cell.api.post("/v1/servers", order(name, image, true)).await.expect(201);
    let action = cell.api.ended(&created["action"]).await;
    assert_eq!(action["status"], "error", "{action}");
    cell.api.server_is_gone(created["server"]["id"].as_i64().expect("an id")).await;
    cell.hosts[0].holds_no_more_than(before);
    action["error"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_pool_is_an_error_of_the_action() {
    // The state directory is a file system of its own that can be filled without harm.
    let mut cell = Cell::start(0).await;
    let pool = cell.dir.join("pool.ext4");
    run(Command::new("truncate").args(["-s", "12G"]).arg(&pool));
    run(Command::new("mkfs.ext4").args(["-q", "-E", "lazy_itable_init=1,nodiscard"]).arg(&pool));
    let state = cell.dir.join("h1");
    std::fs::create_dir(&state).expect("the host's directory is new");
    run(Command::new("mount").args(["-o", "loop"]).arg(&pool).arg(&state));
    cell.add_host().await;
    let image = cell.images[0].clone();
    let neighbour = cell.create("neighbour", &image, true).await;
    assert_eq!(cell.guest(&neighbour).boot_state(), "running");

    let filler = state.join("filler");
    let free = run(Command::new("stat").args(["-f", "-c", "%a %S"]).arg(&state));
    let mut numbers = free.split_whitespace().map(|n| n.parse::<u64>().expect("a number"));
    let bytes = numbers.next().expect("blocks") * numbers.next().expect("size");
    run(Command::new("fallocate").args(["-l", &(bytes - (1 << 20)).to_string()]).arg(&filler));
    let before = cell.hosts[0].snapshot();
    let error = fails(&cell, &before, "web", &image).await;
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("full") || message.contains("space"), "{error}");
    assert_eq!(
        cell.guest(&neighbour).ssh("systemctl is-system-running"),
        "running\n",
        "the neighbour runs on"
    );

    std::fs::remove_file(&filler).expect("the filler is ours");
    let made = cell.create("web", &image, true).await;
    assert_eq!(cell.guest(&made).boot_state(), "running", "it works when there is room again");
    cell.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_was_tampered_with_is_refused() {
    let mut cell = Cell::start(1).await;
    let file = cell.dir.join("damaged.tar.zst");
    run(Command::new("sh").arg("-c").arg(format!(
        "mkdir -p {0}/fake/sbin && head -c 100000 /dev/urandom > {0}/fake/sbin/init && tar -C {0}/fake -c . | zstd -q > {1}",
        cell.dir.display(),
        file.display()
    )));
    let before = cell.hosts[0].snapshot();
    // The host fetches when the image is announced: keep it away until the archive was tampered with.
    cell.hosts[0].stop_agent();
    let image = cell.control.image("damaged", &file).await;
    let sha256 = image["sha256"].as_str().expect("an image has a digest");
    let stored = cell.dir.join("server/images").join(sha256);
    let mut bytes = std::fs::read(&stored).expect("the server keeps it by its digest");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&stored, bytes).expect("the test may do this, being root");
    cell.hosts[0].start_agent(None);
    let error = fails(&cell, &before, "web", "damaged").await;
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("sha256") || message.contains("digest"), "{error}");

    // Gone altogether: the same answer in other words.
    std::fs::remove_file(&stored).expect("the test may do this");
    let error = fails(&cell, &before, "web", "damaged").await;
    assert!(error["message"].as_str().is_some_and(|m| m.contains("image")), "{error}");
    cell.create("web", &cell.images[0], true).await;
    cell.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_mirror_is_said_to_the_operator() {
    let cell = Cell::start(0).await;
    let digest = "0".repeat(64);
    let answer = cell.control.import_url("far", "http://127.0.0.1:9/debian.tar.zst", &digest).await;
    assert!(answer.status >= 400, "{answer:?}");
    let message = answer.body["error"]["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("mirror") || message.contains("fetch"), "{message}");
    cell.finish().await;
}
