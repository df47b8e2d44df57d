//! Private networks by their pages.

use berth_tests::world::World;

use super::{project, server, signed_in};

#[tokio::test]
async fn a_network_is_made_changed_and_deleted() {
    let w = World::start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let networks = format!("/projects/{}/networks", project(&w, "mine").await);
    let empty = ada.get(&networks).await.expect(200);
    assert!(empty.contains("No network yet") && empty.contains(r#"value="10.0.0.0/16""#), "{empty}");
    for (name, range, zone, told) in [
        (" ", "11.0.0.0/8", "local", r#"id="name-error""#),
        (" ", "11.0.0.0/8", "local", r#"id="ip_range-error""#),
        ("in", "10.0.0.1/16", "local", "did you mean 10.0.0.0/16?"),
        ("in", "10.0.0.0/16", "moon", r#"id="zone-error""#),
    ] {
        let refused = ada.post(&networks, &[("name", name), ("ip_range", range), ("zone", zone)]).await;
        let refused = refused.expect(422);
        assert!(refused.contains(told) && refused.contains(range), "{told}: {refused}");
    }
    let good = [("name", "internal"), ("ip_range", "10.0.0.0/16"), ("zone", "local")];
    let page = ada.post(&networks, &good).await.location().to_owned();
    assert!(ada.post(&networks, &good).await.expect(409).contains(r#"id="name-error""#));
    let list = ada.get(&networks).await.expect(200);
    assert!(list.contains("internal") && list.contains(r#"value="10.1.0.0/16""#), "the next is free: {list}");

    let post = async |what: &str, fields: &[(&str, &str)]| ada.post(&format!("{page}/{what}"), fields).await;
    post("subnets", &[("zone", "local")]).await.leads_to(&page);
    assert!(ada.get(&page).await.expect(200).contains("10.0.1.0/24"));
    let twice = post("subnets", &[("subnet_range", "10.0.1.0/25"), ("zone", "local")]).await.expect(422);
    assert!(twice.contains(r#"id="subnet_range-error""#) && twice.contains("verlaps the subnet"), "{twice}");
    let moon = post("subnets", &[("subnet_range", ""), ("zone", "moon")]).await.expect(422);
    assert!(moon.contains(r#"id="zone-error""#), "{moon}");
    post("subnets/delete", &[("subnet_range", "10.0.1.0/24")]).await.leads_to(&page);
    post("subnets/delete", &[("subnet_range", "10.0.1.0/24")]).await.expect(404);

    for (to, by, told) in
        [("x", "10.0.0.9", "destination-error"), ("10.9.0.0/16", "10.0.0.1", "gateway-error")]
    {
        let refused = post("routes", &[("destination", to), ("gateway", by)]).await.expect(422);
        assert!(refused.contains(told), "{told}: {refused}");
    }
    let route = [("destination", "10.9.0.0/16"), ("gateway", "10.0.0.9")];
    post("routes", &route).await.leads_to(&page);
    assert!(ada.get(&page).await.expect(200).contains("no server has this address"));
    post("routes/delete", &route).await.leads_to(&page);
    assert!(post("range", &[("new_range", "10.0.0.0/17")]).await.expect(422).contains("new_range-error"));
    post("range", &[("new_range", "10.0.0.0/15")]).await.leads_to(&page);
    post("name", &[("name", "inner"), ("labels", "a=b")]).await.leads_to(&page);
    assert!(ada.get(&page).await.expect(200).contains("a=b"));

    post("protection", &[("protect", "yes")]).await.leads_to(&page);
    assert!(post("delete", &[("confirm", "inner")]).await.expect(423).contains("protected"));
    post("protection", &[("protect", "no")]).await.leads_to(&page);
    assert!(post("delete", &[("confirm", "internal")]).await.expect(422).contains("not the name"));
    post("delete", &[("confirm", "inner")]).await.leads_to(&networks);
    ada.get(&page).await.expect(404);
    w.finish().await;
}

#[tokio::test]
async fn servers_are_attached_and_detached() {
    let w = World::start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &ada, "web").await;
    w.settled().await;
    let good = [("name", "internal"), ("ip_range", "10.0.0.0/16"), ("zone", "")];
    let page = ada.post(&format!("/projects/{mine}/networks"), &good).await.location().to_owned();
    let post = async |what: &str, fields: &[(&str, &str)]| ada.post(&format!("{page}/{what}"), fields).await;
    assert!(ada.get(&page).await.expect(200).contains("Add a subnet first"));
    let nowhere = post("attach", &[("server", "web"), ("ip", "")]).await.expect(422);
    assert!(nowhere.contains("no subnet"), "{nowhere}");
    post("subnets", &[("subnet_range", "10.0.0.0/24"), ("zone", "local")]).await.leads_to(&page);

    let wrong = post("attach", &[("server", "wep"), ("ip", "ten")]).await.expect(422);
    assert!(wrong.contains(r#"id="server-error""#) && wrong.contains(r#"id="ip-error""#), "{wrong}");
    let outside = post("attach", &[("server", "web"), ("ip", "10.0.1.7")]).await.expect(422);
    assert!(outside.contains(r#"id="ip-error""#) && outside.contains(r#"value="10.0.1.7""#), "{outside}");
    post("attach", &[("server", "WEB"), ("ip", "10.0.0.7")]).await.leads_to(&page);
    w.settled().await;
    let shown = ada.get(&page).await.expect(200);
    assert!(shown.contains("10.0.0.7") && shown.contains("1 address"), "{shown}");
    assert!(post("attach", &[("server", "web")]).await.expect(422).contains("already"));
    let used = post("subnets/delete", &[("subnet_range", "10.0.0.0/24")]).await.expect(422);
    assert!(used.contains("10.0.0.7 of this subnet is in use"), "{used}");

    post("detach", &[("server", "web")]).await.expect(422);
    post("detach", &[("server", &id.to_string())]).await.leads_to(&page);
    w.settled().await;
    assert!(ada.get(&page).await.expect(200).contains("No server in it"));
    w.sql("update memberships set role = 'read_only'").await;
    for path in [format!("/projects/{mine}/networks"), page.clone()] {
        let shown = ada.get(&path).await.expect(200);
        assert!(!shown.split("<main").nth(1).expect("the page").contains("<form"), "{shown}");
    }
    w.finish().await;
}
