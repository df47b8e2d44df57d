//! Firewalls of the hcloud API: rules, whom they are applied to, and what the hosts are told in consequence.

use berth_proto::Firewall;
use berth_tests::client::Answer;
use berth_tests::world::World;
use serde_json::{Value, json};

fn ssh() -> Value {
    json!({"direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0", "::/0"]})
}

async fn create(w: &World, name: &str, rules: &Value, apply_to: &Value) -> Value {
    let body = json!({"name": name, "rules": rules, "apply_to": apply_to});
    let made = w.api.post("/v1/firewalls", body).await.expect(201);
    for action in made["actions"].as_array().expect("a list") {
        w.api.succeeded(action).await;
    }
    made["firewall"].clone()
}

async fn act(w: &World, firewall: &Value, what: &str, body: Value) -> Answer {
    w.api.post(&format!("/v1/firewalls/{}/actions/{what}", firewall["id"]), body).await
}

/// What the host of a server has been told.
async fn told(w: &World, id: i64) -> Option<Firewall> {
    let (firewall,): (Option<Value>,) = sqlx::query_as("select firewall from vps where id = $1")
        .bind(id)
        .fetch_one(w.inventory())
        .await
        .expect("the server is there");
    firewall.map(|json| serde_json::from_value(json).expect("the protocol's own type"))
}

async fn of_server(w: &World, id: i64) -> Value {
    w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"]["public_net"]["firewalls"].take()
}

fn server(id: i64) -> Value {
    json!([{"type": "server", "server": {"id": id}}])
}

fn labelled(selector: &str) -> Value {
    json!([{"type": "label_selector", "label_selector": {"selector": selector}}])
}

#[tokio::test]
async fn rules_reach_the_host_of_each_server_that_they_are_applied_to() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    assert_eq!(told(&w, id).await, None, "without a firewall everything passes");
    let firewall = create(&w, "web", &json!([ssh()]), &server(id)).await;
    assert_eq!(firewall["rules"][0]["port"], "22");
    assert_eq!(of_server(&w, id).await, json!([{"id": firewall["id"], "status": "applied"}]));
    assert_eq!(told(&w, id).await.expect("rules").inbound.len(), 1);

    // Another one adds to it; new rules replace all old ones of their own firewall.
    let out =
        json!({"direction": "out", "protocol": "udp", "port": "53-54", "destination_ips": ["10.0.0.0/8"]});
    let other = create(&w, "out", &json!([out]), &server(id)).await;
    let both = told(&w, id).await.expect("rules");
    assert_eq!((both.inbound.len(), both.outbound.len()), (1, 1));
    let begun = act(&w, &firewall, "set_rules", json!({"rules": []})).await.expect(201);
    let commands: Vec<_> =
        begun["actions"].as_array().expect("a list").iter().map(|a| &a["command"]).collect();
    assert_eq!(commands, ["set_firewall_rules", "apply_firewall"]);
    for action in begun["actions"].as_array().expect("a list") {
        w.api.succeeded(action).await;
    }
    assert_eq!(told(&w, id).await.expect("rules").inbound, []);
    let listed = w.api.get(&format!("/v1/firewalls/{}/actions", firewall["id"])).await.expect(200);
    assert_eq!(listed["actions"].as_array().expect("a list").len(), 3);

    // In use it cannot go; removed it can.
    w.api.delete(&format!("/v1/firewalls/{}", firewall["id"])).await.refused(422, "resource_in_use");
    for firewall in [&firewall, &other] {
        let again = act(&w, firewall, "apply_to_resources", json!({"apply_to": server(id)})).await;
        again.refused(422, "firewall_already_applied");
        let begun =
            act(&w, firewall, "remove_from_resources", json!({"remove_from": server(id)})).await.expect(201);
        w.api.succeeded(&begun["actions"][0]).await;
        let again = act(&w, firewall, "remove_from_resources", json!({"remove_from": server(id)})).await;
        again.refused(422, "firewall_resource_not_found");
        w.api.delete(&format!("/v1/firewalls/{}", firewall["id"])).await.expect(204);
    }
    assert_eq!(told(&w, id).await, None);
    w.finish().await;
}

#[tokio::test]
async fn labels_bring_firewalls_and_take_them() {
    let w = World::start().await;
    let firewall = create(&w, "tier", &json!([ssh()]), &labelled("tier=web")).await;
    let body = json!({"name": "a", "server_type": w.plan, "image": w.image, "labels": {"tier": "web"}});
    let a = w.running(&w.api.post("/v1/servers", body).await.expect(201)).await;
    let b = w.running(&w.create("b").await).await;
    assert!(told(&w, a).await.is_some(), "from the first packet on");
    assert_eq!(told(&w, b).await, None);
    let shown = w.api.get(&format!("/v1/firewalls/{}", firewall["id"])).await.expect(200);
    assert_eq!(shown["firewall"]["applied_to"][0]["applied_to_resources"], server(a));
    let managed = act(&w, &firewall, "remove_from_resources", json!({"remove_from": server(a)})).await;
    managed.refused(422, "firewall_managed_by_label_selector");

    for (labels, has) in [(json!({"tier": "web", "x": "1"}), true), (json!({}), false)] {
        w.api.put(&format!("/v1/servers/{b}"), json!({"labels": labels})).await.expect(200);
        assert_eq!(told(&w, b).await.is_some(), has, "{labels}");
    }
    w.delete(a).await;
    let shown = w.api.get(&format!("/v1/firewalls/{}", firewall["id"])).await.expect(200);
    assert_eq!(shown["firewall"]["applied_to"][0]["applied_to_resources"], json!([]));
    let begun =
        act(&w, &firewall, "remove_from_resources", json!({"remove_from": labelled("tier=web")})).await;
    assert_eq!(begun.expect(201)["actions"], json!([]), "nobody has such labels");
    w.finish().await;
}

#[tokio::test]
async fn a_new_server_can_name_its_firewalls() {
    let w = World::start().await;
    let firewall = create(&w, "web", &json!([ssh()]), &json!([])).await;
    let order = |name: &str, id: &Value| json!({"name": name, "server_type": w.plan, "image": w.image, "firewalls": [{"firewall": id}]});
    let id = w.running(&w.api.post("/v1/servers", order("a", &firewall["id"])).await.expect(201)).await;
    assert!(told(&w, id).await.is_some());
    let wrong = w.api.post("/v1/servers", order("b", &json!(987_654))).await.wrong_fields();
    assert_eq!(wrong, ["firewalls"]);
    w.holds(1).await;
    w.finish().await;
}

#[tokio::test]
async fn bad_input_and_limits_are_refused_with_the_field() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    for (rule, field) in [
        (json!({"direction": "in", "protocol": "tcp", "source_ips": ["0.0.0.0/0"]}), "rules.0.port"),
        (
            json!({"direction": "in", "protocol": "tcp", "port": "1", "source_ips": ["10.0.0.1/8"]}),
            "rules.0.source_ips.0",
        ),
        (
            json!({"direction": "in", "protocol": "tcp", "port": "99999", "source_ips": ["10.0.0.0/8"]}),
            "rules.0.port",
        ),
    ] {
        let answer = w.api.post("/v1/firewalls", json!({"name": "x", "rules": [rule]})).await;
        assert_eq!(answer.wrong_fields(), [field]);
    }
    let too_many = w.api.post("/v1/firewalls", json!({"name": "x", "rules": vec![ssh(); 51]})).await;
    assert_eq!(too_many.wrong_fields(), ["rules"]);
    let nobody = json!({"name": "x", "apply_to": [{"type": "server", "server": {"id": 987_654}}]});
    assert_eq!(w.api.post("/v1/firewalls", nobody).await.wrong_fields(), ["server"]);
    let list = w.api.get("/v1/firewalls").await.expect(200);
    assert_eq!(list["firewalls"], json!([]), "nothing is left of what was refused");

    for n in 0..5 {
        create(&w, &format!("f{n}"), &json!([]), &server(id)).await;
    }
    let sixth = w.api.post("/v1/firewalls", json!({"name": "f5", "apply_to": server(id)})).await;
    sixth.refused(403, "resource_limit_exceeded");
    w.api.post("/v1/firewalls", json!({"name": "f0"})).await.refused(409, "uniqueness_error");

    // Of another project there is nothing.
    let other = w.in_other_project();
    let mine = w.api.get("/v1/firewalls?name=f0").await.expect(200)["firewalls"][0]["id"].clone();
    other.api.get(&format!("/v1/firewalls/{mine}")).await.refused(404, "not_found");
    other.api.delete(&format!("/v1/firewalls/{mine}")).await.refused(404, "not_found");
    let theirs = other.api.post("/v1/firewalls", json!({"name": "f0", "apply_to": server(id)})).await;
    assert_eq!(theirs.wrong_fields(), ["server"]);
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_time_agree_in_the_end() {
    let w = World::builder().room_for(12).start().await;
    let firewall = create(&w, "all", &json!([ssh()]), &labelled("!free")).await;
    let creates = (0..8).map(|n| {
        let api = w.api.clone();
        let body = json!({"name": format!("s{n}"), "server_type": w.plan, "image": w.image});
        async move { api.post("/v1/servers", body).await.expect(201) }
    });
    let changes = (0..8).map(|n| {
        let api = w.api.clone();
        let path = format!("/v1/firewalls/{}/actions/set_rules", firewall["id"]);
        let rule = json!({"direction": "in", "protocol": "tcp", "port": (n + 1).to_string(), "source_ips": ["0.0.0.0/0"]});
        async move { api.post(&path, json!({"rules": [rule]})).await.expect(201) }
    });
    let (made, _) = futures_util::future::join(
        futures_util::future::join_all(creates),
        futures_util::future::join_all(changes),
    )
    .await;
    let rules =
        w.api.get(&format!("/v1/firewalls/{}", firewall["id"])).await.expect(200)["firewall"]["rules"].take();
    for created in &made {
        let id = w.running(created).await;
        let told = told(&w, id).await.expect("rules");
        assert_eq!(
            told.inbound[0].ports.map(|(port, _)| port.to_string()).as_deref(),
            rules[0]["port"].as_str()
        );
    }
    w.settled().await;
    w.finish().await;
}

/// What the host of a server has been told about private networks.
async fn told_privately(w: &World, id: i64) -> Option<Firewall> {
    let (firewall,): (Option<Value>,) = sqlx::query_as("select private_firewall from vps where id = $1")
        .bind(id)
        .fetch_one(w.inventory())
        .await
        .expect("the server is there");
    firewall.map(|json| serde_json::from_value(json).expect("the protocol's own type"))
}

#[tokio::test]
async fn a_firewall_holds_in_private_networks_when_its_tenant_wants_that() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let rule = |port: &str| json!({"direction": "in", "protocol": "tcp", "port": port, "source_ips": ["10.0.0.0/8"]});
    let inner = create(&w, "inner", &json!([rule("5432")]), &server(id)).await;
    let outer = create(&w, "outer", &json!([ssh()]), &server(id)).await;
    let path = |firewall: &Value| format!("/berth/v1/firewalls/{}", firewall["id"]);
    assert_eq!(
        w.api.get(&path(&inner)).await.expect(200),
        json!({"firewall": {"id": inner["id"], "private": false}})
    );
    assert_eq!(told_privately(&w, id).await, None, "as with hcloud, private networks are open");

    let change = async |firewall: &Value, body: Value| {
        let changed = w.api.put(&path(firewall), body).await.expect(200);
        for action in changed["actions"].as_array().expect("a list") {
            assert_eq!(action["command"], "apply_firewall");
            w.api.succeeded(action).await;
        }
        changed
    };
    let changed = change(&inner, json!({"private": true})).await;
    assert_eq!(
        (&changed["firewall"]["private"], changed["actions"].as_array().map(Vec::len)),
        (&json!(true), Some(1))
    );
    let inside = told_privately(&w, id).await.expect("rules");
    assert_eq!(
        (inside.inbound.len(), inside.inbound[0].ports),
        (1, Some((5432, 5432))),
        "not those of the other"
    );
    for body in [json!({"private": true}), json!({})] {
        assert_eq!(change(&inner, body).await["actions"], json!([]), "nothing changes");
    }
    // new rules reach both sides, and what they would change is told beforehand for both
    let rules = json!({"rules": [rule("6432")]});
    let tried = format!("{}/actions/set_rules?dry_run=true", path(&inner));
    let tried = w.api.post(&tried, rules.clone()).await.expect(200)["changes"][0].take();
    for (list, port) in
        [("added", "6432"), ("removed", "5432"), ("private_added", "6432"), ("private_removed", "5432")]
    {
        assert_eq!(tried[list][0]["port"], port, "{list}: {tried}");
    }
    let begun = act(&w, &inner, "set_rules", rules).await.expect(201);
    for action in begun["actions"].as_array().expect("a list") {
        w.api.succeeded(action).await;
    }
    assert_eq!(told_privately(&w, id).await.expect("rules").inbound[0].ports, Some((6432, 6432)));
    // a server that comes by its labels, or names it as it is made
    let labelled = act(&w, &inner, "apply_to_resources", json!({"apply_to": labelled("tier=db")})).await;
    labelled.expect(201);
    let body = json!({"name": "db", "server_type": w.plan, "image": w.image, "labels": {"tier": "db"}});
    let db = w.running(&w.api.post("/v1/servers", body).await.expect(201)).await;
    assert!(told_privately(&w, db).await.is_some());
    w.api.put(&format!("/v1/servers/{db}"), json!({"labels": {}})).await.expect(200);
    assert_eq!(told_privately(&w, db).await, None);

    change(&outer, json!({"private": true})).await;
    assert_eq!(told_privately(&w, id).await.expect("rules").inbound.len(), 2);
    change(&outer, json!({"private": false})).await;
    change(&inner, json!({"private": false})).await;
    assert_eq!(told_privately(&w, id).await, None);
    assert_eq!(told(&w, id).await.expect("rules").inbound.len(), 2, "outside nothing has changed");

    // wrong values, and others' firewalls
    assert_eq!(w.api.put(&path(&inner), json!({"private": "yes"})).await.status, 422);
    w.readonly.put(&path(&inner), json!({"private": true})).await.refused(403, "token_readonly");
    let other = w.in_other_project();
    other.api.get(&path(&inner)).await.refused(404, "not_found");
    other.api.put(&path(&inner), json!({"private": true})).await.refused(404, "not_found");
    w.finish().await;
}
