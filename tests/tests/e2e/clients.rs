//! The stock clients against a real guest: what they print lets a person in.

use berth_tests::clients::{Order, hcloud_cli, hcloud_python};
use berth_tests::e2e::cell::{Cell, PLAN};
use berth_tests::e2e::guest::{BOOT, Guest, Key};
use berth_tests::wait::until_blocking;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_clients_print_lets_a_person_in() {
    let cell = Cell::start(1).await;
    let dir = tempfile::tempdir().expect("a directory for a key");
    let key = Key::new(dir.path());
    let larger = cell.control.larger_plan().await;
    let order = Order {
        api: &cell.api,
        plan: PLAN,
        larger,
        image: &cell.images[0],
        public_key: &key.public,
        reverse_dns: false,
    };
    hcloud_cli(&order, async |address, password| {
        let ip = address.parse().expect("the client prints an address");
        let guest = Guest { netns: &cell.hosts[0].netns, ip, key: &key };
        assert_eq!(guest.ssh("whoami"), "root\n", "by the key");
        until_blocking("a login by the new password", BOOT, || guest.try_password(password, "true"));
    })
    .await;
    hcloud_python(&order).await;
    cell.finish().await;
}
