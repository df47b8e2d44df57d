//! Who may do what: tokens, projects, limits, and that no route was forgotten.

use berth_tests::world::World;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn tokens_are_what_hcloud_clients_accept() {
    let w = World::start().await;
    let token = w.api.token();
    assert_eq!(token.len(), 64);
    assert!(token.bytes().all(|b| b.is_ascii_alphanumeric()), "{token}");
    assert!(!w.dump().await.contains(token), "tokens are kept as hashes");
    w.finish().await;
}

#[tokio::test]
async fn without_a_token_there_is_nothing() {
    let w = World::start().await;
    let right = w.api.token().to_owned();
    let flip = |c: char| if c == 'a' { 'b' } else { 'a' };
    let mut wrong = right.clone();
    let last = wrong.pop().expect("64 characters");
    wrong.push(flip(last));
    w.api.without_token().get("/v1/servers").await.refused(401, "unauthorized");
    for token in
        [wrong.as_str(), &right[..63], "x", "", &right.to_uppercase(), &"a".repeat(64), &"a".repeat(5000)]
    {
        w.api.with_token(token).get("/v1/servers").await.refused(401, "unauthorized");
    }
    w.finish().await;
}

#[tokio::test]
async fn a_read_only_token_reads_only() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let key = w.ssh_key("mine").await;
    w.readonly.get(&format!("/v1/servers/{id}")).await.expect(200);
    let server = format!("/v1/servers/{id}");
    for answer in [
        w.readonly.post("/v1/servers", json!({"name": "x", "server_type": w.plan, "image": w.image})).await,
        w.readonly.put(&server, json!({"name": "x"})).await,
        w.readonly.delete(&server).await,
        w.readonly.post(&format!("{server}/actions/poweroff"), json!({})).await,
        w.readonly.post(&format!("{server}/actions/reset_password"), json!({})).await,
        w.readonly.post(&format!("{server}/actions/request_console"), json!({})).await,
        w.readonly
            .post("/v1/ssh_keys", json!({"name": "x", "public_key": berth_tests::world::public_key()}))
            .await,
        w.readonly.delete(&format!("/v1/ssh_keys/{}", key["id"])).await,
    ] {
        answer.refused(403, "token_readonly");
    }
    w.api.server_is(id, "running").await;
    w.finish().await;
}

#[tokio::test]
async fn another_projects_things_are_not_there() {
    let w = World::start().await;
    let created = w.create("web").await;
    let id = w.running(&created).await;
    let key = w.ssh_key("mine").await;
    let other = w.in_other_project();
    for path in [
        format!("/v1/servers/{id}"),
        format!("/v1/servers/{id}/actions"),
        format!("/v1/ssh_keys/{}", key["id"]),
        format!("/v1/actions/{}", created["action"]["id"]),
        format!("/v1/servers/actions/{}", created["action"]["id"]),
    ] {
        other.api.get(&path).await.refused(404, "not_found");
    }
    for action in ["poweron", "poweroff", "shutdown", "reboot", "reset", "reset_password", "request_console"]
    {
        let answer = other.api.post(&format!("/v1/servers/{id}/actions/{action}"), json!({})).await;
        answer.refused(404, "not_found");
    }
    other.api.put(&format!("/v1/servers/{id}"), json!({"name": "mine"})).await.refused(404, "not_found");
    other.api.delete(&format!("/v1/servers/{id}")).await.refused(404, "not_found");
    other.api.delete(&format!("/v1/ssh_keys/{}", key["id"])).await.refused(404, "not_found");
    let borrowed = json!({"name": "x", "server_type": w.plan, "image": w.image, "ssh_keys": [key["id"]]});
    let fields = other.api.post("/v1/servers", borrowed).await.wrong_fields();
    assert_eq!(fields, ["ssh_keys"], "another project's key cannot be used");
    for list in ["servers", "ssh_keys"] {
        assert_eq!(other.api.get(&format!("/v1/{list}")).await.expect(200)[list], json!([]));
    }
    w.api.server_is(id, "running").await;
    w.finish().await;
}

#[tokio::test]
async fn tenants_are_not_operators() {
    let w = World::start().await;
    for path in ["/admin/v1/hosts", "/admin/v1/projects", "/admin/v1/plans", "/admin/v1/images"] {
        w.api.without_token().get(path).await.refused(401, "unauthorized");
        let tenant = w.api.get(path).await;
        assert!(matches!(tenant.status, 401 | 403), "{tenant:?}");
    }
    w.admin.get("/admin/v1/hosts").await.expect(200);
    w.admin.get("/v1/servers").await.refused(401, "unauthorized");
    w.finish().await;
}

#[tokio::test]
async fn limits_are_counted_and_kept_apart() {
    let w = World::builder().hosts(0).rate_limit(20).start().await;
    let mut remaining = i64::MAX;
    let refused = loop {
        let answer = w.api.get("/v1/servers").await;
        assert_eq!(answer.header("ratelimit-limit"), Some("20"));
        assert!(answer.header("ratelimit-reset").is_some());
        let now: i64 = answer.header("ratelimit-remaining").and_then(|v| v.parse().ok()).expect("a number");
        assert!(now <= remaining, "what remains does not rise within a second");
        remaining = now;
        if answer.status != 200 {
            break answer;
        }
    };
    refused.refused(429, "rate_limit_exceeded");
    w.in_other_project().api.get("/v1/servers").await.expect(200);
    w.finish().await;
}

#[tokio::test]
async fn every_answer_can_be_traced() {
    let w = World::builder().hosts(0).start().await;
    let mut ids = std::collections::HashSet::new();
    for answer in [
        w.api.get("/v1/servers").await,
        w.api.get("/v1/servers/1").await,
        w.api.without_token().get("/v1/servers").await,
    ] {
        let id = answer.header("x-correlation-id").expect("every answer has one").to_owned();
        assert!(ids.insert(id), "each its own");
    }
    w.finish().await;
}

/// Walks the description that the server makes from its own code, so that a new route cannot be forgotten.
#[tokio::test]
async fn every_route_asks_who_is_there() {
    let w = World::builder().hosts(0).start().await;
    let document = w.api.without_token().get("/openapi.json").await.expect(200);
    assert_eq!(document["openapi"].as_str().map(|v| &v[..3]), Some("3.1"));
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "put", "post", "patch", "delete"].into_iter().filter(|m| item.get(m).is_some())
        {
            let url = fill(path);
            let body = ["post", "put", "patch"].contains(&method).then(|| body_for(path).to_string());
            let method = method.to_uppercase().parse::<Method>().expect("a method");
            if url.starts_with("/v1/") || url.starts_with("/admin/") || url.starts_with("/berth/") {
                seen += 1;
                let answer = w.api.without_token().send(method.clone(), &url, body.clone()).await;
                answer.refused(401, "unauthorized");
            }
            if (url.starts_with("/v1/") || url.starts_with("/berth/")) && path.contains("{id}") {
                // Nothing has this id, so nothing of another project either; both must look the same.
                w.api.send(method, &url, body).await.refused(404, "not_found");
            }
        }
    }
    assert!(seen > 40, "the description names the routes: {seen}");
    w.finish().await;
}

pub(crate) fn fill(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "987654321".to_owned() } else { part.to_owned() };
    let query = match path {
        _ if path.ends_with("/files") => "?path=/etc/hostname",
        "/berth/v1/firewalls/{id}/actions/set_rules" => "?dry_run=true",
        "/berth/v1/events/stream" => "?after=x", // else it would not end
        _ => "",
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/") + query
}

/// Something that the route can do, so that it comes to look for what it is to be done to.
pub(crate) fn body_for(path: &str) -> Value {
    match path.rsplit('/').next().unwrap_or_default() {
        "life" => json!({"restart_policy": "never"}),
        "limits" => json!({"pids": 100}),
        "exec" => json!({"argv": ["true"]}),
        "set_rules" => json!({"rules": []}),
        "apply_to_resources" => json!({"apply_to": []}),
        "assign" => json!({"assignee_id": 1, "assignee_type": "server", "server": 1}),
        "change_dns_ptr" => json!({"ip": "192.0.2.7", "dns_ptr": null}),
        "change_protection" => json!({"delete": true}),
        "remove_from_resources" => json!({"remove_from": []}),
        "add_subnet" => json!({"type": "cloud", "network_zone": "local"}),
        "delete_subnet" | "change_ip_range" => json!({"ip_range": "10.0.0.0/16"}),
        "add_route" | "delete_route" => json!({"destination": "10.1.0.0/16", "gateway": "10.0.0.2"}),
        "attach_to_network" | "detach_from_network" => json!({"network": 987_654_321}),
        "change_alias_ips" => json!({"network": 987_654_321, "alias_ips": []}),
        _ => json!({}),
    }
}

/// What clients were promised must be in the description, with hcloud's own paths.
#[tokio::test]
async fn the_description_has_what_was_promised() {
    let w = World::builder().hosts(0).start().await;
    let document = w.api.get("/openapi.json").await.expect(200);
    for (method, path) in [
        ("get", "/v1/servers"),
        ("post", "/v1/servers"),
        ("get", "/v1/servers/{id}"),
        ("put", "/v1/servers/{id}"),
        ("delete", "/v1/servers/{id}"),
        ("post", "/v1/servers/{id}/actions/poweron"),
        ("post", "/v1/servers/{id}/actions/poweroff"),
        ("post", "/v1/servers/{id}/actions/shutdown"),
        ("post", "/v1/servers/{id}/actions/reboot"),
        ("post", "/v1/servers/{id}/actions/reset"),
        ("post", "/v1/servers/{id}/actions/reset_password"),
        ("post", "/v1/servers/{id}/actions/request_console"),
        ("post", "/v1/servers/{id}/actions/change_type"),
        ("post", "/v1/servers/{id}/actions/change_protection"),
        ("get", "/v1/servers/{id}/actions"),
        ("get", "/v1/servers/actions"),
        ("get", "/v1/servers/actions/{id}"),
        ("get", "/v1/actions"),
        ("get", "/v1/actions/{id}"),
        ("get", "/v1/server_types"),
        ("get", "/v1/images"),
        ("get", "/v1/locations"),
        ("get", "/v1/datacenters"),
        ("get", "/v1/ssh_keys"),
        ("post", "/v1/ssh_keys"),
        ("get", "/v1/pricing"),
        ("get", "/v1/networks"),
        ("post", "/v1/networks"),
        ("get", "/v1/networks/{id}"),
        ("put", "/v1/networks/{id}"),
        ("delete", "/v1/networks/{id}"),
        ("post", "/v1/networks/{id}/actions/add_subnet"),
        ("post", "/v1/networks/{id}/actions/delete_subnet"),
        ("post", "/v1/networks/{id}/actions/add_route"),
        ("post", "/v1/networks/{id}/actions/delete_route"),
        ("post", "/v1/networks/{id}/actions/change_ip_range"),
        ("post", "/v1/networks/{id}/actions/change_protection"),
        ("get", "/v1/networks/{id}/actions"),
        ("get", "/v1/networks/actions"),
        ("post", "/v1/servers/{id}/actions/attach_to_network"),
        ("post", "/v1/servers/{id}/actions/detach_from_network"),
        ("post", "/v1/servers/{id}/actions/change_alias_ips"),
        ("post", "/v1/servers/{id}/actions/change_dns_ptr"),
        ("post", "/v1/primary_ips/{id}/actions/change_dns_ptr"),
        ("post", "/v1/floating_ips/{id}/actions/change_dns_ptr"),
        ("get", "/berth/v1/servers/{id}/limits"),
        ("patch", "/berth/v1/servers/{id}/limits"),
        ("get", "/berth/v1/servers/{id}/events"),
        ("get", "/berth/v1/servers/{id}/traffic"),
        ("get", "/berth/v1/servers/{id}/network"),
        ("get", "/berth/v1/firewalls/{id}"),
        ("put", "/berth/v1/firewalls/{id}"),
        ("get", "/berth/v1/firewalls/{id}/hits"),
        ("post", "/berth/v1/firewalls/{id}/actions/set_rules"),
        ("put", "/admin/v1/servers/{id}/isolation"),
        ("patch", "/admin/v1/plans/{id}/policy"),
    ] {
        assert_ne!(document["paths"][path][method], Value::Null, "{method} {path} is missing");
    }
    w.finish().await;
}
