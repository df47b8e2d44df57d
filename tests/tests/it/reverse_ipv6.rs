//! Names of single addresses inside /64s of IPv6, as a real `named` tells them.

use berth_tests::client::{Answer, DEADLINE};
use berth_tests::name_server::NameServer;
use berth_tests::wait::until;
use berth_tests::world::World;
use serde_json::{Value, json};

/// Of 2001:db8::/48.
const ZONE: &str = "0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";

async fn name(w: &World, of: &str, ip: &str, name: Value) -> Answer {
    w.api.post(&format!("/v1/{of}/actions/change_dns_ptr"), json!({"ip": ip, "dns_ptr": name})).await
}

async fn named(w: &World, of: &str, ip: &str, what: Value) {
    let action = name(w, of, ip, what).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
}

/// The names that are shown of something with an address.
async fn shown(w: &World, path: &str) -> Value {
    let mut seen = w.api.get(&format!("/v1/{path}")).await.expect(200);
    match path.split('/').next() {
        Some("servers") => seen["server"]["public_net"]["ipv6"]["dns_ptr"].take(),
        Some("primary_ips") => seen["primary_ip"]["dns_ptr"].take(),
        _ => seen["floating_ip"]["dns_ptr"].take(),
    }
}

#[tokio::test]
async fn each_address_of_a_prefix_has_a_name_of_its_own() {
    let w = World::start().await;
    let server = NameServer::start(ZONE).await;
    let pool = json!({"name": "six", "cidr": "2001:db8::/48"});
    let pool = w.admin.post("/admin/v1/pools", pool).await.expect(201)["pool"]["id"].take();
    let path = format!("/admin/v1/pools/{pool}/name_server");
    let mut settings = server.settings();
    settings["default_name"] = json!("static.{ip-with-dashes}.example.com");
    w.admin.put(&path, settings).await.expect(200);

    let id = w.running(&w.create("web").await).await;
    let vps = format!("servers/{id}");
    let seen = w.api.get(&format!("/v1/{vps}")).await.expect(200);
    let own = &seen["server"]["public_net"]["ipv6"];
    assert_eq!((&own["ip"], &own["dns_ptr"]), (&json!("2001:db8:0:1::/64"), &json!([])), "no 2^64 defaults");
    let primary = format!("primary_ips/{}", own["id"]);
    let (www, ns) = ("2001:db8:0:1::1", "2001:db8:0:1:ab:cd:0:53");
    named(&w, &vps, www, json!("www.example.com")).await;
    assert_eq!(server.names(www).await, Some(vec!["www.example.com".to_owned()]), "done means done");
    named(&w, &primary, ns, json!("ns.example.com")).await;
    server.has(ns, Some("ns.example.com")).await;
    let both = json!([{"ip": www, "dns_ptr": "www.example.com"}, {"ip": ns, "dns_ptr": "ns.example.com"}]);
    assert_eq!((shown(&w, &vps).await, shown(&w, &primary).await), (both.clone(), both));

    let order = json!({"type": "ipv6", "home_location": w.location});
    let made = w.api.post("/v1/floating_ips", order).await.expect(201)["floating_ip"].take();
    assert_eq!(made["ip"], "2001:db8:0:2::/64");
    let (floating, mail) = (format!("floating_ips/{}", made["id"]), "2001:db8:0:2::25");
    named(&w, &floating, mail, json!("mail.example.com")).await;
    server.has(mail, Some("mail.example.com")).await;
    for (of, ip) in [(&vps, mail), (&floating, www), (&vps, "2001:db8:0:3::1"), (&vps, "2001:db8:0:1::/64")] {
        assert_eq!(name(&w, of, ip, json!("a.example.com")).await.wrong_fields(), ["ip"], "{of} {ip}");
    }
    // It moves with its names.
    let action =
        w.api.post(&format!("/v1/{floating}/actions/assign"), json!({"server": id})).await.expect(201);
    w.api.succeeded(&action["action"]).await;
    server.has(mail, Some("mail.example.com")).await;

    named(&w, &vps, www, json!("web.example.com")).await;
    server.has(www, Some("web.example.com")).await;
    named(&w, &primary, ns, Value::Null).await;
    server.has(ns, None).await;
    assert_eq!(shown(&w, &vps).await, json!([{"ip": www, "dns_ptr": "web.example.com"}]));

    // What is given back loses all its names; what stays keeps them.
    w.delete(id).await;
    server.has(www, None).await;
    server.has(mail, Some("mail.example.com")).await;
    w.api.delete(&format!("/v1/{floating}")).await.expect(204);
    server.has(mail, None).await;
    until("no name to be kept", DEADLINE, async || {
        match w.scalar("select count(*) from reverse_names").await {
            0 => Ok(()),
            n => Err(n.to_string()),
        }
    })
    .await;
    w.finish().await;
}
