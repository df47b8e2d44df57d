//! The stock clients against simulated hosts.

use berth_tests::clients::{Order, hcloud_cli, hcloud_python};
use berth_tests::name_server::NameServer;
use berth_tests::world::{World, public_key};

/// A name server for the only pool.
async fn name_server(w: &World) -> NameServer {
    let server = NameServer::start("0.77.10.in-addr.arpa").await;
    let pools = w.admin.get("/admin/v1/pools").await.expect(200);
    let path = format!("/admin/v1/pools/{}/name_server", pools["pools"][0]["id"]);
    w.admin.put(&path, server.settings()).await.expect(200);
    server
}

fn order<'a>(w: &'a World, larger: &'a str, public_key: &'a str) -> Order<'a> {
    Order { api: &w.api, plan: &w.plan, larger, image: &w.image, public_key, reverse_dns: true }
}

#[tokio::test]
async fn the_hcloud_cli_works() {
    let w = World::builder().room_for(4).start().await;
    let larger = w.control.larger_plan().await;
    let _server = name_server(&w).await;
    let public_key = public_key();
    let order = order(&w, larger, &public_key);
    hcloud_cli(&order, async |address, _| assert!(w.address_is_in_pool(address), "{address}")).await;
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn hcloud_python_works() {
    let w = World::builder().room_for(4).start().await;
    let larger = w.control.larger_plan().await;
    let _server = name_server(&w).await;
    let public_key = public_key();
    let order = order(&w, larger, &public_key);
    for seen in hcloud_python(&order).await {
        assert!(w.address_is_in_pool(seen["ip"].as_str().expect("it saw an address")), "{seen}");
    }
    w.holds_nothing().await;
    w.finish().await;
}
