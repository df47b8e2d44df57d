//! Tokens that may less than all: by scope, time and place; and that every route of the API has its scope.

use berth_server::domain::scopes::{Access, Resource};
use berth_tests::client::Api;
use berth_tests::console::Console;
use berth_tests::world::World;
use reqwest::Method;
use serde_json::{Value, json};

use super::access::{body_for, fill};
use super::dashboard::signed_in;

/// A token of the tenant's project with these bounds.
async fn token(w: &World, bounds: Value) -> Api {
    let mut body = json!({"name": "bounded", "project": "mine"});
    body.as_object_mut().expect("an object").extend(bounds.as_object().expect("bounds").clone());
    let made = w.admin.post("/admin/v1/tokens", body).await.expect(201);
    w.api.with_token(made["secret"].as_str().expect("it is shown once"))
}

fn scope(resource: Resource, access: Access) -> String {
    format!("{}:{}", resource.name(), access.name())
}

fn largest(resource: Resource) -> String {
    scope(resource, *resource.accesses().last().expect("one at least"))
}

/// Every route with a token that has all scopes but its own, with one that has only its own, and, where it changes
/// something, with one that may only read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_has_one_scope_and_is_closed_without_it() {
    let w = World::builder().hosts(0).start().await;
    let mut tokens = Vec::new();
    for resource in Resource::ALL {
        let others = Resource::ALL.into_iter().filter(|other| *other != resource).map(largest);
        let without = token(&w, json!({"scopes": others.collect::<Vec<_>>()})).await;
        let only = token(&w, json!({"scopes": [largest(resource)]})).await;
        let read = match resource.accesses() {
            [Access::Read, Access::Write] => {
                Some(token(&w, json!({"scopes": [scope(resource, Access::Read)]})).await)
            }
            _ => None,
        };
        tokens.push((resource, without, only, read));
    }
    let document = w.api.without_token().get("/openapi.json").await.expect(200);
    let mut seen = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        if !path.starts_with("/v1/") && !path.starts_with("/berth/v1/") {
            continue;
        }
        for method in ["get", "put", "post", "patch", "delete"].into_iter().filter(|m| item.get(m).is_some())
        {
            let (url, writes) = (fill(path), method != "get");
            let body = ["post", "put", "patch"].contains(&method).then(|| body_for(path).to_string());
            let method: Method = method.to_uppercase().parse().expect("a method");
            let ask = async |api: &Api| api.send(method.clone(), &url, body.clone()).await;
            let mut closed = Vec::new();
            for (resource, without, only, read) in &tokens {
                let answer = ask(without).await;
                if answer.status != 403 {
                    continue;
                }
                let told = answer.refused(403, "forbidden").to_string();
                assert!(
                    told.contains(&format!("lacks the scope {}:", resource.name())),
                    "{method} {path}: {told}"
                );
                closed.push(*resource);
                assert_ne!(ask(only).await.status, 403, "{method} {path} with {resource:?} alone");
                if let Some(read) = read {
                    let answer = ask(read).await;
                    assert_eq!(answer.status == 403, writes, "{method} {path} with {resource:?}:read");
                }
            }
            assert_eq!(closed.len(), 1, "{method} {path} needs one scope: {closed:?}");
            seen.extend(closed);
        }
    }
    assert_eq!(seen.len(), Resource::ALL.len(), "every resource has routes: {seen:?}");
    w.finish().await;
}

#[tokio::test]
async fn what_is_allowed_works_and_nothing_else_does() {
    let w = World::start().await;
    let api = token(&w, json!({"scopes": ["servers:write", "actions:read"]})).await;
    let body = json!({"name": "web", "server_type": w.plan, "image": w.image});
    let made = api.post("/v1/servers", body).await.expect(201);
    let id = made["server"]["id"].as_i64().expect("an id");
    w.api.succeeded(&made["action"]).await;
    api.get(&format!("/v1/actions/{}", made["action"]["id"])).await.expect(200);
    api.post(&format!("/v1/servers/{id}/actions/reset_password"), json!({})).await.refused(403, "forbidden");
    api.get(&format!("/berth/v1/servers/{id}/files?path=/etc/hostname")).await.refused(403, "forbidden");
    api.get("/v1/ssh_keys").await.refused(403, "forbidden");
    api.get("/admin/v1/hosts").await.refused(403, "forbidden");
    let read = token(&w, json!({"scopes": ["servers:read"]})).await;
    read.get(&format!("/v1/servers/{id}")).await.expect(200);
    let told = read.delete(&format!("/v1/servers/{id}")).await.refused(403, "forbidden").to_string();
    assert!(told.contains("servers:write"), "{told}");
    api.delete(&format!("/v1/servers/{id}")).await.expect(200);
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn a_token_is_good_until_its_end_and_so_is_what_it_opened() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let api = token(&w, json!({"expires_at": "2100-01-01T00:00:00Z"})).await;
    api.get("/v1/servers").await.expect(200);
    let mut console = Console::of(&api, id).await;
    console.connected().await.expect("it is open");
    w.sql("update tokens set expires_at = now() - interval '1 second' where expires_at is not null").await;
    let told = api.get("/v1/servers").await.refused(401, "unauthorized").to_string();
    assert!(told.contains("was good until"), "{told}");
    console.closed().await;
    let listed = w.admin.get("/admin/v1/tokens?project=mine").await.expect(200);
    assert!(listed["tokens"].as_array().expect("tokens").iter().any(|t| t["expires_at"].is_string()));
    w.finish().await;
}

#[tokio::test]
async fn a_token_is_taken_from_its_networks_only() {
    let w = World::builder().hosts(0).start().await;
    let here = token(&w, json!({"sources": ["127.0.0.0/8", "::1"]})).await;
    here.get("/v1/servers").await.expect(200);
    let elsewhere = token(&w, json!({"sources": ["192.0.2.0/24", "2001:db8::/32"]})).await;
    let told = elsewhere.get("/v1/servers").await.refused(403, "forbidden").to_string();
    assert!(told.contains("from 127.0.0.1") && !told.contains("192.0.2"), "{told}");
    // Those of operators have the same bounds, but for scopes.
    let operator = json!({"name": "o", "sources": ["192.0.2.7"], "expires_at": "2100-01-01T00:00:00Z"});
    let made = w.admin.post("/admin/v1/tokens", operator).await.expect(201);
    let operator = w.admin.with_token(made["secret"].as_str().expect("shown"));
    operator.get("/admin/v1/hosts").await.refused(403, "forbidden");
    w.sql("update tokens set sources = null, expires_at = now() where name = 'o'").await;
    operator.get("/admin/v1/hosts").await.refused(401, "unauthorized");
    w.finish().await;
}

#[tokio::test]
async fn bounds_are_read_strictly_by_api_and_page() {
    let w = World::builder().hosts(0).start().await;
    for (bounds, field) in [
        (json!({"scopes": []}), "scopes"),
        (json!({"scopes": ["servers"]}), "scopes"),
        (json!({"scopes": ["audit:write"]}), "scopes"),
        (json!({"scopes": ["servers:read"], "writable": true}), "writable"),
        (json!({"expires_at": "tomorrow"}), "expires_at"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"sources": ["192.0.2.1/24"]}), "sources"),
        (json!({"sources": ["example.com"]}), "sources"),
    ] {
        let mut body = json!({"name": "x", "project": "mine"});
        body.as_object_mut().expect("an object").extend(bounds.as_object().expect("bounds").clone());
        assert_eq!(w.admin.post("/admin/v1/tokens", body).await.wrong_fields(), [field], "{bounds}");
    }
    let body = json!({"name": "x", "scopes": ["servers:read"]});
    assert_eq!(w.admin.post("/admin/v1/tokens", body).await.wrong_fields(), ["scopes"]);

    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = w.scalar("select id from projects where name = 'mine'").await;
    let page = format!("/projects/{mine}/tokens");
    let wrong = [("name", "ci"), ("access", "scopes"), ("ends", "2020-01-01"), ("sources", "here")];
    let told = browser.post(&page, &wrong).await.expect(422);
    for text in ["at least one part", "is over already", "neither an address nor a network", "value=\"ci\""] {
        assert!(told.contains(text), "{text}: {told}");
    }
    let right = [
        ("name", "ci"),
        ("access", "scopes"),
        ("scope-servers", "read"),
        ("scope-keys", "write"),
        ("ends", "2100-01-01"),
        ("sources", "127.0.0.0/8, ::1"),
    ];
    browser.post(&page, &right).await.leads_to(&page);
    let shown = browser.get(&page).await.expect(200);
    let secret = shown.split(r#"id="new-token">"#).nth(1).and_then(|rest| rest.split('<').next());
    let api = w.api.with_token(secret.expect("a token"));
    api.get("/v1/servers").await.expect(200);
    api.get("/v1/networks").await.refused(403, "forbidden");
    for text in ["servers: read", "keys: write", "only from 127.0.0.0/8, ::1/128"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    // The trail tells what was given.
    let trail = w.admin.get("/admin/v1/audit?event=token.created").await.expect(200).to_string();
    assert!(trail.contains("keys:write") && trail.contains("127.0.0.0/8"), "{trail}");
    w.finish().await;
}
