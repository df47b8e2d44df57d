//! The operators' API: what it makes, what it refuses, and who may use it.

use berth_tests::world::World;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn nothing_answers_without_an_operators_token() {
    let w = World::builder().hosts(0).start().await;
    let description = w.admin.get("/openapi.json").await.expect(200);
    let paths = description["paths"].as_object().expect("paths");
    let mut asked = 0;
    for (path, item) in paths.iter().filter(|(path, _)| path.starts_with("/admin/v1/")) {
        for method in item.as_object().expect("operations").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let path = path.replace("{id}", "1");
            let nobody = w.admin.without_token();
            nobody.send(method.clone(), &path, Some("{}".into())).await.refused(401, "unauthorized");
            w.api.send(method, &path, Some("{}".into())).await.refused(403, "forbidden");
            asked += 1;
        }
    }
    assert!(asked > 25, "only {asked} operations are described");
    w.finish().await;
}

#[tokio::test]
async fn pools_do_not_overlap_and_are_kept_while_used() {
    let w = World::start().await;
    let make = async |name: &str, cidr: &str| {
        w.admin.post("/admin/v1/pools", json!({"name": name, "cidr": cidr})).await
    };
    let made = make("extra", "10.9.0.0/24").await.expect(201);
    assert_eq!((&made["pool"]["addresses"], &made["pool"]["kind"]), (&json!(253), &json!("nat")));
    for (name, cidr, field) in [
        ("again", "10.9.0.128/25", "cidr"),
        ("host-bits", "10.10.0.1/24", "cidr"),
        ("large", "10.0.0.0/8", "cidr"),
        ("loopback", "127.0.0.0/24", "cidr"),
        ("no network", "10.11.0.0/24", "name"),
        ("words", "ten", "cidr"),
    ] {
        assert_eq!(make(name, cidr).await.wrong_fields(), [field], "{name}");
    }
    make("extra", "10.12.0.0/24").await.refused(409, "uniqueness_error");

    let id = w.running(&w.create("web").await).await;
    let pools = w.admin.get("/admin/v1/pools").await.expect(200);
    let used =
        pools["pools"].as_array().expect("pools").iter().find(|p| p["used"] == 1).expect("one is used");
    let path = format!("/admin/v1/pools/{}", used["id"]);
    w.admin.delete(&path).await.refused(422, "resource_in_use");
    w.delete(id).await;
    w.admin.delete(&path).await.expect(204);
    w.finish().await;
}

#[tokio::test]
async fn an_image_is_what_its_digest_says_or_it_is_refused() {
    let w = World::builder().hosts(0).start().await;
    let stored = w.admin.get("/admin/v1/images").await.expect(200)["images"][0].take();
    let zeros = "0".repeat(64);
    for (body, field) in [
        (json!({"name": "a", "url": "http://127.0.0.1:1/a.tar"}), "sha256"),
        (json!({"name": "a", "url": "http://127.0.0.1:1/a.tar", "sha256": zeros}), "url"),
        (json!({"name": "a", "path": "/dev/null"}), "image"),
        (json!({"name": "a", "path": "/nowhere/a.tar"}), "path"),
        (json!({"name": "A B", "path": "/dev/null"}), "name"),
        (json!({"name": "a"}), "url"),
        (json!({"name": "a", "path": "/dev/null", "sha256": "abc"}), "sha256"),
    ] {
        let answer = w.admin.post("/admin/v1/images", body.clone()).await;
        assert_eq!(answer.wrong_fields(), [field], "{body}");
    }
    let refused =
        w.admin.post("/admin/v1/images/build", json!({"suite": "bookworm", "mirror": "file:///etc"})).await;
    assert_eq!(refused.wrong_fields(), ["mirror"]);
    let after = w.admin.get("/admin/v1/images").await.expect(200)["images"].take();
    assert_eq!(after, json!([stored]), "nothing was left behind");

    w.admin.delete(&format!("/admin/v1/images/{}", stored["id"])).await.expect(204);
    let body = json!({"name": "web", "server_type": w.plan, "image": w.image});
    assert_eq!(w.api.post("/v1/servers", body).await.wrong_fields(), ["image"], "it is not offered any more");
    w.finish().await;
}

#[tokio::test]
async fn hosts_come_and_go() {
    let w = World::start().await;
    let made = w.admin.post("/admin/v1/hosts", json!({"name": "spare"})).await.expect(201);
    let id = made["host"]["id"].as_i64().expect("an id");
    assert_eq!(made["host"]["state"], "new");
    w.admin.post("/admin/v1/hosts", json!({"name": "spare"})).await.refused(409, "uniqueness_error");
    assert_eq!(w.admin.post("/admin/v1/hosts", json!({"name": "Über"})).await.wrong_fields(), ["name"]);
    let path = format!("/admin/v1/hosts/{id}");
    let low = w.admin.put(&path, json!({"cpu_overcommit": 0.5})).await;
    assert_eq!(low.wrong_fields(), ["cpu_overcommit"]);
    let changed = w.admin.put(&path, json!({"cpu_overcommit": 2, "cordoned": true})).await.expect(200);
    assert_eq!(
        (&changed["host"]["cpu_overcommit"], &changed["host"]["cordoned"]),
        (&json!(2.0), &json!(true))
    );
    w.admin.post(&format!("{path}/enrol_token"), json!({})).await.expect(201);
    w.admin.delete(&path).await.expect(204);
    w.admin.get(&path).await.refused(404, "not_found");

    let vps = w.running(&w.create("web").await).await;
    let hosts = w.admin.get("/admin/v1/hosts").await.expect(200)["hosts"].take();
    let path = format!("/admin/v1/hosts/{}", hosts[0]["id"]);
    w.admin.delete(&path).await.refused(422, "resource_in_use");
    let whole: Value = w.admin.get(&path).await.expect(200);
    assert_eq!((&whole["vpses"][0]["id"], &whole["vpses"][0]["status"]), (&json!(vps), &json!("running")));
    w.finish().await;
}

#[tokio::test]
async fn plans_tokens_and_users() {
    let w = World::builder().hosts(0).start().await;
    let plan = json!({"name": "tiny", "cpu_milli": 500, "memory_bytes": 1 << 28, "disk_bytes": 1 << 30});
    let made = w.admin.post("/admin/v1/plans", plan.clone()).await.expect(201);
    w.admin.post("/admin/v1/plans", plan).await.refused(409, "uniqueness_error");
    for (key, bad) in [("cpu_milli", json!(0)), ("price_hourly", json!("much")), ("name", json!("A B"))] {
        let mut plan =
            json!({"name": "other", "cpu_milli": 500, "memory_bytes": 1 << 28, "disk_bytes": 1 << 30});
        plan[key] = bad;
        assert_eq!(w.admin.post("/admin/v1/plans", plan).await.wrong_fields(), [key]);
    }
    w.admin.delete(&format!("/admin/v1/plans/{}", made["plan"]["id"])).await.expect(204);
    let types = w.api.get("/v1/server_types?name=tiny").await.expect(200);
    assert_eq!(types["server_types"][0]["deprecated"], true, "it is not offered any more");

    let project =
        w.admin.post("/admin/v1/projects", json!({"name": "new"})).await.expect(201)["project"]["id"].take();
    let token = json!({"name": "t", "project": project, "writable": false});
    let token = w.admin.post("/admin/v1/tokens", token).await.expect(201);
    let tenant = w.api.with_token(token["secret"].as_str().expect("it is shown once"));
    tenant.get("/v1/servers").await.expect(200);
    tenant.post("/v1/ssh_keys", json!({})).await.refused(403, "token_readonly");
    let path = format!("/admin/v1/tokens/{}", token["token"]["id"]);
    w.admin.delete(&path).await.refused(404, "not_found");
    w.admin.delete(&format!("{path}?project=new")).await.expect(204);
    tenant.get("/v1/servers").await.refused(401, "unauthorized");

    let user = json!({"email": "a@b.example", "projects": ["new"]});
    let made = w.admin.post("/admin/v1/users", user.clone()).await.expect(201);
    assert!(made["password"].as_str().is_some_and(|p| p.len() >= 20), "{made}");
    w.admin.post("/admin/v1/users", user).await.refused(409, "uniqueness_error");
    let again = format!("/admin/v1/users/{}/password", made["user"]["id"]);
    let again = w.admin.post(&again, json!({})).await.expect(200);
    assert_ne!(again["password"], made["password"]);
    w.finish().await;
}
