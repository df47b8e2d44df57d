//! The dashboard in a real browser: tests/browser, against a world with a simulated host.
//!
//! Chromium and Node come with the machine, the rest with the lockfile. `BERTH_SCREENSHOTS=dir` keeps pictures of the pages.

use std::time::Duration;

use berth_server::db;
use berth_server::domain::names::{Email, Password};
use berth_server::domain::roles::Role;
use berth_server::ids::ProjectId;
use berth_tests::node;
use berth_tests::world::World;

const EMAIL: &str = "operator@berth.example";
const PASSWORD: &str = "correct horse battery";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_light() {
    let mut w = World::start().await;
    let app = w.app();
    let (email, password) =
        (Email::parse(EMAIL).expect("address"), Password::parse(PASSWORD).expect("password"));
    let user = db::users::create(&app.db, &app.passwords, &email, "", &password, true).await.expect("user");
    let mine = db::projects::find(&app.db, "mine").await.expect("projects").expect("the project");
    db::projects::add_member(&app.db, ProjectId(mine.id.0), user.id, Role::Owner).await.expect("member");

    let url = w.url(0);
    let restart = tempfile::tempdir().expect("a directory of our own");
    let asked = restart.path().to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let mut node = node::tests(&["first-light.test.mjs", "console.test.mjs", "restart.test.mjs"]);
        node.env("BERTH_URL", url).env("BERTH_EMAIL", EMAIL).env("BERTH_PASSWORD", PASSWORD);
        node::run(node.env("BERTH_RESTART", asked));
    });
    // A file in this directory asks for a restart of the server, and is gone when it is back.
    tokio::pin!(run);
    loop {
        tokio::select! {
            ended = &mut run => break ended.expect("the browser's tests pass"),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        let file = restart.path().join("now");
        if file.exists() {
            w.restart_server(0).await;
            std::fs::remove_file(file).expect("our own file");
        }
    }
    w.finish().await;
}
