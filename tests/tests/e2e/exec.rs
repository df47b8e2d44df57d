//! A program and files in a real guest, through the whole house, with an agent that dies meanwhile.

use berth_proto::{ExecEnd, close};
use berth_tests::e2e::cell::Cell;
use berth_tests::exec::Exec;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_in_a_guest_outlives_the_agent_and_files_come_and_go() {
    let mut cell = Cell::start(1).await;
    let made = cell.create("web", &cell.images[0].clone(), false).await;
    let id = made.id;
    let ended = ExecEnd { code: Some(0), signal: None };

    let mut run = Exec::run(&cell.api, id, json!({"argv": ["sh", "-c", "id -u; hostname; exit 0"]})).await;
    assert_eq!((run.ended().await, run.out.as_str()), (ended, "0\nweb\n"));

    let tty = json!({"argv": ["bash"], "tty": {"cols": 101, "rows": 33}});
    let mut shell = Exec::run(&cell.api, id, tty).await;
    // A prompt means that the shell has its terminal.
    shell.shows("# ").await;
    shell.input("stty size | rev\r").await;
    shell.shows("101 33").await;
    let (session, seen) = (shell.session.clone(), shell.out.len());
    cell.hosts[0].kill_agent();
    assert_eq!(shell.closed().await.0, close::LOST);
    cell.hosts[0].start_agent(None);
    let mut shell = Exec::attach(&cell.api, id, &session, u64::try_from(seen).expect("small")).await;
    shell.input("echo $((6 * 7))-again\r").await;
    shell.shows("42-again").await;
    shell.input("exit 5\r").await;
    assert_eq!(shell.ended().await, ExecEnd { code: Some(5), signal: None });

    let http = reqwest::Client::new();
    let url = format!("{}/berth/v1/servers/{id}/files?path=/root/large", cell.api.base());
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 253) as u8).collect();
    let put =
        http.put(&url).bearer_auth(cell.api.token()).body(large.clone()).send().await.expect("an answer");
    assert_eq!(put.status().as_u16(), 204);
    let got = http.get(&url).bearer_auth(cell.api.token()).send().await.expect("an answer");
    assert!(got.bytes().await.expect("all of it") == large);
    cell.finish().await;
}
