//! The dashboard with real guests behind it: people walk through it in a browser (`tests/browser/walk.test.mjs`, `operator.test.mjs`).

use std::sync::Arc;
use std::time::Duration;

use berth_agent::agent::{Agent, AgentConfig};
use berth_agent::sim::{Behaviour, SimHost};
use berth_tests::e2e::cell::Cell;
use berth_tests::mail::Catcher;
use berth_tests::node;
use serde_json::json;

const EMAIL: &str = "operator@berth.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_tenant() {
    let mail = Catcher::start().await;
    let mails = tempfile::tempdir().expect("a directory of our own");
    let filing = mail.file_in(mails.path().to_owned());
    let settings =
        vec![("BERTH_SMTP_URL", mail.url()), ("BERTH_MAIL_FROM", "berth@berth.example".to_owned())];
    let cell = Cell::with_settings(1, settings).await;
    cell.control.larger_plan().await;
    cell.control.api.put("/admin/v1/settings", json!({"sign_up": "open"})).await.expect(200);
    let (url, dir) = (cell.api.base().to_owned(), mails.path().to_owned());
    let walk = tokio::task::spawn_blocking(move || {
        node::run(node::tests(&["walk.test.mjs"]).env("BERTH_URL", url).env("BERTH_MAILS", dir));
    });
    walk.await.expect("the browser's tests pass");
    filing.abort();
    cell.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_day_of_an_operator() {
    let mut cell = Cell::start(1).await;
    let made = cell.create("tenant-web", &cell.images[0].clone(), true).await;
    let password = cell.operator(EMAIL);
    let hands = tempfile::tempdir().expect("a directory of our own");
    let (url, dir) = (cell.api.base().to_owned(), hands.path().to_owned());
    let walk = tokio::task::spawn_blocking(move || {
        let mut node = node::tests(&["operator.test.mjs"]);
        node.env("BERTH_URL", url).env("BERTH_HANDS", dir);
        node::run(node.env("BERTH_EMAIL", EMAIL).env("BERTH_PASSWORD", password));
    });
    tokio::pin!(walk);
    let mut simulated = None;
    loop {
        tokio::select! {
            ended = &mut walk => break ended.expect("the browser's tests pass"),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        for name in ["quay-1", "sim-1"] {
            let file = hands.path().join(format!("enrol-{name}"));
            let Ok(command) = std::fs::read_to_string(&file) else { continue };
            let token = command.split_whitespace().max_by_key(|word| word.len()).expect("a command");
            if name == "quay-1" {
                let hosts = cell.control.api.get("/admin/v1/hosts").await.expect(200);
                let mut all = hosts["hosts"].as_array().expect("a list").iter();
                let id = all.find(|host| host["name"] == name).and_then(|host| host["id"].as_i64());
                cell.adopt(id.expect("the page made it"), token).await;
            } else {
                let state = cell.dir.join("simulated");
                std::fs::create_dir_all(&state).expect("a directory of the test's");
                let enrol_token = Some(token.parse().expect("an enrolment token"));
                let config = AgentConfig { enrol_token, pace: 0.05, ..AgentConfig::new(state) };
                let sim = Arc::new(SimHost::new(Behaviour::default()));
                simulated = Some(Agent::start(config, sim).await.expect("the agent starts"));
            }
            std::fs::remove_file(file).expect("our own file");
        }
    }
    simulated.expect("it was enrolled").stop().await;
    cell.delete(made.id).await;
    cell.finish().await;
}
