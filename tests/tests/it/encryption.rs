//! Encryption of private networks between hosts: who is told whose key, and where members can be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_proto::{HostFacts, HostNetworks};
use berth_tests::raw_host::RawHost;
use berth_tests::world::{World, underlay};
use chrono::Utc;
use serde_json::{Value, json};

async fn says(host: &mut RawHost, n: usize, key: Option<&str>) {
    let wireguard = key.map(str::to_owned);
    let facts = HostFacts { underlay: underlay(n).parse().ok(), wireguard, ..HostFacts::default() };
    host.report(|report| report.facts = Some(facts)).await;
}

async fn told(host: &RawHost) -> HostNetworks {
    host.watch("&networks=").await.networks.expect("it knows nothing")
}

/// The key that a host is to use for its only peer.
async fn key_of_peer(host: &RawHost) -> Option<String> {
    let told = told(host).await;
    let [network] = &told.networks[..] else { panic!("{told:?}") };
    let [peer] = &network.peers[..] else { panic!("{told:?}") };
    peer.key.clone()
}

/// Makes a server on this host, which runs it.
async fn member(w: &World, host: &mut RawHost, others: &[i64], name: &str, networks: Value) -> i64 {
    for other in others {
        w.cordon_id(*other, true).await;
    }
    let order = json!({"name": name, "server_type": w.plan, "image": w.image, "networks": networks});
    let created = w.api.post("/v1/servers", order).await.expect(201);
    let id = created["server"]["id"].as_i64().expect("an id");
    host.runs(id, Utc::now(), |_| {}).await;
    w.api.succeeded(&created["action"]).await;
    for other in others {
        w.cordon_id(*other, false).await;
    }
    id
}

#[tokio::test]
async fn hosts_are_told_keys_when_both_have_one() {
    let w = World::builder().hosts(0).start().await;
    let (mut a, mut b) = (RawHost::enrol(&w, "a").await, RawHost::enrol(&w, "b").await);
    let keys = [1, 2].map(|n| STANDARD.encode([n; 32]));
    says(&mut a, 0, Some(&keys[0])).await;
    says(&mut b, 1, None).await;
    let network = json!({"name": "blue", "ip_range": "10.0.0.0/16",
                         "subnets": [{"type": "cloud", "network_zone": "local", "ip_range": "10.0.0.0/24"}]});
    let blue = w.api.post("/v1/networks", network).await.expect(201)["network"]["id"].take();
    let ids = [a.id, b.id];
    let first = member(&w, &mut a, &[ids[1]], "first", json!([blue])).await;
    let second = member(&w, &mut b, &[ids[0]], "second", json!([blue])).await;
    let plain = told(&a).await;
    assert!(!plain.encrypt && key_of_peer(&a).await.is_none());

    let locations = w.api.get("/v1/locations").await.expect(200);
    let path = format!("/admin/v1/locations/{}/encryption", locations["locations"][0]["id"]);
    assert_eq!(w.admin.get(&path).await.expect(200)["encrypted"], false);
    assert_eq!(w.admin.put(&path, json!({"encrypted": "yes"})).await.wrong_fields(), ["encrypted"]);
    assert_eq!(w.admin.put(&path, json!({"encrypted": true})).await.expect(200)["encrypted"], true);
    let now = told(&a).await;
    assert!(now.encrypt && now.version != plain.version);
    assert_eq!(key_of_peer(&a).await, None, "the other has no key: nothing can change between the two yet");
    assert_eq!(key_of_peer(&b).await, None);
    // What is no key is none.
    says(&mut b, 1, Some("AAAA")).await;
    assert_eq!(key_of_peer(&a).await, None);
    says(&mut b, 1, Some(&keys[1])).await;
    assert_eq!(key_of_peer(&a).await.as_ref(), Some(&keys[1]));
    assert_eq!(key_of_peer(&b).await.as_ref(), Some(&keys[0]));

    // A host without a key gets no members there, and says why; it gets other servers.
    let mut c = RawHost::enrol(&w, "c").await;
    says(&mut c, 2, None).await;
    for id in ids {
        w.cordon_id(id, true).await;
    }
    let order = json!({"name": "none", "server_type": w.plan, "image": w.image, "networks": [blue]});
    let refused = w.api.post("/v1/servers", order.clone()).await;
    let error = refused.refused(412, "resource_unavailable");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("WireGuard")), "{error}");
    let apart = member(&w, &mut c, &ids, "apart", json!([])).await;
    let attach = async |id: i64| {
        w.api.post(&format!("/v1/servers/{id}/actions/attach_to_network"), json!({"network": blue})).await
    };
    let refused = attach(apart).await;
    let error = refused.refused(412, "resource_unavailable");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("WireGuard")), "{error}");

    assert_eq!(w.admin.put(&path, json!({"encrypted": false})).await.expect(200)["encrypted"], false);
    assert!(!told(&a).await.encrypt && key_of_peer(&a).await.is_none());
    attach(apart).await.expect(201);
    w.admin
        .put("/admin/v1/locations/987654321/encryption", json!({"encrypted": true}))
        .await
        .refused(404, "not_found");
    for (host, id) in [(&mut a, first), (&mut b, second), (&mut c, apart)] {
        w.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
        host.report(|report| report.vpses = Vec::new()).await;
    }
    w.finish_with_orphans().await;
}
