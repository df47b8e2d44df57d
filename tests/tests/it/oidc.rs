//! Signing in by a real provider, in a browser.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use berth_server::auth::provider::BACK;
use berth_tests::browser::Browser;
use berth_tests::node;
use berth_tests::world::World;

use super::dashboard::signed_in;

const ANNA: &str = "anna@harbour.example";
const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "a secret of the provider and us";

/// A provider that runs; ended when it is dropped.
struct Running(
    Child,
    String,
    #[expect(dead_code, reason = "it says more, and ends when nobody takes it")] BufReader<ChildStdout>,
);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn provider(berth: &str) -> Running {
    let mut child = node::script("provider.mjs")
        .env("OIDC_BACK", format!("{berth}{BACK}"))
        .env("OIDC_SECRET", SECRET)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node");
    let mut line = String::new();
    let mut said = BufReader::new(child.stdout.take().expect("piped"));
    said.read_line(&mut line).expect("its issuer");
    Running(child, line.trim().to_owned(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_browser() {
    let mut w = World::builder().hosts(0).named().start().await;
    signed_in(&w, ANNA, false, &["mine"]).await;
    let url = w.url(0);
    let there = provider(&url);
    assert!(there.1.starts_with("http://127.0.0.1:"), "{}", there.1);
    let secret = tempfile::NamedTempFile::new().expect("a file of our own");
    std::fs::write(secret.path(), format!("{SECRET}\n")).expect("a file of our own");
    let (issuer, file) = (there.1.clone(), secret.path().to_owned());
    w.restart_with(|config| {
        config.oidc_issuer = Some(issuer);
        config.oidc_client_id = Some("berth".into());
        config.oidc_client_secret_file = Some(file);
        config.oidc_name = "Harbour ID".into();
    })
    .await;

    let (issuer, admin) = (there.1.clone(), w.admin.token().to_owned());
    let run = tokio::task::spawn_blocking(move || {
        let mut node = node::tests(&["oidc.test.mjs"]);
        node.env("BERTH_URL", url).env("BERTH_EMAIL", ANNA).env("BERTH_PASSWORD", PASSWORD);
        node::run(node.env("OIDC_ISSUER", issuer).env("BERTH_ADMIN", admin));
    });
    run.await.expect("the browser's tests pass");

    for (code, count) in
        [("not let in", 1), ("unverified", 1), ("taken", 1), ("state", 2), ("code", 1), ("nonce", 1)]
    {
        let sql = format!(
            "select count(*) from audit where event = 'session.refused' and after ->> 'provider' = '{code}'
               and source is not null"
        );
        assert_eq!(w.scalar(&sql).await, count, "{code}");
    }
    let linked = format!("select count(*) from audit where event = 'identity.created' and actor = '{ANNA}'");
    assert_eq!(w.scalar(&linked).await, 1);
    assert_eq!(
        w.scalar("select count(*) from users where email = 'grace@harbour.example' and not has_password")
            .await,
        1
    );
    let all = "select count(*) from users where email like '%@harbour.example'";
    assert_eq!(w.scalar(all).await, 2, "and nobody else");

    // Without the provider Berth starts, says that it is away, and signs in by password.
    drop(there);
    w.restart_server(0).await;
    let browser = Browser::new(w.url(0));
    assert!(browser.get("/sign-in/provider").await.expect(502).contains("does not answer"));
    browser.sign_in(ANNA, PASSWORD).await;
    w.finish().await;
}

#[tokio::test]
async fn without_a_provider_there_is_no_such_page() {
    let w = World::builder().hosts(0).start().await;
    let anna = signed_in(&w, ANNA, false, &["mine"]).await;
    for path in ["/sign-in/provider", "/sign-in/provider/back?code=x&state=y"] {
        anna.get(path).await.expect(404);
    }
    anna.post("/account/provider/link", &[("password", PASSWORD)]).await.expect(404);
    assert!(!anna.get("/account").await.expect(200).contains("provider"));
    w.finish().await;
}
