//! Private networks of the hcloud API: ranges, subnets, routes, and who gets which address.

use berth_proto::{Capacity, HostFacts, HostNetworks};
use berth_tests::client::Answer;
use berth_tests::proxy::Mode;
use berth_tests::raw_host::RawHost;
use berth_tests::wait::until;
use berth_tests::world::{Tenant, World, underlay};
use serde_json::{Value, json};

async fn create(t: &Tenant, name: &str, range: &str, subnets: &[&str]) -> Value {
    let subnets: Vec<Value> = subnets.iter().map(|range| subnet(range)).collect();
    let body = json!({"name": name, "ip_range": range, "subnets": subnets});
    t.api.post("/v1/networks", body).await.expect(201)["network"].take()
}

fn subnet(range: &str) -> Value {
    json!({"type": "cloud", "network_zone": "local", "ip_range": range})
}

async fn act(t: &Tenant, network: &Value, what: &str, body: Value) -> Answer {
    t.api.post(&format!("/v1/networks/{}/actions/{what}", network["id"]), body).await
}

async fn server_act(t: &Tenant, id: i64, what: &str, body: Value) -> Answer {
    t.api.post(&format!("/v1/servers/{id}/actions/{what}"), body).await
}

async fn attach(t: &Tenant, id: i64, network: &Value, ip: Option<&str>) -> Answer {
    let mut body = json!({"network": network["id"]});
    if let Some(ip) = ip {
        body["ip"] = json!(ip);
    }
    server_act(t, id, "attach_to_network", body).await
}

async fn show(t: &Tenant, network: &Value) -> Value {
    t.api.get(&format!("/v1/networks/{}", network["id"])).await.expect(200)["network"].take()
}

async fn private_net(t: &Tenant, id: i64) -> Value {
    t.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"]["private_net"].take()
}

#[tokio::test]
async fn a_network_is_made_changed_and_deleted() {
    let w = World::builder().hosts(0).start().await;
    let made = create(&w, "blue", "10.0.0.0/16", &["10.0.1.0/24"]).await;
    assert_eq!(made["subnets"][0]["gateway"], "10.0.0.1");
    assert_eq!(made["servers"], json!([]));
    for (what, body) in [
        ("add_subnet", json!({"type": "server", "network_zone": "local"})),
        ("add_route", json!({"destination": "10.50.0.0/16", "gateway": "10.0.1.9"})),
        ("change_ip_range", json!({"ip_range": "10.0.0.0/12"})),
        ("change_protection", json!({"delete": true})),
    ] {
        let begun = act(&w, &made, what, body).await.expect(201);
        assert_eq!(
            (&begun["action"]["command"], &begun["action"]["status"]),
            (&json!(what), &json!("success"))
        );
        assert_eq!(begun["action"]["resources"], json!([{"id": made["id"], "type": "network"}]));
    }
    let shown = show(&w, &made).await;
    assert_eq!(shown["ip_range"], "10.0.0.0/12");
    let ranges: Vec<_> =
        shown["subnets"].as_array().expect("a list").iter().map(|s| &s["ip_range"]).collect();
    assert_eq!(ranges, ["10.0.0.0/24", "10.0.1.0/24"]);
    assert_eq!(shown["routes"], json!([{"destination": "10.50.0.0/16", "gateway": "10.0.1.9"}]));

    let path = format!("/v1/networks/{}", made["id"]);
    w.api.delete(&path).await.refused(423, "protected");
    for (what, body, status, code) in [
        ("delete_subnet", json!({"ip_range": "10.0.9.0/24"}), 404, "not_found"),
        ("delete_route", json!({"destination": "10.50.0.0/16", "gateway": "10.0.1.8"}), 404, "not_found"),
        ("change_ip_range", json!({"ip_range": "10.0.0.0/13"}), 422, "invalid_input"),
        ("add_subnet", subnet("10.0.1.0/25"), 422, "invalid_input"),
    ] {
        act(&w, &made, what, body).await.refused(status, code);
    }
    act(&w, &made, "delete_subnet", json!({"ip_range": "10.0.0.0/24"})).await.expect(201);
    act(&w, &made, "delete_route", shown["routes"][0].clone()).await.expect(201);
    act(&w, &made, "change_protection", json!({"delete": false})).await.expect(201);
    let changed = json!({"name": "green", "labels": {"env": "test"}, "expose_routes_to_vswitch": true});
    let changed = w.api.put(&path, changed).await.expect(200);
    assert_eq!(changed["network"]["expose_routes_to_vswitch"], true);
    let listed =
        w.api.get("/v1/networks?label_selector=env%3Dtest&name=green&sort=name:desc").await.expect(200);
    assert_eq!(listed["networks"][0]["id"], made["id"]);
    assert_eq!(w.api.get("/v1/networks?label_selector=!env").await.expect(200)["networks"], json!([]));
    let actions = w.api.get(&format!("{path}/actions")).await.expect(200);
    assert_eq!(actions["meta"]["pagination"]["total_entries"], 7);
    w.api.delete(&path).await.expect(204);
    w.api.get(&path).await.refused(404, "not_found");
    create(&w, "green", "10.0.0.0/16", &[]).await;
    w.finish().await;
}

#[tokio::test]
async fn servers_come_and_go_each_with_an_address_of_its_own() {
    let w = World::builder().hosts(2).start().await;
    let network = create(&w, "blue", "10.0.0.0/16", &["10.0.0.0/24", "10.0.1.0/24"]).await;
    let order = json!({"name": "a", "server_type": w.plan, "image": w.image, "networks": [network["id"]]});
    let created = w.api.post("/v1/servers", order).await.expect(201);
    assert_eq!(created["server"]["private_net"][0]["ip"], "10.0.0.2");
    let a = w.running(&created).await;
    let b = w.running(&w.create("b").await).await;
    let begun = attach(&w, b, &network, Some("10.0.1.7")).await.expect(201);
    assert_eq!(begun["action"]["command"], "attach_to_network");
    w.api.succeeded(&begun["action"]).await;
    attach(&w, b, &network, None).await.refused(422, "server_already_attached");
    assert_eq!(show(&w, &network).await["servers"], json!([a, b]));

    let net = &private_net(&w, b).await[0];
    assert_eq!((&net["network"], &net["ip"]), (&network["id"], &json!("10.0.1.7")));
    assert!(net["mac_address"].as_str().is_some_and(|mac| mac.starts_with("02:")), "{net}");

    // Aliases are addresses like others: nobody else gets them.
    let aliases = json!({"network": network["id"], "alias_ips": ["10.0.0.3", "10.0.1.8"]});
    let begun = server_act(&w, b, "change_alias_ips", aliases).await.expect(201);
    w.api.succeeded(&begun["action"]).await;
    assert_eq!(private_net(&w, b).await[0]["alias_ips"], json!(["10.0.0.3", "10.0.1.8"]));
    let c = w.running(&w.create("c").await).await;
    for used in ["10.0.0.2", "10.0.1.7", "10.0.1.8"] {
        attach(&w, c, &network, Some(used)).await.refused(422, "ip_not_available");
    }
    let begun = attach(&w, c, &network, None).await.expect(201);
    w.api.succeeded(&begun["action"]).await;
    assert_eq!(private_net(&w, c).await[0]["ip"], "10.0.0.4");
    let fewer = json!({"network": network["id"], "alias_ips": ["10.0.1.8"]});
    let begun = server_act(&w, b, "change_alias_ips", fewer).await.expect(201);
    w.api.succeeded(&begun["action"]).await;
    let theirs = json!({"network": network["id"], "alias_ips": ["10.0.1.7"]});
    server_act(&w, c, "change_alias_ips", theirs).await.refused(422, "ip_not_available");
    let given = json!({"network": network["id"], "alias_ips": ["10.0.0.3"]});
    let begun = server_act(&w, c, "change_alias_ips", given).await.expect(201);
    w.api.succeeded(&begun["action"]).await;

    act(&w, &network, "delete_subnet", json!({"ip_range": "10.0.1.0/24"}))
        .await
        .refused(422, "resource_in_use");
    let begun = server_act(&w, b, "detach_from_network", json!({"network": network["id"]})).await.expect(201);
    let resources = json!([{"id": b, "type": "server"}, {"id": network["id"], "type": "network"}]);
    assert_eq!(begun["action"]["resources"], resources);
    w.api.succeeded(&begun["action"]).await;
    assert_eq!(private_net(&w, b).await, json!([]));
    let again = server_act(&w, b, "detach_from_network", json!({"network": network["id"]})).await;
    assert_eq!(again.wrong_fields(), ["network"]);
    let begun = attach(&w, b, &network, Some("10.0.1.7")).await.expect(201);
    w.api.succeeded(&begun["action"]).await;

    w.delete(a).await;
    assert_eq!(show(&w, &network).await["servers"], json!([b, c]));
    // Whoever is in a network that is deleted is taken out.
    w.api.delete(&format!("/v1/networks/{}", network["id"])).await.expect(204);
    assert_eq!(private_net(&w, b).await, json!([]));
    until("the hosts to have taken everybody out", berth_tests::client::DEADLINE, async || {
        match w.scalar("select count(*) from vps_networks").await {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        }
    })
    .await;
    w.finish().await;
}

#[tokio::test]
async fn an_address_is_not_given_out_while_its_host_may_still_use_it() {
    let w = World::start().await;
    let network = create(&w, "blue", "10.0.0.0/16", &["10.0.0.0/24"]).await;
    let a = w.running(&w.create("a").await).await;
    let b = w.running(&w.create("b").await).await;
    let begun = attach(&w, a, &network, Some("10.0.0.9")).await.expect(201);
    w.api.succeeded(&begun["action"]).await;
    w.link(0).set(Mode::Cut);
    let begun = server_act(&w, a, "detach_from_network", json!({"network": network["id"]})).await.expect(201);
    attach(&w, b, &network, Some("10.0.0.9")).await.refused(422, "ip_not_available");
    attach(&w, a, &network, None).await.refused(423, "locked");
    let number = w.scalar("select vni::bigint from networks").await;
    w.api.delete(&format!("/v1/networks/{}", network["id"])).await.expect(204);
    let numbers = w.scalar("select count(*) from networks").await;
    assert_eq!(numbers, 1, "the number {number} is not free yet");
    w.link(0).set(Mode::Pass);
    w.api.succeeded(&begun["action"]).await;
    w.settled().await;
    assert_eq!(w.scalar("select count(*) from network_addresses").await, 0);
    w.finish().await;
}

#[tokio::test]
async fn bad_input_and_limits_are_refused_with_the_field() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let with = |more: Value| {
        let mut body = json!({"name": "x", "ip_range": "10.0.0.0/16"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    for (body, field) in [
        (with(json!({"ip_range": "11.0.0.0/16"})), "ip_range"),
        (with(json!({"ip_range": "10.0.0.0/28"})), "ip_range"),
        (with(json!({"ip_range": "10.0.0.1/16"})), "ip_range"),
        (with(json!({"name": ""})), "name"),
        (with(json!({"subnets": [{"type": "cloud", "network_zone": "moon"}]})), "subnets.network_zone"),
        (
            with(json!({"subnets": [{"type": "vswitch", "network_zone": "local", "vswitch_id": 1}]})),
            "subnets.0.type",
        ),
        (with(json!({"subnets": [subnet("10.0.0.0/24"), subnet("10.0.0.128/25")]})), "subnets.1.ip_range"),
        (with(json!({"subnets": [subnet("10.1.0.0/24")]})), "subnets.0.ip_range"),
        (
            with(json!({"routes": [{"destination": "10.9.0.0/16", "gateway": "10.0.0.1"}]})),
            "routes.0.gateway",
        ),
        (
            with(json!({"routes": [{"destination": "10.9.0.0/16", "gateway": "10.9.0.1"}]})),
            "routes.0.gateway",
        ),
        (with(json!({"routes": [{"destination": "x", "gateway": "10.0.0.2"}]})), "routes.0.destination"),
    ] {
        assert_eq!(w.api.post("/v1/networks", body).await.wrong_fields(), [field]);
    }
    assert_eq!(w.api.get("/v1/networks").await.expect(200)["networks"], json!([]));

    let blue = create(&w, "blue", "10.0.0.0/16", &["10.0.5.0/24"]).await;
    let empty = create(&w, "empty", "10.1.0.0/16", &[]).await;
    w.api.post("/v1/networks", with(json!({"name": "blue"}))).await.refused(409, "uniqueness_error");
    attach(&w, id, &empty, None).await.refused(422, "no_subnet_available");
    for bad in ["10.0.0.5", "10.0.5.0", "10.0.5.255", "192.168.0.1", "x"] {
        assert_eq!(attach(&w, id, &blue, Some(bad)).await.wrong_fields(), ["ip"], "{bad}");
    }
    let bad = json!({"network": blue["id"], "alias_ips": ["10.0.5.4", "10.0.5.4"]});
    assert_eq!(server_act(&w, id, "attach_to_network", bad).await.wrong_fields(), ["alias_ips.1"]);
    server_act(&w, id, "attach_to_network", json!({"network": 987_654})).await.refused(404, "not_found");
    let order = json!({"name": "b", "server_type": w.plan, "image": w.image, "networks": [987_654]});
    assert_eq!(w.api.post("/v1/servers", order).await.wrong_fields(), ["networks"]);
    w.holds(1).await;

    // Of networks whose addresses meet, one; and not more than three.
    let begun = attach(&w, id, &blue, None).await.expect(201);
    w.api.succeeded(&begun["action"]).await;
    let wide = create(&w, "wide", "10.0.0.0/8", &["10.9.0.0/24"]).await;
    attach(&w, id, &wide, None).await.refused(422, "networks_overlap");
    for n in 2..=3 {
        let more =
            create(&w, &format!("n{n}"), &format!("10.{n}.0.0/16"), &[&format!("10.{n}.0.0/24")]).await;
        let begun = attach(&w, id, &more, None).await.expect(201);
        w.api.succeeded(&begun["action"]).await;
    }
    act(&w, &blue, "change_ip_range", json!({"ip_range": "10.0.0.0/8"}))
        .await
        .refused(422, "networks_overlap");
    let fourth = create(&w, "n4", "192.168.0.0/16", &["192.168.0.0/24"]).await;
    attach(&w, id, &fourth, None).await.refused(403, "resource_limit_exceeded");

    // Of another project there is nothing.
    let other = w.in_other_project();
    other.api.get(&format!("/v1/networks/{}", blue["id"])).await.refused(404, "not_found");
    other.api.delete(&format!("/v1/networks/{}", blue["id"])).await.refused(404, "not_found");
    attach(other, id, &blue, None).await.refused(404, "not_found");
    let mine = create(other, "blue", "10.0.0.0/16", &["10.0.0.0/24"]).await;
    attach(&w, id, &mine, None).await.refused(404, "not_found");
    let order = json!({"name": "b", "server_type": w.plan, "image": w.image, "networks": [blue["id"]]});
    assert_eq!(other.api.post("/v1/servers", order).await.wrong_fields(), ["networks"]);
    w.finish().await;
}

/// Waits until a host knows just these members of the only network that it has, each with its host's address.
async fn knows(w: &World, host: usize, expected: &[(&str, usize)]) -> HostNetworks {
    let mut expected: Vec<(String, String)> =
        expected.iter().map(|(ip, on)| ((*ip).to_owned(), underlay(*on))).collect();
    expected.sort();
    until(&format!("host {host} to know {expected:?}"), berth_tests::client::DEADLINE, async || {
        let told = w.networks_on(host);
        let [network] = &told.networks[..] else { return Err(format!("{told:?}")) };
        let each = network
            .peers
            .iter()
            .flat_map(|p| p.addresses.iter().map(|ip| (ip.to_string(), p.host.to_string())));
        let mut known: Vec<_> = each.collect();
        known.sort();
        if known == expected { Ok(told) } else { Err(format!("{known:?}")) }
    })
    .await
}

#[tokio::test]
async fn each_host_knows_where_the_members_of_its_networks_are() {
    let w = World::builder().hosts(3).start().await;
    let blue = create(&w, "blue", "10.0.0.0/16", &["10.0.0.0/24"]).await;
    let red = create(w.in_other_project(), "red", "10.0.0.0/16", &["10.0.0.0/24"]).await;
    let mut ids = Vec::new();
    for host in 0..3 {
        for other in 0..3 {
            w.cordon(other, other != host).await;
        }
        let order = json!({"name": format!("s{host}"), "server_type": w.plan, "image": w.image, "networks": [blue["id"]]});
        ids.push(w.running(&w.api.post("/v1/servers", order).await.expect(201)).await);
    }
    let other = w.in_other_project();
    let order = json!({"name": "theirs", "server_type": w.plan, "image": w.image});
    let theirs = other.running(&other.api.post("/v1/servers", order).await.expect(201)).await;
    let (a, b, c) = ("10.0.0.2", "10.0.0.3", "10.0.0.4");
    knows(&w, 0, &[(b, 1), (c, 2)]).await;
    knows(&w, 1, &[(a, 0), (c, 2)]).await;
    let told = knows(&w, 2, &[(a, 0), (b, 1)]).await;

    // Somebody else's network with the same addresses is another one, and known only where one of its servers is.
    let begun = attach(other, theirs, &red, None).await.expect(201);
    other.api.succeeded(&begun["action"]).await;
    until("host 2 to have both", berth_tests::client::DEADLINE, async || {
        let both = w.networks_on(2).networks;
        let [blue, red] = &both[..] else { return Err(format!("{both:?}")) };
        if blue == &told.networks[0] && red.vni != blue.vni && red.peers.is_empty() {
            Ok(())
        } else {
            Err(format!("{both:?}"))
        }
    })
    .await;
    knows(&w, 0, &[(b, 1), (c, 2)]).await;
    let begun =
        server_act(other, theirs, "detach_from_network", json!({"network": red["id"]})).await.expect(201);
    other.api.succeeded(&begun["action"]).await;

    // Aliases, routes, members that leave: all of it comes to all others.
    let aliases = json!({"network": blue["id"], "alias_ips": ["10.0.0.200"]});
    let begun = server_act(&w, ids[1], "change_alias_ips", aliases).await.expect(201);
    w.api.succeeded(&begun["action"]).await;
    knows(&w, 0, &[(b, 1), ("10.0.0.200", 1), (c, 2)]).await;
    act(&w, &blue, "add_route", json!({"destination": "0.0.0.0/0", "gateway": b})).await.expect(201);
    until("the route to be known", berth_tests::client::DEADLINE, async || {
        let routes = w.networks_on(2).networks.first().map_or(0, |network| network.routes.len());
        if routes == 1 { Ok(()) } else { Err(format!("{routes} routes")) }
    })
    .await;
    let begun =
        server_act(&w, ids[1], "detach_from_network", json!({"network": blue["id"]})).await.expect(201);
    w.api.succeeded(&begun["action"]).await;
    knows(&w, 0, &[(c, 2)]).await;
    assert_eq!(w.networks_on(1).networks, [], "nobody of it is here");
    w.delete(ids[2]).await;
    knows(&w, 0, &[]).await;
    w.finish().await;
}

#[tokio::test]
async fn a_server_is_made_where_it_reaches_the_others_of_its_networks() {
    let w = World::builder().hosts(2).apart().start().await;
    let blue = create(&w, "blue", "10.0.0.0/16", &["10.0.0.0/24"]).await;
    let order = |name: &str, networks: Value| json!({"name": name, "server_type": w.plan, "image": w.image, "networks": networks});
    w.cordon(1, true).await;
    w.running(&w.api.post("/v1/servers", order("first", json!([blue["id"]]))).await.expect(201)).await;
    w.cordon(1, false).await;
    // the other host has more room, but no way to the first
    for name in ["second", "third"] {
        let created = w.api.post("/v1/servers", order(name, json!([blue["id"]]))).await.expect(201);
        let id = w.running(&created).await;
        assert!(w.guest_runs(0, id));
    }
    w.cordon(0, true).await;
    let refused = w.api.post("/v1/servers", order("none", json!([blue["id"]]))).await;
    let error = refused.refused(412, "resource_unavailable");
    assert!(error["message"].as_str().unwrap().contains("other servers of the networks"), "{error}");
    let apart = w.running(&w.api.post("/v1/servers", order("apart", json!([]))).await.expect(201)).await;
    let error = attach(&w, apart, &blue, None).await.refused(412, "resource_unavailable");
    assert!(error["message"].as_str().unwrap().contains("cannot reach"), "{error}");
    w.finish().await;
}

#[tokio::test]
async fn an_agent_is_told_of_interfaces_and_of_networks_it_does_not_know() {
    let w = World::builder().hosts(0).start().await;
    let mut host = RawHost::enrol(&w, "raw").await;
    host.report(|report| {
        report.capacity = Capacity { cpu_milli: 8000, memory_bytes: 8 << 30, disk_bytes: 1 << 40 };
        report.facts = Some(HostFacts { underlay: underlay(0).parse().ok(), ..HostFacts::default() });
    })
    .await;
    let blue = create(&w, "blue", "10.0.0.0/16", &["10.0.0.0/24"]).await;
    act(&w, &blue, "add_route", json!({"destination": "10.50.0.0/16", "gateway": "10.0.0.9"}))
        .await
        .expect(201);
    act(&w, &blue, "add_route", json!({"destination": "0.0.0.0/0", "gateway": "10.0.0.9"})).await.expect(201);
    let order = json!({"name": "a", "server_type": w.plan, "image": w.image, "networks": [blue["id"]]});
    let created = w.api.post("/v1/servers", order).await.expect(201);
    let id = created["server"]["id"].as_i64().expect("an id");
    let spec = host.spec(id).await;
    let [nic] = &spec.net.private[..] else { panic!("{:?}", spec.net) };
    assert_eq!((nic.ip.to_string(), nic.gateway.to_string()), ("10.0.0.2".to_owned(), "10.0.0.1".to_owned()));
    assert_eq!(nic.range.to_string(), "10.0.0.0/16");
    let routes: Vec<_> = nic.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["10.50.0.0/16"], "the default route is the guest's own business");
    assert!(nic.vni >= 1 << 20 && nic.vni < 1 << 24, "{}", nic.vni);

    // An agent that knows no networks is not told of them; one that does, until it knows.
    assert_eq!(host.watch("").await.networks, None);
    let told = host.watch("&networks=").await.networks.expect("it knows nothing");
    assert_eq!((told.networks.len(), told.networks[0].vni), (1, nic.vni));
    assert_eq!(host.watch(&format!("&networks={}", told.version)).await.networks, None);
    assert!(host.watch("&networks=older").await.networks.is_some());

    w.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
    host.report(|report| report.vpses = Vec::new()).await;
    w.finish_with_orphans().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_never_share_an_address() {
    let w = World::builder().hosts(3).room_for(8).start().await;
    let network = create(&w, "blue", "10.0.0.0/16", &["10.0.0.0/24"]).await;
    let creates = (0..10).map(|n| {
        let api = w.api.clone();
        let body = json!({"name": format!("s{n}"), "server_type": w.plan, "image": w.image, "networks": [network["id"]]});
        async move { api.post("/v1/servers", body).await.expect(201) }
    });
    let made = futures_util::future::join_all(creates).await;
    let mut ids = Vec::new();
    for created in &made {
        ids.push(w.running(created).await);
    }
    // Changes of the whole network, of its members and of their life at the same time.
    let changes = (0..6).map(|n| {
        let (w, network, id) = (&w, &network, ids[n]);
        async move {
            match n % 3 {
                0 => server_act(w, id, "detach_from_network", json!({"network": network["id"]}))
                    .await
                    .expect(201),
                1 => {
                    let route =
                        json!({"destination": format!("10.{}.0.0/16", n + 50), "gateway": "10.0.0.9"});
                    act(w, network, "add_route", route).await.expect(201)
                }
                _ => server_act(w, id, "poweroff", json!({})).await.expect(201),
            }
        }
    });
    for begun in futures_util::future::join_all(changes).await {
        w.api.succeeded(&begun["action"]).await;
    }
    w.settled().await;
    let shown = show(&w, &network).await;
    assert_eq!(shown["servers"].as_array().map(Vec::len), Some(8));
    assert_eq!(shown["routes"].as_array().map(Vec::len), Some(2));
    w.finish().await;
}
