//! The dashboard with real guests behind it: people walk through it in a browser (`tests/browser/walk.test.mjs`).

use berth_tests::e2e::cell::Cell;
use berth_tests::mail::Catcher;
use berth_tests::node;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_tenant() {
    let mail = Catcher::start().await;
    let mails = tempfile::tempdir().expect("a directory of our own");
    let filing = mail.file_in(mails.path().to_owned());
    let settings = vec![("BERTH_SMTP_URL", mail.url()), ("BERTH_MAIL_FROM", "berth@berth.example".to_owned())];
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
