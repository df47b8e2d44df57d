//! Firewalls by their pages: made, tried, applied, counted, changed and deleted without script.

use berth_proto::{FirewallHits, Hits, RuleHits};
use berth_tests::browser::Browser;
use berth_tests::raw_host::RawHost;
use berth_tests::world::World;
use chrono::Utc;
use serde_json::json;

use super::{project, server, signed_in};

/// The fields of rows of the editor: direction, protocol, port, networks.
fn rows(rules: &[[&str; 4]]) -> Vec<(String, String)> {
    let row = |(n, [direction, protocol, port, nets]): (usize, &[&str; 4])| {
        [
            ("direction", direction),
            ("protocol", protocol),
            ("port", port),
            ("nets", nets),
            ("description", &""),
        ]
        .map(|(name, value)| (format!("rules.{n}.{name}"), (*value).to_owned()))
    };
    rules.iter().enumerate().flat_map(row).collect()
}

async fn edit(
    browser: &Browser,
    path: &str,
    button: &str,
    rules: &[[&str; 4]],
) -> berth_tests::browser::Seen {
    let rows = rows(rules);
    let mut fields: Vec<(&str, &str)> = rows.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    fields.push(("do", button));
    fields.push(("name", "web"));
    browser.post(path, &fields).await
}

const SSH: [&str; 4] = ["in", "tcp", "22", "0.0.0.0/0, ::/0"];
const WEB: [&str; 4] = ["in", "tcp", "80-85", "10.0.0.0/8"];
const DNS: [&str; 4] = ["out", "udp", "53", "0.0.0.0/0"];

#[tokio::test]
async fn the_editor_works_without_script() {
    let w = World::builder().hosts(0).start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let firewalls = format!("/projects/{}/firewalls", project(&w, "mine").await);
    assert!(ada.get(&firewalls).await.expect(200).contains("Create the first firewall"));
    let new = format!("{firewalls}/new");
    assert!(
        ada.get(&new).await.expect(200).contains(r#"name="rules.1.nets""#),
        "it begins with SSH and ping"
    );

    let more = edit(&ada, &new, "add-out", &[SSH]).await.expect(200);
    assert!(more.contains(r#"id="rule-1""#) && more.contains(r#"value="web""#), "{more}");
    let less = edit(&ada, &new, "drop-0", &[SSH, WEB]).await.expect(200);
    assert!(less.contains("80-85") && !less.contains(r#"id="rule-1""#), "{less}");
    let filled = edit(&ada, &new, "fill-database", &[SSH]).await.expect(200);
    assert!(filled.contains("5432") && filled.contains("fc00::/7"), "{filled}");
    let closed = edit(&ada, &new, "fill-closed", &[SSH]).await.expect(200);
    assert!(closed.contains("Without a rule nothing comes in"), "{closed}");
    edit(&ada, &new, "explode", &[SSH]).await.expect(422);
    let many = vec![SSH; 51];
    assert!(edit(&ada, &new, "save", &many).await.expect(422).contains("at most 50 rules"));

    let wrong = [["in", "tcp", "0", "0.0.0.0/0"], ["in", "icmp", "", "10.0.0.1/8"], SSH];
    let told = edit(&ada, &new, "save", &wrong).await.expect(422);
    for part in [r#"id="rules.0.port-error""#, r#"id="rules.1.nets-error""#, "did you mean 10.0.0.0/8?"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("rules.2.port-error") && told.contains(r#"value="10.0.0.1/8""#), "{told}");
    assert_eq!(w.scalar("select count(*) from firewalls").await, 0);

    let made = edit(&ada, &new, "save", &[SSH, WEB, DNS]).await;
    let page = made.location().to_owned();
    let shown = ada.get(&page).await.expect(200);
    assert!(shown.contains("TCP 80-85") && shown.contains("It holds for no server"), "{shown}");
    assert!(ada.get(&firewalls).await.expect(200).contains("2 in, 1 out"));
    let taken = edit(&ada, &new, "save", &[SSH]).await.expect(409);
    assert!(taken.contains(r#"id="name-error""#), "{taken}");
    let editor = ada.get(&format!("{page}/rules")).await.expect(200);
    assert!(editor.contains(r#"value="10.0.0.0/8""#), "{editor}");
    edit(&ada, &format!("{page}/rules"), "", &[WEB]).await.leads_to(&page);
    assert!(!ada.get(&page).await.expect(200).contains("TCP 22"));
    w.finish().await;
}

#[tokio::test]
async fn a_firewall_is_applied_removed_named_and_deleted() {
    let w = World::start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &ada, "Web-1").await;
    w.settled().await;
    let made = edit(&ada, &format!("/projects/{mine}/firewalls/new"), "save", &[SSH]).await;
    let page = made.location().to_owned();
    let post = async |what: &str, fields: &[(&str, &str)]| ada.post(&format!("{page}/{what}"), fields).await;

    for (typed, told) in [("", "Type the name of a server."), ("other", "No server of this project")] {
        let refused = post("apply", &[("server", typed)]).await.expect(422);
        assert!(refused.contains(told) && refused.contains(r#"id="server-error""#), "{refused}");
    }
    post("apply", &[("server", "web-1")]).await.leads_to(&page);
    w.settled().await;
    let shown = ada.get(&page).await.expect(200);
    assert!(shown.contains("in force") && shown.contains("by name"), "{shown}");
    assert!(post("apply", &[("server", "web-1")]).await.expect(422).contains("already"));
    assert!(post("apply", &[("selector", "a in (")]).await.expect(422).contains(r#"id="selector-error""#));
    post("apply", &[("selector", "!internal")]).await.leads_to(&page);
    assert!(ada.get(&page).await.expect(200).contains("1 server<"));

    // It is applied, so it stays.
    assert!(post("delete", &[("confirm", "web")]).await.expect(422).contains("still applied"));
    post("private", &[("private", "maybe")]).await.expect(422);
    post("private", &[("private", "yes")]).await.leads_to(&page);
    assert_eq!(w.scalar("select count(*) from firewalls where private").await, 1);
    let wrong = post("name", &[("name", " "), ("labels", "=x")]).await.expect(422);
    assert!(wrong.contains(r#"id="name-error""#) && wrong.contains(r#"id="labels-error""#), "{wrong}");
    post("name", &[("name", "edge"), ("labels", "env=prod")]).await.leads_to(&page);
    assert!(ada.get(&page).await.expect(200).contains("env=prod"));

    post("remove", &[("server", "x")]).await.expect(422);
    post("remove", &[("server", &id.to_string())]).await.leads_to(&page);
    assert!(ada.get(&page).await.expect(200).contains("by its labels"));
    assert!(post("remove", &[("server", &id.to_string())]).await.expect(422).contains("by its labels"));
    post("remove", &[("selector", "!internal")]).await.leads_to(&page);
    let wrong = post("delete", &[("confirm", "web")]).await.expect(422);
    assert!(wrong.contains(r#"id="confirm-error""#) && wrong.contains("not the name"), "{wrong}");
    post("delete", &[("confirm", "edge")]).await.leads_to(&format!("/projects/{mine}/firewalls"));
    assert_eq!(w.scalar("select count(*) from firewalls").await, 0);
    ada.get(&page).await.expect(404);
    w.finish().await;
}

#[tokio::test]
async fn hits_are_shown_and_other_rules_are_tried() {
    let w = World::builder().hosts(0).start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let mut host = RawHost::enrol(&w, "raw").await;
    let body = json!({"name": "web", "server_type": w.plan, "image": w.image});
    let id = w.api.post("/v1/servers", body).await.expect(201)["server"]["id"].as_i64().expect("an id");
    host.runs(id, Utc::now(), |_| {}).await;
    let made = edit(&ada, &format!("/projects/{mine}/firewalls/new"), "save", &[SSH, DNS]).await;
    let page = made.location().to_owned();
    ada.post(&format!("{page}/apply"), &[("server", "web")]).await.leads_to(&page);
    assert!(ada.get(&page).await.expect(200).contains("being applied"));
    let hit = |packets| RuleHits { rule: 0, hits: Hits { packets, bytes: packets * 60 } };
    let told = FirewallHits {
        inbound: vec![hit(20)],
        outbound: vec![hit(1)],
        dropped_in: Hits { packets: 4000, bytes: 180 },
        ..FirewallHits::default()
    };
    host.runs(id, Utc::now(), |seen| seen.hits = Some(told.clone())).await;
    let shown = ada.get(&page).await.expect(200);
    for part in ["20 times (1.2 KB)", "once (60 B)", "in: 4000 times", "in force"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let editor = format!("{page}/rules");
    let tried = edit(&ada, &editor, "try", &[SSH, WEB]).await.expect(200);
    for part in ["in: TCP 80-85 from 10.0.0.0/8", "out: UDP 53 to 0.0.0.0/0", "nothing is saved yet"] {
        assert!(tried.contains(part), "{part}: {tried}");
    }
    assert!(tried.contains(r#"value="80-85""#), "what was typed is there to be saved: {tried}");
    assert!(edit(&ada, &editor, "try", &[DNS, SSH]).await.expect(200).contains("Nothing, for any server"));
    let rules: (serde_json::Value,) =
        sqlx::query_as("select rules from firewalls").fetch_one(w.inventory()).await.expect("the firewall");
    assert_eq!(rules.0[1]["ports"], json!([53, 53]), "trying saves nothing");
    w.finish_with_orphans().await;
}

#[tokio::test]
async fn who_may_only_look_sees_no_buttons() {
    let w = World::builder().hosts(0).start().await;
    let ada = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let firewalls = format!("/projects/{}/firewalls", project(&w, "mine").await);
    let page = edit(&ada, &format!("{firewalls}/new"), "save", &[SSH]).await.location().to_owned();
    w.sql("update memberships set role = 'read_only'").await;
    for path in [&firewalls, &page] {
        let shown = ada.get(path).await.expect(200);
        let shown = shown.split("<main").nth(1).expect("the page itself");
        assert!(!shown.contains("<form") && !shown.contains("class=\"button"), "{shown}");
    }
    w.finish().await;
}
