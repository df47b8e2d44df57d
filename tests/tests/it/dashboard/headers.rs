//! The headers of the dashboard's answers as a published checker rates them (shcheck, from PyPI: `deploy/checker.sh`).

use std::path::Path;

use berth_tests::world::World;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{project, server, signed_in};

#[tokio::test]
async fn a_published_checker_finds_no_header_missing() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/header-checker/bin/shcheck.py");
    assert!(program.exists(), "{} is missing: run deploy/checker.sh header", program.display());
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", true, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &browser, "web").await;
    let session = browser.cookie("/", "berth_session").expect("a session");
    for path in
        ["/sign-in", "/nothing", "/account", "/fleet/hosts", &format!("/projects/{mine}/servers/{id}")]
    {
        let url = format!("{}{path}", w.url(0));
        let mut checker = Command::new(program.with_file_name("python"));
        checker.arg(&program).args(["--json-output", "--use-get-method", "--no-follow", "--information"]);
        if path != "/sign-in" {
            checker.args(["--cookie", &format!("berth_session={session}")]); // it leads who is signed in elsewhere
        }
        checker.arg(&url);
        let out = checker.output().await.expect("the checker runs");
        let told = String::from_utf8_lossy(&out.stdout);
        let rated: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {told}"));
        let rated =
            rated.as_object().and_then(|all| all.values().next()).unwrap_or_else(|| panic!("{path}: {told}"));
        assert!(rated["present"].as_object().is_some_and(|p| p.len() >= 5), "{path}: {rated}");
        assert_eq!(rated["missing"], json!([]), "{path}: {rated}");
        assert_eq!(rated["information_disclosure"], json!({}), "{path}: {rated}");
    }
    w.finish().await;
}
