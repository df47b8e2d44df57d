//! What operators tell: by API and page, to all or to those whom it concerns, for a time, until it is put away.

use berth_tests::world::World;
use serde_json::{Value, json};

use super::dashboard::{member, signed_in};

const LATER: &str = "2100-01-01T00:00:00Z";

async fn tell(w: &World, title: &str, more: Value) -> i64 {
    let mut body = json!({"title": title, "text": "First line.\nSecond line.", "until": LATER});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    let made = w.admin.post("/admin/v1/announcements", body).await.expect(201);
    made["announcement"]["id"].as_i64().expect("an id")
}

async fn titles(api: &berth_tests::client::Api) -> Vec<String> {
    let answer = api.get("/berth/v1/announcements").await.expect(200);
    let all = answer["announcements"].as_array().expect("a list");
    all.iter().map(|a| a["title"].as_str().expect("a title").to_owned()).collect()
}

#[tokio::test]
async fn tenants_are_told_what_concerns_them_while_it_does() {
    let w = World::start().await;
    w.admin.post("/admin/v1/locations", json!({"name": "elsewhere"})).await.expect(201);
    tell(&w, "to all", json!({})).await;
    tell(&w, "to come", json!({"from": "2099-01-01T00:00:00Z"})).await;
    let over = tell(&w, "over", json!({"kind": "warning"})).await;
    tell(&w, "here", json!({"location": "local", "kind": "maintenance"})).await;
    tell(&w, "there", json!({"location": "elsewhere"})).await;
    w.sql(&format!("update announcements set from_at = now() - interval '2 hours', until_at = now() - interval '1 hour' where id = {over}")).await;
    assert_eq!(titles(&w.api).await, ["to all"], "no server, so no location");
    let browser = member(&w).await;
    let page = browser.get("/account").await.expect(200);
    assert!(page.contains("to all") && !page.contains("announcement: here"), "{page}");
    w.running(&w.create("web").await).await;
    assert_eq!(titles(&w.api).await, ["here", "to all"], "maintenance first");
    assert_eq!(titles(&w.in_other_project().api).await, ["to all"]);
    let page = browser.get("/account").await.expect(200);
    for text in ["to all", "Announcement: here", "maintenance in local", "First line.<br>Second line."] {
        assert!(page.contains(text), "{text}: {page}");
    }
    for text in ["to come", "Announcement: there", "Announcement: over"] {
        assert!(!page.contains(text), "{text}: {page}");
    }
    let all = w.admin.get("/admin/v1/announcements").await.expect(200);
    assert_eq!(all["announcements"].as_array().map(Vec::len), Some(5));
    w.finish().await;
}

#[tokio::test]
async fn everybody_puts_one_away_for_themselves() {
    let w = World::builder().hosts(0).start().await;
    let id = tell(&w, "to all", json!({})).await;
    let anna = signed_in(&w, "anna@berth.example", false, &["mine"]).await;
    let ben = signed_in(&w, "ben@berth.example", false, &[]).await;
    let dismiss = format!("/announcements/{id}/dismiss");
    for _ in 0..2 {
        anna.post(&dismiss, &[("next", "/account")]).await.leads_to("/account");
    }
    anna.post(&dismiss, &[("next", "https://evil.example/")]).await.leads_to("/");
    anna.post("/announcements/99999/dismiss", &[]).await.expect(404);
    assert!(!anna.get("/account").await.expect(200).contains("to all"));
    assert!(ben.get("/account").await.expect(200).contains("to all"));
    assert_eq!(titles(&w.api).await, ["to all"], "programs have read nothing");
    w.admin.delete(&format!("/admin/v1/announcements/{id}")).await.expect(204);
    w.admin.delete(&format!("/admin/v1/announcements/{id}")).await.refused(404, "not_found");
    assert!(!ben.get("/account").await.expect(200).contains("to all"));
    w.finish().await;
}

#[tokio::test]
async fn operators_write_them_on_a_page_or_are_told_what_is_wrong() {
    let w = World::builder().hosts(0).start().await;
    for (bad, field) in [
        (json!({"title": "a\nb"}), "title"),
        (json!({"text": ""}), "text"),
        (json!({"until": "tomorrow"}), "until"),
        (json!({"until": "2020-01-01T00:00:00Z"}), "until"),
        (json!({"from": "2100-01-01T00:00:00Z"}), "until"),
        (json!({"from": "x"}), "from"),
        (json!({"kind": "news"}), "kind"),
        (json!({"location": "nowhere"}), "location"),
    ] {
        let mut body = json!({"title": "x", "text": "x", "until": LATER});
        body.as_object_mut().expect("an object").extend(bad.as_object().expect("fields").clone());
        assert_eq!(w.admin.post("/admin/v1/announcements", body).await.wrong_fields(), [field], "{bad}");
    }
    let operator = signed_in(&w, "op@berth.example", true, &[]).await;
    let page = "/fleet/announcements";
    assert!(operator.get(page).await.expect(200).contains("Nothing was told yet"));
    let wrong =
        [("title", ""), ("text", "<b>x</b>"), ("kind", "news"), ("from", "x"), ("until", "2020-01-01T00:00")];
    let told = operator.post(page, &wrong).await.expect(422);
    for text in
        ["must be one line", "must be info, warning", "must be a time", "is over already", "&#60;b&#62;x"]
    {
        assert!(told.contains(text), "{text}: {told}");
    }
    let right = [
        ("title", "Sunday"),
        ("text", "<script>alert(1)</script>"),
        ("kind", "warning"),
        ("from", ""),
        ("until", "2100-01-01T00:00"),
        ("location", ""),
    ];
    operator.post(page, &right).await.leads_to(page);
    let shown = operator.get(page).await.expect(200);
    assert!(shown.contains("shown now") && !shown.contains("<script>alert"), "{shown}");
    let id = w.scalar("select id from announcements").await;
    operator.post(&format!("{page}/{id}/delete"), &[]).await.leads_to(page);
    let trail = w.admin.get("/admin/v1/audit?event=announcement").await.expect(200);
    assert_eq!(trail["entries"].as_array().map(Vec::len), Some(2), "{trail}");
    w.finish().await;
}
