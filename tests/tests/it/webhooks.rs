//! The project's events by list, stream and webhook: nothing is missed, nothing is told to others, and nobody's webhook
//! reaches what it should not.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_server::domain::webhook::signature;
use berth_tests::client::DEADLINE;
use berth_tests::wait::until;
use berth_tests::world::World;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Somebody who listens: what was posted, and what is to be answered.
struct Receiver {
    url: String,
    got: mpsc::UnboundedReceiver<(HeaderMap, String)>,
    answers: mpsc::UnboundedSender<u16>,
}

type Ears = (
    mpsc::UnboundedSender<(HeaderMap, String)>,
    std::sync::Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<u16>>>,
);

impl Receiver {
    async fn start() -> Self {
        let (tell, got) = mpsc::unbounded_channel();
        let (answers, asked) = mpsc::unbounded_channel();
        let ears: Ears = (tell, std::sync::Arc::new(tokio::sync::Mutex::new(asked)));
        let hear = async |State((tell, asked)): State<Ears>, headers: HeaderMap, body: String| {
            let _ = tell.send((headers, body));
            let answer = asked.lock().await.try_recv().unwrap_or(204);
            StatusCode::from_u16(answer).expect("a status")
        };
        let router = Router::new().route("/hook", post(hear)).with_state(ears);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address: SocketAddr = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url: format!("http://{address}/hook"), got, answers }
    }

    /// What comes next, once its signature is right.
    async fn next(&mut self, secret: &str) -> (String, Value) {
        let next = tokio::time::timeout(DEADLINE, self.got.recv()).await.expect("something comes");
        let (headers, body) = next.expect("the receiver runs");
        let header = |name: &str| headers[name].to_str().expect("ASCII").to_owned();
        let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
        let signed = signature(secret, &id, at.parse().expect("seconds"), &body);
        assert_eq!(Some(header("webhook-signature")), signed, "{body}");
        (id, serde_json::from_str(&body).expect("JSON"))
    }
}

async fn world() -> World {
    World::builder().webhooks("127.0.0.0/8").start().await
}

#[tokio::test]
async fn what_happens_is_listed_once_and_in_order() {
    let w = world().await;
    let start = w.api.get("/berth/v1/events").await.expect(200)["cursor"].as_i64().expect("a cursor");
    let id = w.running(&w.create("web").await).await;
    w.api.put(&format!("/v1/servers/{id}"), json!({"name": "www"})).await.expect(200);
    w.delete(id).await;
    let (mut after, mut seen) = (start, Vec::new());
    until("the end of the server", DEADLINE, async || {
        let answer = w.api.get(&format!("/berth/v1/events?after={after}")).await.expect(200);
        for event in answer["events"].as_array().expect("a list") {
            assert!(event["id"].as_i64() > Some(after), "nothing comes twice");
            after = event["id"].as_i64().expect("an id");
            seen.push(event["kind"].as_str().expect("a kind").to_owned());
        }
        after = answer["cursor"].as_i64().expect("a cursor");
        (seen.iter().filter(|kind| *kind == "action.success").count() == 2)
            .then_some(())
            .ok_or_else(|| format!("{seen:?}"))
    })
    .await;
    for kind in ["server.created", "server.changed", "action.started", "guest.started"] {
        assert!(seen.iter().any(|k| k == kind), "{kind} in {seen:?}");
    }
    let place = |kind: &str| seen.iter().position(|k| k == kind);
    assert!(place("action.started") < place("action.success"), "{seen:?}");

    // Another project hears nothing of it, and filters hold.
    let other = w.in_other_project().api.get("/berth/v1/events").await.expect(200);
    assert!(!other.to_string().contains("www"), "{other}");
    let answer = w.api.get(&format!("/berth/v1/events?after={start}&kind=action")).await.expect(200);
    let kinds: Vec<&str> =
        answer["events"].as_array().expect("a list").iter().filter_map(|e| e["kind"].as_str()).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind.starts_with("action.")), "{kinds:?}");
    for (query, field) in
        [("after=-1", "after"), ("after=x", "after"), ("after=999999999", "after"), ("kind=a%20b", "kind")]
    {
        assert_eq!(w.api.get(&format!("/berth/v1/events?{query}")).await.wrong_fields(), [field], "{query}");
    }
    w.finish().await;
}

#[tokio::test]
async fn what_is_forgotten_is_told_of() {
    let w = world().await;
    w.ssh_key("one").await;
    let cursor = w.api.get("/berth/v1/events").await.expect(200)["cursor"].as_i64().expect("a cursor");
    w.sql("update feed set at = at - interval '31 days'").await;
    w.ssh_key("two").await;
    w.api.get("/berth/v1/events").await.expect(200);
    w.sql("delete from feed where at < now() - interval '30 days'").await;
    assert_eq!(w.api.get("/berth/v1/events?after=0").await.wrong_fields(), ["after"]);
    let rest = w.api.get(&format!("/berth/v1/events?after={cursor}")).await.expect(200);
    assert_eq!(rest["events"].as_array().map(Vec::len), Some(1), "{rest}");
    w.finish().await;
}

#[tokio::test]
async fn a_stream_goes_on_where_it_stopped() {
    let mut w = world().await;
    let http = reqwest::Client::new();
    let follow = async |w: &World, token: &str, last: Option<i64>| {
        let request =
            http.get(format!("{}/berth/v1/events/stream?kind=ssh_key", w.url(0))).bearer_auth(token);
        let request = last.iter().fold(request, |r, id| r.header("last-event-id", id.to_string()));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes_stream()
    };
    let token = w.api.token().to_owned();
    let mut stream = follow(&w, &token, None).await;
    w.ssh_key("one").await;
    let text = read(&mut stream, "\"target\":\"one\"").await;
    assert!(text.contains("event: ssh_key.created"), "{text}");
    let last: i64 = text.split("id: ").nth(1).and_then(|t| t.lines().next()?.parse().ok()).expect("an id");
    drop(stream);

    // What happens meanwhile comes first; a server that stops ends the stream in order.
    w.ssh_key("two").await;
    let mut stream = follow(&w, &token, Some(last)).await;
    w.ssh_key("three").await;
    let text = read(&mut stream, "\"target\":\"three\"").await;
    assert!(text.contains("\"target\":\"two\"") && !text.contains("\"target\":\"one\""), "{text}");
    w.restart_server(0).await;
    tokio::time::timeout(DEADLINE, async { while let Some(Ok(_)) = stream.next().await {} })
        .await
        .expect("it ends");

    // A token has some open at once, and no more.
    let path = format!("{}/berth/v1/events/stream", w.url(0));
    let open = async || http.get(&path).bearer_auth(&token).send().await.expect("an answer");
    let mut streams = Vec::new();
    for _ in 0..16 {
        let answer = open().await;
        assert_eq!(answer.status(), 200);
        streams.push(answer);
    }
    let refused = open().await;
    assert_eq!(refused.status(), 429);
    let told: Value = refused.json().await.expect("JSON");
    assert_eq!(told["error"]["code"], "rate_limit_exceeded");
    let message = told["error"]["message"].as_str().expect("a message");
    assert!(message.contains("16 event streams are open with this token"), "{message}");
    drop(streams);

    // A token that is taken away ends its streams.
    until("seats to come back", DEADLINE, async || {
        let status = open().await.status();
        if status == 200 { Ok(()) } else { Err(format!("still {status}")) }
    })
    .await;
    let mut stream = follow(&w, &token, Some(last)).await;
    read(&mut stream, "\"target\":\"three\"").await;
    w.sql("delete from tokens where project_id = (select id from projects where name = 'mine')").await;
    tokio::time::timeout(DEADLINE, async { while let Some(Ok(_)) = stream.next().await {} })
        .await
        .expect("it ends");
    w.finish().await;
}

async fn read(
    stream: &mut (impl futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin),
    wanted: &str,
) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let chunk = tokio::time::timeout(DEADLINE, stream.next())
            .await
            .unwrap_or_else(|_| panic!("{wanted} in {text}"));
        text.push_str(&String::from_utf8_lossy(&chunk.expect("it goes on").expect("it is whole")));
    }
    text
}

#[tokio::test]
async fn webhooks_hear_everything_in_order_whatever_fails() {
    let mut w = world().await;
    let mut ears = Receiver::start().await;
    let made = w
        .api
        .post("/berth/v1/webhooks", json!({"name": "ears", "url": ears.url, "kinds": ["ssh_key"]}))
        .await;
    let made = made.expect(201)["webhook"].clone();
    let (id, secret) =
        (made["id"].as_i64().expect("an id"), made["secret"].as_str().expect("a secret").to_owned());
    assert_eq!(
        STANDARD.decode(secret.strip_prefix("whsec_").expect("the standard's")).map(|k| k.len()),
        Ok(32)
    );
    let path = format!("/berth/v1/webhooks/{id}");
    assert_eq!(w.api.get(&path).await.expect(200)["webhook"].get("secret"), None, "it is told once");

    w.ssh_key("one").await;
    let (_, first) = ears.next(&secret).await;
    assert_eq!((&first["type"], &first["data"]["target"]), (&json!("ssh_key.created"), &json!("one")));

    // A receiver that fails is asked again with the same id, and what comes later waits for it, also over a restart.
    ears.answers.send(500).expect("it listens");
    w.ssh_key("two").await;
    let (tried, _) = ears.next(&secret).await;
    w.ssh_key("three").await;
    w.restart_server(0).await;
    w.sql("update webhooks set next_at = now()").await; // else after some seconds
    let (again, body) = ears.next(&secret).await;
    assert_eq!((tried, &body["data"]["target"]), (again, &json!("two")));
    assert_eq!(ears.next(&secret).await.1["data"]["target"], "three");

    let log = async || w.api.get(&format!("{path}/deliveries")).await.expect(200)["deliveries"].clone();
    until("four deliveries in the log", DEADLINE, async || {
        let log = log().await;
        let statuses: Vec<_> = log.as_array().expect("a list").iter().map(|d| d["status"].clone()).collect();
        (statuses == [json!(204), json!(204), json!(500), json!(204)])
            .then_some(())
            .ok_or_else(|| log.to_string())
    })
    .await;
    assert!(w.api.get(&path).await.expect(200)["webhook"]["failing_since"].is_null());

    // A test, and one of them again.
    let told = w.api.post(&format!("{path}/test"), json!({})).await.expect(200);
    assert_eq!(
        (&told["delivery"]["kind"], &told["delivery"]["error"]),
        (&json!("webhook.test"), &Value::Null)
    );
    assert_eq!(ears.next(&secret).await.1["type"], "webhook.test");
    let event = first["data"]["id"].as_i64().expect("an id");
    w.api.post(&format!("{path}/redeliver/{event}"), json!({})).await.expect(200);
    assert_eq!(ears.next(&secret).await.1, first);

    // One that says that it is gone is not asked any more, and goes on when it is wanted again.
    ears.answers.send(410).expect("it listens");
    w.ssh_key("four").await;
    ears.next(&secret).await;
    until("the webhook to be off", DEADLINE, async || {
        let hook = w.api.get(&path).await.expect(200)["webhook"].clone();
        (hook["enabled"] == false).then_some(()).ok_or_else(|| hook.to_string())
    })
    .await;
    w.ssh_key("five").await;
    w.api.put(&path, json!({"enabled": true})).await.expect(200);
    assert_eq!(ears.next(&secret).await.1["data"]["target"], "four");
    assert_eq!(ears.next(&secret).await.1["data"]["target"], "five");

    // Nobody else sees, uses or removes it.
    let other = &w.in_other_project().api;
    other.get(&path).await.refused(404, "not_found");
    other.put(&path, json!({"enabled": false})).await.refused(404, "not_found");
    other.get(&format!("{path}/deliveries")).await.refused(404, "not_found");
    other.post(&format!("{path}/test"), json!({})).await.refused(404, "not_found");
    other.post(&format!("{path}/redeliver/{event}"), json!({})).await.refused(404, "not_found");
    other.delete(&path).await.refused(404, "not_found");
    let theirs = other.post("/berth/v1/webhooks", json!({"name": "x", "url": ears.url})).await.expect(201);
    let theirs = theirs["webhook"]["id"].as_i64().expect("an id");
    other
        .post(&format!("/berth/v1/webhooks/{theirs}/redeliver/{event}"), json!({}))
        .await
        .refused(404, "not_found");
    let told = format!("select count(*) from audit a where a::text like '%{secret}%'");
    assert_eq!(w.scalar(&told).await, 0, "the trail has no secrets");
    w.api.delete(&path).await.expect(204);
    w.api.get(&path).await.refused(404, "not_found");
    w.finish().await;
}

#[tokio::test]
async fn webhooks_do_not_reach_into_the_providers_network() {
    // Nothing is allowed here beside the public internet.
    let w = World::start().await;
    let ears = Receiver::start().await;
    for url in [
        ears.url.as_str(),
        "http://169.254.169.254/",
        "http://[::1]:1/",
        "http://0x7f000001/",
        "file:///etc/passwd",
        "x",
    ] {
        let answer = w.api.post("/berth/v1/webhooks", json!({"name": "in", "url": url})).await;
        assert_eq!(answer.wrong_fields(), ["url"], "{url}");
    }
    // A name that leads inside is only seen when it is called.
    let made = w
        .api
        .post("/berth/v1/webhooks", json!({"name": "in", "url": ears.url.replace("127.0.0.1", "localhost")}))
        .await;
    let id = made.expect(201)["webhook"]["id"].clone();
    let told = w.api.post(&format!("/berth/v1/webhooks/{id}/test"), json!({})).await.expect(200);
    let why = told["delivery"]["error"].as_str().expect("it fails");
    assert!(why.contains("no address of the public internet"), "{why}");
    // Neither does one that was written before the settings changed.
    w.sql(&format!("update webhooks set url = '{}'", ears.url)).await;
    let told = w.api.post(&format!("/berth/v1/webhooks/{id}/test"), json!({})).await.expect(200);
    assert!(told["delivery"]["error"].is_string(), "{told}");
    assert!(ears.got.is_empty(), "nothing came");

    for (body, field) in [
        (json!({"name": "", "url": "https://example.com"}), "name"),
        (json!({"name": "x", "url": "https://example.com", "kinds": ["Server"]}), "kinds"),
    ] {
        assert_eq!(w.api.post("/berth/v1/webhooks", body).await.wrong_fields(), [field]);
    }
    w.api
        .post("/berth/v1/webhooks", json!({"name": "in", "url": "https://example.com"}))
        .await
        .refused(409, "uniqueness_error");
    for n in 1..20 {
        w.api
            .post("/berth/v1/webhooks", json!({"name": format!("n{n}"), "url": "https://example.com"}))
            .await
            .expect(201);
    }
    w.api
        .post("/berth/v1/webhooks", json!({"name": "one-more", "url": "https://example.com"}))
        .await
        .refused(403, "resource_limit_exceeded");
    w.sql("delete from webhooks").await; // else the last round of the test would call them
    w.finish().await;
}
