//! The data plane does not need the control plane.

use berth_tests::e2e::cell::Cell;
use berth_tests::e2e::guest::BOOT;
use berth_tests::wait::until_blocking;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_a_host_comes_back_without_its_server() {
    let mut cell = Cell::start(1).await;
    let image = cell.images[0].clone();
    let runs = cell.create("runs", &image, true).await;
    let off = cell.create("off", &image, true).await;
    let halted = cell.create("halted", &image, true).await;
    for made in [&runs, &off, &halted] {
        assert_eq!(cell.guest(made).boot_state(), "running");
        cell.guest(made).ssh("echo precious > /root/data; sync");
    }
    cell.act(off.id, "shutdown").await;
    cell.api.server_is(off.id, "off").await;
    let _ = cell.guest(&halted).try_ssh("systemctl poweroff");
    cell.api.server_is(halted.id, "off").await;

    cell.kill_server();
    cell.hosts[0].power_cut();
    assert_eq!(cell.hosts[0].first_processes(runs.id), [], "the power is cut");
    cell.hosts[0].start_agent(None);
    until_blocking("the guest to run again", BOOT, || {
        let found = cell.hosts[0].first_processes(runs.id);
        if found.len() == 1 { Ok(()) } else { Err(format!("{found:?}\n{}", cell.hosts[0].agent_log())) }
    });
    assert_eq!(cell.guest(&runs).boot_state(), "running");
    assert_eq!(cell.guest(&runs).ssh("cat /root/data"), "precious\n");

    // It reboots without the server too.
    let before = cell.hosts[0].first_processes(runs.id);
    let _ = cell.guest(&runs).try_ssh("systemctl reboot");
    until_blocking("a boot from inside", BOOT, || {
        let now = cell.hosts[0].first_processes(runs.id);
        if now.len() == 1 && now != before { Ok(()) } else { Err(format!("{now:?}")) }
    });
    assert_eq!(cell.guest(&runs).boot_state(), "running");
    for made in [&off, &halted] {
        assert_eq!(cell.hosts[0].first_processes(made.id), [], "what was off stays off");
    }

    cell.start_server(None).await;
    for (made, status) in [(&runs, "running"), (&off, "off"), (&halted, "off")] {
        cell.api.server_is(made.id, status).await;
    }
    cell.act(off.id, "poweron").await;
    assert_eq!(cell.guest(&off).ssh("cat /root/data"), "precious\n");
    cell.finish().await;
}
