//! A database from an old backup destroys nothing.

use berth_tests::world::World;

#[tokio::test]
async fn what_an_old_backup_does_not_know_is_kept_as_an_orphan() {
    let mut w = World::builder().room_for(6).start().await;
    let old = w.running(&w.create("old").await).await;
    let deleted_later = w.running(&w.create("deleted-later").await).await;
    w.stop_server(0).await;
    let backup = w.backup().await;
    w.start_server(0).await;

    let young = w.running(&w.create("young").await).await;
    w.act(old, "poweroff", "stop_server").await;
    w.delete(deleted_later).await;
    assert!(w.guest_runs(0, young));

    w.stop_server(0).await;
    w.restore(backup).await;
    w.start_server(0).await;

    // The VPS that the backup does not know is kept and runs on; the host says so.
    w.host_reports_orphan(0, young).await;
    assert!(w.guest_runs(0, young), "nobody deletes or stops what nobody names");
    // What the backup says of a known one holds again, whatever the host has seen since.
    w.api.server_is(old, "running").await;
    // A new one gets another id than the orphan's, or at least not its disk.
    let fresh = w.running(&w.create("fresh").await).await;
    assert_ne!(fresh, young, "an id of the lost time is not given out again");
    assert!(w.guest_runs(0, young) && w.guest_runs(0, fresh));
    w.finish_with_orphans().await;
}
