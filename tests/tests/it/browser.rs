//! The dashboard in a real browser: tests/browser, against a world with a simulated host.
//!
//! Chromium and Node come with the machine, the rest with the lockfile. `BERTH_SCREENSHOTS=dir` keeps pictures of the pages.

use std::path::Path;
use std::process::{Command, Stdio};

use berth_server::db;
use berth_server::domain::names::{Email, Password};
use berth_server::domain::roles::Role;
use berth_server::ids::ProjectId;
use berth_tests::world::World;

const EMAIL: &str = "operator@berth.example";
const PASSWORD: &str = "correct horse battery";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_light() {
    let w = World::start().await;
    let app = w.app();
    let (email, password) =
        (Email::parse(EMAIL).expect("address"), Password::parse(PASSWORD).expect("password"));
    let user = db::users::create(&app.db, &app.passwords, &email, "", &password, true).await.expect("user");
    let mine = db::projects::find(&app.db, "mine").await.expect("projects").expect("the project");
    db::projects::add_member(&app.db, ProjectId(mine.id.0), user.id, Role::Owner).await.expect("member");

    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let url = w.url(0);
    let run = tokio::task::spawn_blocking(move || {
        if !dir.join("node_modules/.package-lock.json").exists() {
            run(Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&dir));
        }
        let mut node = Command::new("node");
        node.args([
            "--test",
            "--test-reporter=spec",
            "--test-concurrency=1",
            "first-light.test.mjs",
            "console.test.mjs",
        ])
        .current_dir(&dir);
        run(node.env("BERTH_URL", url).env("BERTH_EMAIL", EMAIL).env("BERTH_PASSWORD", PASSWORD));
    });
    run.await.expect("the browser's tests pass");
    w.finish().await;
}

fn run(command: &mut Command) {
    let out = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let told = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    println!("{told}");
    assert!(out.status.success(), "{command:?} failed:\n{told}");
}
