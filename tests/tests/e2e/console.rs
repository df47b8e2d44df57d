//! The console of a real guest, through the whole house: a login, a window, and an agent that dies meanwhile.

use berth_proto::close;
use berth_tests::console::Console;
use berth_tests::e2e::cell::Cell;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_signs_in_on_the_console_and_finds_it_again_after_the_agent_died() {
    let mut cell = Cell::start(1).await;
    let made = cell.create("web", &cell.images[0].clone(), false).await;
    let password = made.password.clone().expect("without a key there is a password");
    let mut console = Console::of(&cell.api, made.id).await;
    console.shows("login:").await;
    console.keys("root\r").await;
    console.shows("Password:").await;
    console.keys(&format!("{password}\r")).await;
    console.shows("root@web").await;
    assert!(!console.shown.contains(&password), "a password is not echoed");
    console.keys("echo $((6 * 7))-is-the-answer\r").await;
    console.shows("42-is-the-answer").await;

    console.resize(123, 45).await;
    // The size travels by another way than the keys, so it may come a moment later than they.
    console.keys("until [ \"$(stty size)\" = '45 123' ]; do sleep 0.1; done; stty size | rev\r").await;
    console.shows("321 54").await;

    // Whoever shouts is still heard at the end, though not every word.
    console.keys("seq 1 300000; echo $((1 + 1))-done\r").await;
    console.shows("2-done").await;

    let mut second = Console::of(&cell.api, made.id).await;
    second.shows("2-done").await;
    second.keys("echo $((5 * 5))-for-both\r").await;
    second.shows("25-for-both").await;
    console.shows("25-for-both").await;

    cell.hosts[0].kill_agent();
    assert_eq!(console.closed().await.0, close::LOST);
    assert_eq!(second.closed().await.0, close::LOST);
    cell.hosts[0].start_agent(None);
    let mut console = Console::of(&cell.api, made.id).await;
    console.shows("25-for-both").await; // the monitor has kept it
    console.keys("echo $((7 * 7))-again\r").await;
    console.shows("49-again").await;

    console.keys("systemctl poweroff\r").await;
    let (code, reason) = console.closed().await;
    assert_eq!(code, close::ENDED, "{reason}");
    cell.finish().await;
}
