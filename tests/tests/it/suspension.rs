//! A suspended project: it stands still, nothing is lost, and it comes back whole.

use berth_tests::world::World;
use reqwest::Method;
use serde_json::json;

use super::dashboard::member;

#[tokio::test]
async fn a_suspended_project_stands_still_and_comes_back_whole() {
    let w = World::builder().hosts(2).start().await;
    let running = w.running(&w.create("web").await).await;
    let off = w.running(&w.create("spare").await).await;
    w.act(off, "poweroff", "stop_server").await;
    let other = w.in_other_project();
    let theirs = other.running(&other.create("theirs").await).await;
    let (browser, project) =
        (member(&w).await, w.scalar("select id from projects where name = 'mine'").await);
    let path = format!("/admin/v1/projects/{project}/suspension");
    w.admin.put(&path, json!({"reason": ""})).await.refused(422, "invalid_input");
    w.admin
        .put("/admin/v1/projects/99999/suspension", json!({"reason": "x"}))
        .await
        .refused(404, "not_found");
    w.admin.delete(&path).await.refused(404, "not_found");

    w.admin.put(&path, json!({"reason": "The invoice of March is open."})).await.expect(204);
    w.api.server_is(running, "off").await;
    w.settled().await;
    assert_eq!(w.running_guests(), 1, "only the other project's");

    // Programs and people may look and are told why they can do nothing else.
    let server = format!("/v1/servers/{running}");
    w.api.get(&server).await.expect(200);
    for answer in [
        w.api.post(&format!("{server}/actions/poweron"), json!({})).await,
        w.api.put(&server, json!({"name": "x"})).await,
        w.api.delete(&server).await,
    ] {
        let told = answer.refused(403, "forbidden");
        assert!(told.to_string().contains("invoice of March"), "{told}");
    }
    let page = browser.get(&format!("/projects/{project}/servers")).await.expect(200);
    assert!(page.contains("is suspended") && page.contains("invoice of March"), "{page}");
    let power = format!("/projects/{project}/servers/{running}/power");
    let told = browser.send(Method::POST, &power, &[], Some(&[("command", "poweron")])).await.expect(403);
    assert!(told.contains("invoice of March"));
    other.api.server_is(theirs, "running").await;

    // Not even an agent that comes again starts it; and a host's report does not make it forget what was wanted.
    let mut w = w;
    for host in 0..2 {
        w.restart_agent(host).await;
    }
    w.settled().await;
    assert_eq!(w.running_guests(), 1);

    w.admin.delete(&path).await.expect(204);
    w.api.server_is(running, "running").await;
    w.settled().await;
    w.api.server_is(off, "off").await;
    w.api.put(&server, json!({"name": "www"})).await.expect(200);
    w.finish().await;
}
