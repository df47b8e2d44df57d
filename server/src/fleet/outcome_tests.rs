//! Tables of what follows from reports.

use berth_proto::{Exit, VpsFault, VpsId};

use super::*;

fn seen(generation: i64, state: VpsState) -> VpsObserved {
    VpsObserved::new(VpsId(1), generation, state)
}

fn wanted(generation: i64) -> Wanted {
    Wanted {
        id: 1,
        generation,
        host_seq: 10,
        power: Power::Running,
        boot_epoch: 1,
        password_epoch: 0,
        restart: RestartPolicy::OnFailure,
        deleting: false,
        deleted: false,
    }
}

fn waiting(command: &str, generation: i64, boot_epoch: i64) -> Waiting {
    Waiting { id: 7, command: command.into(), generation, boot_epoch, password_epoch: 0 }
}

fn fault(terminal: bool) -> Option<VpsFault> {
    Some(VpsFault { code: "disk_pool_full".into(), message: "add disks".into(), terminal })
}

#[test]
fn actions_end_by_what_was_seen() {
    use VpsState::{Absent, Creating, Running, Starting, Stopped, Stopping, Unknown};
    #[rustfmt::skip]
    let table = [
        // command, its generation and epoch; seen generation, state, epoch; ended?
        ("create_server", 1, 1, 1, Running, 1, true),
        ("create_server", 1, 1, 0, Running, 1, false),  // an answer to an older desired state
        ("create_server", 1, 1, 1, Starting, 1, false),
        ("create_server", 1, 1, 1, Creating, 0, false),
        ("create_server", 1, 1, 1, Unknown, 1, false),
        ("create_server", 1, 1, 1, Absent, 0, false),
        ("create_server", 1, 1, 1, Stopped, 1, true),   // ran, and has ended already
        ("create_server", 1, 1, 1, Stopped, 0, false),
        ("create_server", 1, 1, 2, Stopped, 0, true),   // was told to stop before it ever ran
        ("create_server", 1, 0, 1, Stopped, 0, true),   // start_after_create = false
        ("start_server", 4, 3, 4, Running, 3, true),
        ("start_server", 4, 3, 4, Running, 2, false),
        ("reboot_server", 4, 3, 4, Running, 2, false),
        ("reboot_server", 4, 3, 5, Running, 4, true),
        ("reset_server", 4, 3, 4, Running, 3, true),
        ("stop_server", 4, 0, 4, Stopped, 3, true),
        ("stop_server", 4, 0, 4, Stopping, 3, false),
        ("stop_server", 4, 0, 4, Running, 3, false),
        ("stop_server", 4, 0, 5, Running, 4, true),     // started again since
        ("shutdown_server", 4, 0, 3, Stopped, 3, false),
        ("shutdown_server", 4, 0, 4, Stopped, 3, true),
        ("delete_server", 4, 0, 4, Absent, 0, false),   // ends with Change::Gone
        ("change_dns_ptr", 0, 0, 4, Running, 3, false), // ends with what the name server says
        ("something_new", 4, 0, 4, Running, 0, true),
    ];
    for (command, generation, epoch, seen_generation, state, seen_epoch, ended) in table {
        let seen = VpsObserved { boot_epoch: seen_epoch, ..seen(seen_generation, state) };
        let got = outcome(&waiting(command, generation, epoch), &seen);
        assert_eq!(got, ended.then_some(Ok(())), "{command} {generation}/{epoch}, saw {seen:?}");
    }
}

#[test]
fn a_password_is_set_when_its_epoch_was_applied_or_the_server_is_off() {
    let action = Waiting { password_epoch: 2, ..waiting("reset_password", 5, 0) };
    let at = |epoch, state| outcome(&action, &VpsObserved { password_epoch: epoch, ..seen(5, state) });
    assert_eq!(at(1, VpsState::Running), None);
    assert_eq!(at(2, VpsState::Running), Some(Ok(())));
    assert_eq!(at(1, VpsState::Stopped), Some(Ok(())));
}

#[test]
fn only_a_terminal_fault_of_this_generation_ends_an_action() {
    let action = waiting("start_server", 4, 3);
    let failed =
        |generation, terminal| VpsObserved { fault: fault(terminal), ..seen(generation, VpsState::Stopped) };
    assert_eq!(outcome(&action, &failed(3, true)), None);
    assert_eq!(outcome(&action, &failed(4, false)), None);
    assert_eq!(outcome(&action, &failed(4, true)), Some(Err(("disk_pool_full".into(), "add disks".into()))));
}

#[test]
fn a_create_that_fails_for_good_is_rolled_back() {
    let seen = VpsObserved { fault: fault(true), ..seen(1, VpsState::Absent) };
    let decision = decide(&wanted(1), &[waiting(CREATE, 1, 1)], &seen, 10);
    let reason = Change::RollBack { code: "disk_pool_full".into(), message: "add disks".into() };
    assert_eq!(decision, Decision { change: Some(reason), ..Decision::default() });
    // the same fault of a server that stands already leaves it alone
    let decision = decide(&wanted(1), &[waiting("start_server", 1, 1)], &seen, 10);
    assert_eq!(decision.change, None);
    assert!(matches!(&decision.ended[..], [(7, Err(_))]));
}

#[test]
fn a_tombstone_is_confirmed_by_its_own_generation_only() {
    let row = Wanted { deleting: true, ..wanted(3) };
    let change = |seen| decide(&row, &[waiting(DELETE, 3, 0)], &seen, 10);
    assert_eq!(change(seen(2, VpsState::Absent)), Decision::default());
    assert_eq!(change(seen(3, VpsState::Stopping)), Decision::default());
    assert_eq!(change(seen(3, VpsState::Absent)), gone_for_good());
}

#[test]
fn what_a_full_report_does_not_name() {
    let deleting = Wanted { deleting: true, ..wanted(3) };
    let change = |row: &Wanted, watch_seq| missing(row, watch_seq, true).change;
    assert_eq!(change(&deleting, 9), None, "the agent has not seen the tombstone");
    assert_eq!(change(&deleting, 10), Some(Change::Gone));
    assert_eq!(change(&wanted(3), 10), None, "never deleted without a tombstone");
    assert!(missing(&wanted(3), 10, true).lost);
    assert!(!missing(&wanted(3), 10, false).lost, "was never there");
    assert!(!missing(&wanted(3), 9, true).lost);
}

#[test]
fn a_deleted_server_that_comes_back_gets_its_tombstone_again() {
    let row = Wanted { deleting: true, deleted: true, ..wanted(3) };
    let sent_again = |seen: VpsObserved, watch_seq| match decide(&row, &[], &seen, watch_seq).change {
        Some(Change::Rewrite(row)) => Some(row.generation),
        other => {
            assert_eq!(other, None);
            None
        }
    };
    let orphan = |state| VpsObserved { orphan: true, ..seen(2, state) };
    assert_eq!(sent_again(orphan(VpsState::Running), 10), Some(4));
    assert_eq!(sent_again(orphan(VpsState::Running), 9), None, "the tombstone is on its way");
    assert_eq!(sent_again(orphan(VpsState::Absent), 10), None);
    assert_eq!(sent_again(seen(3, VpsState::Stopping), 10), None, "it is being deleted");
    assert_eq!(sent_again(seen(5, VpsState::Running), 9), Some(6), "our database is the older one");
}

#[test]
fn a_restored_database_gets_ahead_of_its_hosts() {
    let seen = VpsObserved { boot_epoch: 4, password_epoch: 2, ..seen(9, VpsState::Running) };
    let decision = decide(&wanted(3), &[waiting("stop_server", 3, 0)], &seen, 99);
    let ahead = Wanted { generation: 10, boot_epoch: 4, password_epoch: 2, ..wanted(3) };
    assert_eq!(decision, Decision { change: Some(Change::Rewrite(ahead)), ..Decision::default() });
}

#[test]
fn a_guest_that_halts_itself_stays_off() {
    let halted = VpsObserved { boot_epoch: 1, exit: Some(Exit::Halt), ..seen(3, VpsState::Stopped) };
    let change = |row: &Wanted, seen: &VpsObserved| decide(row, &[], seen, 10).change;
    let stopped = Wanted { power: Power::Stopped, ..wanted(4) };
    assert_eq!(change(&wanted(3), &halted), Some(Change::Rewrite(stopped)));
    let newer = Wanted { boot_epoch: 2, ..wanted(4) };
    assert_eq!(change(&newer, &halted), None, "a start was asked for since");
    let ended = |restart, exit| {
        let wanted = Wanted { restart, ..wanted(3) };
        decide(&wanted, &[], &VpsObserved { exit: Some(exit), ..halted.clone() }, 10).change.is_some()
    };
    assert!(ended(RestartPolicy::OnFailure, Exit::Code(0)) && ended(RestartPolicy::Never, Exit::Oom));
    assert!(!ended(RestartPolicy::Always, Exit::Code(0)) && !ended(RestartPolicy::OnFailure, Exit::Oom));
    assert!(!ended(RestartPolicy::Never, Exit::Lost), "its host is about to start it");
    let crashed = VpsObserved { exit: Some(Exit::Lost), ..halted.clone() };
    assert_eq!(change(&wanted(3), &crashed), None, "the host died; the agent starts it again");
    assert_eq!(change(&Wanted { power: Power::Stopped, ..wanted(3) }, &halted), None);
}

#[test]
fn freezing_ends_by_what_was_seen() {
    let freeze = waiting("freeze_server", 5, 0);
    let thaw = waiting("thaw_server", 5, 0);
    let at = |generation, frozen, state| VpsObserved { frozen, ..seen(generation, state) };
    let running = VpsState::Running;
    assert_eq!(outcome(&freeze, &at(4, true, running)), None, "that was another request");
    assert_eq!(outcome(&freeze, &at(5, false, running)), None);
    assert_eq!(outcome(&freeze, &at(5, true, running)), Some(Ok(())));
    assert_eq!(outcome(&freeze, &at(5, false, VpsState::Stopped)), Some(Ok(())));
    assert_eq!(outcome(&freeze, &at(6, false, running)), Some(Ok(())), "overtaken");
    assert_eq!(outcome(&thaw, &at(5, true, running)), None);
    assert_eq!(outcome(&thaw, &at(5, false, running)), Some(Ok(())));
}
