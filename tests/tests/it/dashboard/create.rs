//! The form that makes a server, with everything that can be said by it; and the settings of what it made.

use berth_tests::world::World;
use serde_json::json;

use super::{project, server, signed_in};

#[tokio::test]
async fn everything_that_the_api_takes_is_chosen_by_the_form() {
    let w = World::builder().room_for(4).start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let (new, path) = (format!("/projects/{mine}/servers/new"), format!("/projects/{mine}"));
    browser
        .post(
            &format!("{path}/networks"),
            &[("name", "inside"), ("ip_range", "10.0.0.0/16"), ("zone", "local")],
        )
        .await
        .location();
    w.sql(&format!(
        "insert into firewalls (project_id, name) values ({mine}, 'wall') on conflict do nothing"
    ))
    .await;
    let network = w.scalar("select min(id) from networks").await.to_string();
    let firewall = w.scalar("select min(id) from firewalls").await.to_string();
    let page = browser.get(&new).await.expect(200);
    let once = page
        .split(r#"name="once" value=""#)
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a number");
    assert!(page.contains("wall") && page.contains("inside"), "{page}");
    let fields = [
        ("once", once),
        ("name", "web"),
        ("server_type", w.plan.as_str()),
        ("image", w.image.as_str()),
        ("labels", "env=prod"),
        ("ipv4", ""),
        ("ipv6", "none"),
        ("networks", network.as_str()),
        ("firewalls", firewall.as_str()),
        ("stopped", "yes"),
        ("user_data", "#!/bin/sh\necho '${x}'"),
    ];
    let shown = browser.post(&format!("{path}/servers/summary"), &fields).await.expect(200);
    for text in [
        "--without-ipv6",
        "--start-after-create=false",
        "firewall_ids",
        "ipv6_enabled = false",
        "$${x}",
        "no IPv6",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    // Sent twice, it is one server.
    let (one, two) = (browser.post(&new, &fields).await, browser.post(&new, &fields).await);
    assert_eq!(one.location(), two.location());
    assert_eq!(
        w.scalar("select count(*) from vps where power = 'stopped' and labels ->> 'env' = 'prod'").await,
        1
    );
    assert_eq!(w.scalar(&format!("select count(*) from vps_networks where network_id = {network}")).await, 1);
    assert_eq!(
        w.scalar(&format!("select count(*) from firewall_targets where firewall_id = {firewall}")).await,
        1
    );
    // What was chosen and is gone is told, and nothing is made without it.
    for (field, id) in [("firewalls", "987654"), ("networks", "x"), ("ipv4", "987654"), ("ipv6", "no such")] {
        let mut wrong: Vec<_> =
            fields.iter().copied().filter(|(name, _)| *name != field && *name != "name").collect();
        wrong.extend([("name", "other"), (field, id)]);
        let page = browser.post(&new, &wrong).await.expect(422);
        assert!(page.contains(&format!(r#"id="{field}-error""#)), "{field}: {page}");
    }
    assert_eq!(w.scalar("select count(*) from vps").await, 1);
    w.finish().await;
}

#[tokio::test]
async fn plans_that_fit_nowhere_say_why() {
    let w = World::builder().room_for(1).start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let new = format!("/projects/{}/servers/new", project(&w, "mine").await);
    server(&w, &browser, "web").await;
    assert!(browser.get(&new).await.expect(200).contains("No host has room for it now"));
    w.sql("update projects set quota_servers = 1 where name = 'mine'").await;
    let page = browser.get(&new).await.expect(200);
    assert!(!page.contains("No host has room") && page.contains("1 server"), "{page}");
    w.finish().await;
}

#[tokio::test]
async fn a_server_is_protected_and_renamed_by_its_settings() {
    let w = World::builder().room_for(4).start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &browser, "web").await;
    server(&w, &browser, "db").await;
    w.settled().await;
    let page = format!("/projects/{mine}/servers/{id}");
    let settings = format!("{page}/settings");
    let wrong = browser.post(&settings, &[("name", "a b"), ("labels", "=x")]).await.expect(422);
    assert!(
        wrong.contains(r#"id="rename-name-error""#) && wrong.contains(r#"id="rename-labels-error""#),
        "{wrong}"
    );
    let taken = browser.post(&settings, &[("name", "db"), ("labels", "")]).await.expect(409);
    assert!(taken.contains("Another server of the project has this name."), "{taken}");
    browser.post(&settings, &[("name", "shop"), ("labels", "env=prod")]).await.leads_to(&settings);
    assert!(browser.get(&settings).await.expect(200).contains("env=prod"));
    browser.post(&format!("{page}/protection"), &[("protected", "yes")]).await.leads_to(&settings);
    browser.post(&format!("{page}/delete"), &[("confirm", "shop")]).await.expect(423);
    let shown = browser.get(&settings).await.expect(200);
    assert!(shown.contains("Lift that first") && shown.contains("checked"), "{shown}");
    browser.post(&format!("{page}/protection"), &[]).await.leads_to(&settings);
    browser.post(&format!("{page}/delete"), &[("confirm", "shop")]).await.location();
    w.finish().await;
}

#[tokio::test]
async fn the_api_protects_servers() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    let (server, protect) =
        (format!("/v1/servers/{id}"), format!("/v1/servers/{id}/actions/change_protection"));
    w.api.post(&protect, json!({"delete": true, "rebuild": false})).await.refused(422, "invalid_input");
    let done = w.api.post(&protect, json!({"delete": true, "rebuild": true})).await.expect(201);
    assert_eq!(done["action"]["command"], "change_protection");
    assert_eq!(done["action"]["status"], "success");
    let shown = w.api.get(&server).await.expect(200);
    assert_eq!(shown["server"]["protection"], json!({"delete": true, "rebuild": true}));
    w.api.delete(&server).await.refused(423, "protected");
    w.api.post(&protect, json!({"delete": false})).await.expect(201);
    w.api.delete(&server).await.expect(200);
    w.finish().await;
}
