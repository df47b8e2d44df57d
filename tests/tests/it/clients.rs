//! The stock clients against simulated hosts.

use berth_tests::clients::{Order, hcloud_cli, hcloud_python};
use berth_tests::world::{World, public_key};

#[tokio::test]
async fn the_hcloud_cli_works() {
    let w = World::builder().room_for(4).start().await;
    let larger = w.control.larger_plan().await;
    let order = Order { api: &w.api, plan: &w.plan, larger, image: &w.image, public_key: &public_key() };
    hcloud_cli(&order, async |address, _| assert!(w.address_is_in_pool(address), "{address}")).await;
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn hcloud_python_works() {
    let w = World::builder().room_for(4).start().await;
    let larger = w.control.larger_plan().await;
    let order = Order { api: &w.api, plan: &w.plan, larger, image: &w.image, public_key: &public_key() };
    for seen in hcloud_python(&order).await {
        assert!(w.address_is_in_pool(seen["ip"].as_str().expect("it saw an address")), "{seen}");
    }
    w.holds_nothing().await;
    w.finish().await;
}
