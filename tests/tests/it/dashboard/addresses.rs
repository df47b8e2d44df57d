//! Primary and floating IPs by their pages.

use berth_tests::client::DEADLINE;
use berth_tests::name_server::NameServer;
use berth_tests::wait::until;
use berth_tests::world::World;
use serde_json::json;

use super::{project, server, signed_in};

#[tokio::test]
async fn a_floating_ip_is_got_moved_named_and_given_back() {
    let w = World::start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let addresses = format!("/projects/{mine}/addresses");
    server(&w, &ada, "one").await;
    server(&w, &ada, "two").await;
    w.settled().await;
    assert!(ada.get(&addresses).await.expect(200).contains("None yet"), "of floating ones");
    let location = w.location.as_str();
    let order = |kind: &'static str, family: &'static str, name: &'static str, server: &'static str| {
        [("kind", kind), ("type", family), ("name", name), ("server", server), ("location", location)]
    };
    for (fields, told) in [
        (order("odd", "ipv4", "", ""), r#"id="kind-error""#),
        (order("floating", "ipv5", "", ""), r#"id="type-error""#),
        (order("floating", "ipv4", "floating_ip-7", ""), r#"id="name-error""#),
        (order("floating", "ipv4", "", "three"), r#"id="server-error""#),
        (order("primary", "ipv4", "", ""), r#"id="name-error""#),
    ] {
        let refused = ada.post(&addresses, &fields).await.expect(422);
        assert!(refused.contains(told), "{told}: {refused}");
    }
    let nowhere = [("kind", "floating"), ("type", "ipv4"), ("location", "moon")];
    assert!(ada.post(&addresses, &nowhere).await.expect(422).contains(r#"id="location-error""#));
    assert_eq!(w.scalar("select count(*) from floating_ips").await, 0);

    let page = ada.post(&addresses, &order("floating", "ipv4", "vip", "")).await.location().to_owned();
    assert!(page.contains("/floating-ips/"), "{page}");
    assert!(ada.get(&page).await.expect(200).contains("No server has it"));
    let post = async |what: &str, fields: &[(&str, &str)]| ada.post(&format!("{page}/{what}"), fields).await;
    assert!(post("assign", &[("server", "three")]).await.expect(422).contains(r#"id="server-error""#));
    for name in ["one", "two"] {
        post("assign", &[("server", name)]).await.leads_to(&page);
        w.settled().await;
        let shown = ada.get(&page).await.expect(200);
        assert!(shown.contains(&format!(">{name}</a>.")) && shown.contains("Assign floating IP"), "{shown}");
    }
    assert!(post("assign", &[("server", "two")]).await.expect(422).contains("already"));
    assert!(ada.get(&addresses).await.expect(200).contains("1 of 1 in use"));
    assert!(post("delete", &[("confirm", "vip")]).await.expect(422).contains("unassign it first"));
    post("unassign", &[]).await.leads_to(&page);
    assert!(post("unassign", &[]).await.expect(422).contains("not assigned"));
    w.settled().await;

    let settings = [("name", "edge"), ("description", "<b>moves</b>"), ("labels", "a=b")];
    post("settings", &settings).await.leads_to(&page);
    let shown = ada.get(&page).await.expect(200);
    assert!(shown.contains("a=b") && !shown.contains("<b>moves"), "{shown}");
    let long = "x".repeat(256);
    let wrong = post("settings", &[("name", "edge"), ("description", &long)]).await.expect(422);
    assert!(wrong.contains(r#"id="description-error""#), "{wrong}");
    post("protection", &[("protect", "yes")]).await.leads_to(&page);
    assert!(post("delete", &[("confirm", "edge")]).await.expect(423).contains("protected"));
    post("protection", &[("protect", "no")]).await.leads_to(&page);
    assert!(post("delete", &[("confirm", "vip")]).await.expect(422).contains(r#"id="confirm-error""#));
    until("the address to be given back", DEADLINE, async || {
        let answer = post("delete", &[("confirm", "edge")]).await;
        if answer.status == 303 { Ok(()) } else { Err(answer.body) }
    })
    .await;
    ada.get(&page).await.expect(404);
    w.finish().await;
}

#[tokio::test]
async fn a_primary_ip_is_for_a_server_that_is_off() {
    let w = World::start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let addresses = format!("/projects/{mine}/addresses");
    let id = server(&w, &ada, "web").await;
    w.settled().await;
    let first = w.scalar("select id from primary_ips").await;
    let own = format!("/projects/{mine}/primary-ips/{first}");
    let refused = ada.post(&format!("{own}/unassign"), &[]).await.expect(422);
    assert!(refused.contains("powered off first"), "{refused}");
    let fields = [
        ("kind", "primary"),
        ("type", "ipv4"),
        ("name", "spare"),
        ("location", w.location.as_str()),
        ("auto_delete", "yes"),
    ];
    let spare = ada.post(&addresses, &fields).await.location().to_owned();
    assert_eq!(w.scalar("select count(*) from primary_ips where name = 'spare' and auto_delete").await, 1);
    w.act(id, "poweroff", "stop_server").await;
    let two = ada.post(&format!("{spare}/assign"), &[("server", "web")]).await.expect(422);
    assert!(two.contains("has an IPv4 address already"), "{two}");
    ada.post(&format!("{own}/unassign"), &[]).await.leads_to(&own);
    w.settled().await;
    ada.post(&format!("{spare}/assign"), &[("server", "web")]).await.leads_to(&spare);
    w.settled().await;
    assert!(ada.get(&spare).await.expect(200).contains(">web</a>."));
    ada.post(&format!("{spare}/settings"), &[("name", "spare")]).await.leads_to(&spare);
    assert_eq!(w.scalar("select count(*) from primary_ips where name = 'spare' and auto_delete").await, 0);
    let name = format!("primary_ip-{first}");
    ada.post(&format!("{own}/delete"), &[("confirm", &name)]).await.leads_to(&addresses);
    w.sql("update memberships set role = 'read_only'").await;
    for path in [&addresses, &spare] {
        let shown = ada.get(path).await.expect(200);
        assert!(!shown.split("<main").nth(1).expect("the page").contains("<form"), "{shown}");
    }
    w.finish().await;
}

#[tokio::test]
async fn addresses_are_named_and_so_are_those_inside_a_prefix() {
    let w = World::start().await;
    let names = NameServer::start("0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa").await;
    let pool = json!({"name": "six", "cidr": "2001:db8::/48"});
    let pool = w.admin.post("/admin/v1/pools", pool).await.expect(201)["pool"]["id"].take();
    w.admin.put(&format!("/admin/v1/pools/{pool}/name_server"), names.settings()).await.expect(200);
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let addresses = format!("/projects/{}/addresses", project(&w, "mine").await);
    let order =
        |family: &'static str| [("kind", "floating"), ("type", family), ("location", w.location.as_str())];
    let six = ada.post(&addresses, &order("ipv6")).await.location().to_owned();
    let ip = "2001:db8:0:1::25";
    let name = async |page: &str, ip: &str, name: &str| {
        ada.post(&format!("{page}/reverse-dns"), &[("ip", ip), ("dns_ptr", name)]).await
    };
    assert!(ada.get(&six).await.expect(200).contains("No address of this network has a name"));
    let wrong = name(&six, "five", "a b").await.expect(422);
    assert!(wrong.contains(r#"id="ip-error""#) && wrong.contains(r#"id="dns_ptr-error""#), "{wrong}");
    assert!(name(&six, "2001:db8:0:9::1", "a.example").await.expect(422).contains(r#"id="ip-error""#));
    name(&six, ip, "mail.example.com").await.leads_to(&six);
    names.has(ip, Some("mail.example.com")).await;
    let shown = ada.get(&six).await.expect(200);
    assert!(shown.contains("mail.example.com") && shown.contains("Change reverse DNS"), "{shown}");
    assert!(ada.get(&addresses).await.expect(200).contains("mail.example.com"));
    name(&six, ip, "").await.leads_to(&six);
    names.has(ip, None).await;

    let four = ada.post(&addresses, &order("ipv4")).await.location().to_owned();
    let shown = ada.get(&four).await.expect(200);
    let own = shown.split(r#"name="ip" value=""#).nth(1).and_then(|rest| rest.split('"').next());
    let refused = name(&four, own.expect("the form names the address"), "a.example.com").await.expect(422);
    assert!(refused.contains("there is no name server for its addresses"), "{refused}");
    w.finish().await;
}
