//! Lists: pages, order, filters.

use berth_tests::world::World;
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<i64> {
    list.as_array().expect("a list").iter().map(|item| item["id"].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn pages_hold_everything_once() {
    let w = World::start().await;
    for n in 0..7 {
        w.ssh_key(&format!("key-{n}")).await;
    }
    let all = ids(&w.api.get("/v1/ssh_keys").await.expect(200)["ssh_keys"]);
    assert_eq!(all.len(), 7);
    let mut seen = Vec::new();
    for page in 1..=3 {
        let answer = w.api.get(&format!("/v1/ssh_keys?page={page}&per_page=3")).await;
        let link = answer.header("link").map(str::to_owned);
        let list = answer.expect(200);
        let expected = json!({"page": page, "per_page": 3, "last_page": 3, "total_entries": 7,
            "previous_page": (page > 1).then(|| page - 1), "next_page": (page < 3).then(|| page + 1)});
        assert_eq!(list["meta"]["pagination"], expected, "{link:?}");
        seen.extend(ids(&list["ssh_keys"]));
    }
    assert_eq!(seen, all);
    let beyond = w.api.get("/v1/ssh_keys?page=9&per_page=3").await.expect(200);
    assert_eq!(beyond["ssh_keys"], json!([]));
    let none = w.in_other_project().api.get("/v1/ssh_keys").await.expect(200);
    assert_eq!(none["meta"]["pagination"]["total_entries"], 0);
    w.finish().await;
}

#[tokio::test]
async fn lists_are_sorted_as_asked() {
    let w = World::builder().room_for(4).start().await;
    let mut made = Vec::new();
    for name in ["b", "c", "a"] {
        made.push(w.running(&w.create(name).await).await);
    }
    let (b, c, a) = (made[0], made[1], made[2]);
    for (sort, expected) in [
        ("id", [b, c, a]),
        ("id:asc", [b, c, a]),
        ("id:desc", [a, c, b]),
        ("name", [a, b, c]),
        ("name:asc", [a, b, c]),
        ("name:desc", [c, b, a]),
        ("created", [b, c, a]),
        ("created:asc", [b, c, a]),
        ("created:desc", [a, c, b]),
    ] {
        let list = w.api.get(&format!("/v1/servers?sort={sort}")).await.expect(200);
        assert_eq!(ids(&list["servers"]), expected, "{sort}");
    }
    let several = w.api.get("/v1/servers?sort=created:desc&sort=name").await.expect(200);
    assert_eq!(ids(&several["servers"]).len(), 3, "several sort keys are allowed");
    w.finish().await;
}

#[tokio::test]
async fn servers_are_found_by_name_and_status() {
    let w = World::builder().room_for(4).start().await;
    let (one, two) = (w.running(&w.create("one").await).await, w.running(&w.create("two").await).await);
    w.act(two, "poweroff", "stop_server").await;
    w.api.server_is(two, "off").await;
    for (query, expected) in [
        ("name=one", vec![one]),
        ("name=on", vec![]),
        ("status=off", vec![two]),
        ("status=running", vec![one]),
        ("status=running&status=off", vec![one, two]),
        ("status=deleting", vec![]),
        ("name=one&status=off", vec![]),
    ] {
        let list = w.api.get(&format!("/v1/servers?{query}")).await.expect(200);
        assert_eq!(ids(&list["servers"]), expected, "{query}");
    }
    w.finish().await;
}

#[tokio::test]
async fn actions_are_found_by_status_and_id() {
    let w = World::start().await;
    let id = w.running(&w.create("web").await).await;
    w.act(id, "reboot", "reboot_server").await;
    let all = w.api.get(&format!("/v1/servers/{id}/actions?sort=id:desc")).await.expect(200);
    assert_eq!(all["actions"][0]["command"], "reboot_server");
    assert_eq!(all["meta"]["pagination"]["total_entries"], 2);
    let running = w.api.get(&format!("/v1/servers/{id}/actions?status=running")).await.expect(200);
    assert_eq!(running["actions"], json!([]));
    let all_ids = ids(&all["actions"]);
    let both = w.api.get(&format!("/v1/actions?id={}&id={}", all_ids[0], all_ids[1])).await.expect(200);
    assert_eq!(both["actions"].as_array().map(Vec::len), Some(2));
    let other = w.in_other_project();
    other.api.get(&format!("/v1/actions/{}", all_ids[0])).await.refused(404, "not_found");
    let foreign = other.api.get(&format!("/v1/actions?id={}", all_ids[0])).await.expect(200);
    assert_eq!(foreign["actions"], json!([]));
    w.finish().await;
}
