//! The networking section of a server's page.

use berth_tests::name_server::NameServer;
use berth_tests::world::World;
use serde_json::json;

use super::{project, server, signed_in};

#[tokio::test]
async fn a_servers_page_tells_of_its_network() {
    let w = World::start().await;
    let names = NameServer::start("0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa").await;
    let pool = json!({"name": "six", "cidr": "2001:db8::/48"});
    let pool = w.admin.post("/admin/v1/pools", pool).await.expect(201)["pool"]["id"].take();
    w.admin.put(&format!("/admin/v1/pools/{pool}/name_server"), names.settings()).await.expect(200);
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &ada, "web").await;
    w.settled().await;
    let page = format!("/projects/{mine}/servers/{id}");
    let bare = ada.get(&page).await.expect(200);
    for part in ["in no private network", "none: everything passes", "2001:db8:0:1::1"] {
        assert!(bare.contains(part), "{part}: {bare}");
    }

    let floating = json!({"type": "ipv6", "server": id, "name": "vip"});
    let made = w.api.post("/v1/floating_ips", floating).await.expect(201);
    let name = json!({"ip": "2001:db8:0:2::25", "dns_ptr": "mail.example.com"});
    let path = format!("/v1/floating_ips/{}/actions/change_dns_ptr", made["floating_ip"]["id"]);
    w.api.post(&path, name).await.expect(201);
    let network = json!({"name": "internal", "ip_range": "10.0.0.0/16",
        "subnets": [{"type": "cloud", "network_zone": "local", "ip_range": "10.0.7.0/24"}]});
    let network = w.api.post("/v1/networks", network).await.expect(201)["network"]["id"].take();
    w.settled().await;
    let attach = json!({"network": network, "ip": "10.0.7.9"});
    w.api.post(&format!("/v1/servers/{id}/actions/attach_to_network"), attach).await.expect(201);
    let to = json!([{"type": "server", "server": {"id": id}}]);
    w.settled().await;
    let wall = json!({"name": "closed", "rules": [], "apply_to": to});
    let wall = w.api.post("/v1/firewalls", wall).await.expect(201)["firewall"]["id"].take();
    w.settled().await;

    let shown = ada.get(&page).await.expect(200);
    for part in [
        "2001:db8:0:2::1",
        "floating</span>",
        "2001:db8:0:2::25 is mail.example.com",
        "10.0.7.9",
        &format!("/projects/{mine}/networks/{network}\""),
        &format!("/projects/{mine}/firewalls/{wall}\""),
        "as much as the host has",
        "this month, which ends on",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    w.finish().await;
}
