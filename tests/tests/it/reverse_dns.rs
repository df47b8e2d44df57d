//! The names that addresses lead to, as a real `named` tells them.

use std::time::Duration;

use berth_tests::client::{Answer, DEADLINE};
use berth_tests::name_server::{NameServer, SECRET, WRONG};
use berth_tests::wait::until;
use berth_tests::world::World;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Of the pool that VPSes have here, 10.77.0.0/24.
const ZONE: &str = "0.77.10.in-addr.arpa";

/// Path of the pool's name server.
async fn path(w: &World) -> String {
    let pools = w.admin.get("/admin/v1/pools").await.expect(200);
    format!("/admin/v1/pools/{}/name_server", pools["pools"][0]["id"])
}

async fn set(w: &World, settings: &Value) -> Value {
    w.admin.put(&path(w).await, settings.clone()).await.expect(200)["name_server"].take()
}

/// Tells Berth of a name server, with a default name.
async fn with_default(w: &World, server: &NameServer) {
    let mut settings = server.settings();
    settings["default_name"] = json!("static.{ip-with-dashes}.example.com");
    set(w, &settings).await;
}

fn default_of(ip: &str) -> String {
    format!("static.{}.example.com", ip.replace('.', "-"))
}

async fn name(w: &World, of: &str, ip: &str, name: Value) -> Answer {
    w.api.post(&format!("/v1/{of}/actions/change_dns_ptr"), json!({"ip": ip, "dns_ptr": name})).await
}

async fn ipv4(w: &World, id: i64) -> Value {
    w.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"]["public_net"]["ipv4"].take()
}

async fn floating_ip(w: &World) -> (String, String) {
    let made = w
        .api
        .post("/v1/floating_ips", json!({"type": "ipv4", "home_location": w.location}))
        .await
        .expect(201);
    let ip = made["floating_ip"]["ip"].as_str().expect("an address").to_owned();
    (format!("floating_ips/{}", made["floating_ip"]["id"]), ip)
}

async fn status(w: &World, action: &Value) -> Value {
    w.api.get(&format!("/v1/actions/{}", action["id"])).await.expect(200)["action"]["status"].take()
}

#[tokio::test]
async fn names_are_set_changed_reset_and_taken_back() {
    let w = World::start().await;
    let server = NameServer::start(ZONE).await;
    let id = w.running(&w.create("web").await).await;
    assert_eq!(ipv4(&w, id).await["dns_ptr"], "", "nobody offers names yet");
    with_default(&w, &server).await;
    let address = ipv4(&w, id).await;
    let ip = address["ip"].as_str().expect("an address");
    let default = default_of(ip);
    assert_eq!(address["dns_ptr"], default);
    server.has(ip, Some(&default)).await;

    let (vps, primary) = (format!("servers/{id}"), format!("primary_ips/{}", address["id"]));
    let action = name(&w, &vps, ip, json!("www.example.com")).await.expect(201)["action"].take();
    assert_eq!(
        (&action["command"], &action["resources"][0]["type"]),
        (&json!("change_dns_ptr"), &json!("server"))
    );
    w.api.succeeded(&action).await;
    assert_eq!(server.names(ip).await, Some(vec!["www.example.com".to_owned()]), "done means done");
    assert_eq!(ipv4(&w, id).await["dns_ptr"], "www.example.com");

    let action = name(&w, &primary, ip, json!("Mail.Example.com.")).await.expect(201)["action"].take();
    assert_eq!(action["resources"][0]["type"], "primary_ip");
    w.api.succeeded(&action).await;
    server.has(ip, Some("Mail.Example.com")).await;
    let shown = w.api.get(&format!("/v1/{primary}")).await.expect(200)["primary_ip"]["dns_ptr"].take();
    assert_eq!(shown, json!([{"ip": ip, "dns_ptr": "Mail.Example.com"}]));

    let (floating, other) = floating_ip(&w).await;
    server.has(&other, Some(&default_of(&other))).await;
    let action = name(&w, &floating, &other, json!("float.example.com")).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
    server.has(&other, Some("float.example.com")).await;
    let shown = w.api.get(&format!("/v1/{floating}")).await.expect(200)["floating_ip"]["dns_ptr"].take();
    assert_eq!(shown, json!([{"ip": other, "dns_ptr": "float.example.com"}]));
    assert_eq!(
        name(&w, &vps, &other, Value::Null).await.wrong_fields(),
        ["ip"],
        "floating ones are named themselves"
    );

    // Reset, and given back.
    let action = name(&w, &vps, ip, Value::Null).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
    server.has(ip, Some(&default)).await;
    let action = name(&w, &vps, ip, json!("again.example.com")).await.expect(201)["action"].take();
    w.api.succeeded(&action).await;
    w.delete(id).await;
    w.api.delete(&format!("/v1/{floating}")).await.expect(204);
    server.has(ip, Some(&default)).await;
    server.has(&other, Some(&default_of(&other))).await;

    // Without a default none is left, neither there nor here.
    let mut settings = server.settings();
    settings.as_object_mut().expect("an object").remove("key_secret");
    assert_eq!(set(&w, &settings).await["default_name"], Value::Null);
    server.has(ip, None).await;
    server.has(&other, None).await;
    until("no name to be kept", DEADLINE, async || {
        match w.scalar("select count(*) from reverse_names").await {
            0 => Ok(()),
            n => Err(n.to_string()),
        }
    })
    .await;
    w.finish().await;
}

#[tokio::test]
async fn a_name_server_that_was_down_is_told_when_it_is_up() {
    let w = World::start().await;
    let mut server = NameServer::start(ZONE).await;
    set(&w, &server.settings()).await;
    let id = w.running(&w.create("web").await).await;
    let (vps, ip) =
        (format!("servers/{id}"), ipv4(&w, id).await["ip"].as_str().expect("an address").to_owned());
    let (floating, other) = floating_ip(&w).await;
    for (of, ip) in [(&vps, &ip), (&floating, &other)] {
        let action = name(&w, of, ip, json!("old.example.com")).await.expect(201)["action"].take();
        w.api.succeeded(&action).await;
        server.has(ip, Some("old.example.com")).await;
    }

    server.stop().await;
    let lost = name(&w, &vps, &ip, json!("lost.example.com")).await.expect(201)["action"].take();
    let last = name(&w, &vps, &ip, json!("last.example.com")).await.expect(201)["action"].take();
    let gone = name(&w, &floating, &other, json!("gone.example.com")).await.expect(201)["action"].take();
    assert_eq!(w.api.ended(&lost).await["error"]["code"], "superseded");
    let path = path(&w).await;
    until("the operator to see it", DEADLINE, async || {
        let seen = w.admin.get(&path).await.expect(200)["name_server"].take();
        let told = seen["error"].as_str().is_some_and(|error| error.contains("no connection"));
        if told && seen["pending"] == 2 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    assert_eq!(status(&w, &last).await, "running");
    assert_eq!(ipv4(&w, id).await["dns_ptr"], "last.example.com", "what is wanted");
    let seen = w.api.get(&format!("/v1/servers/{id}")).await.expect(200);
    assert_eq!(seen["server"]["locked"], false, "it keeps nobody from anything");
    // An address that is given back loses its name all the same.
    w.api.delete(&format!("/v1/{floating}")).await.expect(204);
    assert_eq!(w.api.ended(&gone).await["error"]["code"], "superseded");

    server.again().await;
    w.api.succeeded(&last).await;
    server.has(&ip, Some("last.example.com")).await;
    server.has(&other, None).await;
    w.delete(id).await;
    server.has(&ip, None).await;
    w.finish().await;
}

#[tokio::test]
async fn a_refusal_ends_the_action_and_the_name_follows_when_it_is_mended() {
    let w = World::start().await;
    let server = NameServer::start(ZONE).await;
    let id = w.running(&w.create("web").await).await;
    let (vps, ip) =
        (format!("servers/{id}"), ipv4(&w, id).await["ip"].as_str().expect("an address").to_owned());
    let mut wrong_secret = server.settings();
    wrong_secret["key_secret"] = json!(WRONG);
    let mut unknown_key = server.settings();
    unknown_key["key_name"] = json!("nobody");
    for (settings, why) in
        [(wrong_secret, "BADSIG"), (unknown_key, "BADKEY"), (server.settings_of_a_stranger(), "REFUSED")]
    {
        set(&w, &settings).await;
        let action = name(&w, &vps, &ip, json!("www.example.com")).await.expect(201)["action"].take();
        let error = w.api.ended(&action).await["error"].take();
        assert_eq!(error["code"], "name_server_refused", "{error}");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(why) && message.contains("Tell your provider"), "{message}");
        let seen = w.admin.get(&path(&w).await).await.expect(200)["name_server"].take();
        assert_eq!((&seen["pending"], &seen["refused"]), (&json!(1), &json!(1)), "{seen}");
        assert!(seen["error"].as_str().is_some_and(|error| error.contains(why)), "{seen}");
        assert_eq!(server.names(&ip).await, Some(vec![]));
    }
    let seen = set(&w, &server.settings()).await;
    assert_eq!(seen["error"], Value::Null);
    server.has(&ip, Some("www.example.com")).await;
    w.delete(id).await;
    w.finish().await;
}

/// What listens there is no name server.
#[tokio::test]
async fn nonsense_is_not_taken_for_an_answer() {
    let w = World::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has a port");
    let babble = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).await.is_err() {
                continue;
            }
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            let _ = stream.read_exact(&mut question).await;
            // An answer to another question: every bit of the id is turned, and it says that it is an answer.
            let mut answer = question[..12].to_vec();
            answer[0] = !answer[0];
            answer[2] |= 0x80;
            answer[4..].fill(0);
            let _ = stream.write_all(&[&[0, 12][..], &answer].concat()).await;
        }
    });
    let id = w.running(&w.create("web").await).await;
    let ip = ipv4(&w, id).await["ip"].as_str().expect("an address").to_owned();
    let settings =
        json!({"server": address.to_string(), "zones": [ZONE], "key_name": "k", "key_secret": SECRET});
    set(&w, &settings).await;
    let action =
        name(&w, &format!("servers/{id}"), &ip, json!("www.example.com")).await.expect(201)["action"].take();
    let path = path(&w).await;
    until("the operator to see it", Duration::from_secs(60), async || {
        let seen = w.admin.get(&path).await.expect(200)["name_server"].take();
        let told = seen["error"].as_str().is_some_and(|error| error.contains("another question"));
        if told { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    assert_eq!(status(&w, &action).await, "running", "it may come to its senses");
    w.admin.delete(&path).await.expect(204);
    assert_eq!(w.api.ended(&action).await["error"]["code"], "unsupported_error");
    babble.abort();
    w.delete(id).await;
    w.finish().await;
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field_and_others_see_nothing() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let address = ipv4(&w, id).await;
    let (vps, ip) = (format!("servers/{id}"), address["ip"].as_str().expect("an address"));
    let primary = format!("primary_ips/{}", address["id"]);
    let none = name(&w, &vps, ip, json!("a.example")).await.refused(422, "unsupported_error");
    assert!(none["message"].as_str().is_some_and(|m| m.contains("no name server")), "{none}");

    let path = path(&w).await;
    w.admin.get(&path).await.refused(404, "not_found");
    w.admin.delete(&path).await.refused(404, "not_found");
    let good = json!({"server": "192.0.2.53:53", "zones": [ZONE], "key_name": "k", "key_secret": SECRET});
    for (field, bad) in [
        ("server", json!("ns.example.com:53")),
        ("server", json!("192.0.2.53")),
        ("server", json!("0.0.0.0:53")),
        ("zones", json!([])),
        ("zones", json!(["example.com"])),
        ("zones", json!(["1.77.10.in-addr.arpa"])),
        ("key_name", json!("a b")),
        ("key_algorithm", json!("hmac-md5")),
        ("key_secret", json!("no base64!")),
        ("key_secret", json!("c2hvcnQ=")),
        ("key_secret", Value::Null),
        ("default_name", json!("static.example.com")),
        ("default_name", json!("_.{ip-with-dashes}.example.com")),
        ("ttl_s", json!(0)),
    ] {
        let mut settings = good.clone();
        settings[field] = bad;
        assert_eq!(w.admin.put(&path, settings.clone()).await.wrong_fields(), [field], "{settings}");
    }
    w.admin.put("/admin/v1/pools/987654/name_server", good.clone()).await.refused(404, "not_found");
    let shown = set(&w, &good).await;
    assert!(!shown.to_string().contains(SECRET), "{shown}");
    assert!(!w.admin.get(&path).await.expect(200).to_string().contains(SECRET));

    for (ip, ptr, field) in [
        ("192.0.2.1", json!("a.example"), "ip"),
        ("10.77.0.200", json!("a.example"), "ip"),
        ("nowhere", json!("a.example"), "ip"),
        ("2001:db8::1", Value::Null, "ip"),
        (ip, json!(""), "dns_ptr"),
        (ip, json!("a_b.example"), "dns_ptr"),
        (ip, json!("a.example\n"), "dns_ptr"),
        (ip, json!(format!("{}.example", "a".repeat(64))), "dns_ptr"),
        (ip, json!("a.".repeat(126) + "bc"), "dns_ptr"),
        (ip, json!(7), "dns_ptr"),
    ] {
        for of in [&vps, &primary] {
            assert_eq!(name(&w, of, ip, ptr.clone()).await.wrong_fields(), [field], "{of} {ip} {ptr}");
        }
    }
    let half = w.api.post(&format!("/v1/{vps}/actions/change_dns_ptr"), json!({"ip": ip})).await;
    assert_eq!(half.wrong_fields(), ["dns_ptr"], "to reset is to say null");
    let other = &w.in_other_project().api;
    for of in [&vps, &primary] {
        let body = json!({"ip": ip, "dns_ptr": "mine.example"});
        other.post(&format!("/v1/{of}/actions/change_dns_ptr"), body).await.refused(404, "not_found");
    }
    // What a name server has yet to be told keeps its pool, until the operator says otherwise.
    let action = name(&w, &vps, ip, json!("a.example")).await.expect(201)["action"].take();
    w.delete(id).await;
    assert_eq!(w.api.ended(&action).await["status"], "error");
    let pool = path.strip_suffix("/name_server").expect("so it ends");
    w.admin.delete(pool).await.refused(422, "resource_in_use");
    w.admin.delete(&path).await.expect(204);
    w.admin.delete(pool).await.expect(204);
    w.finish().await;
}
