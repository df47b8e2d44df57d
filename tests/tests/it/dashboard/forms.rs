//! Forms: what is wrong is told beside the field with everything as it was typed; nothing is done twice; secrets are
//! shown once and only where they belong.

use berth_tests::world::{World, public_key};

use super::{project, server, signed_in};

#[tokio::test]
async fn what_is_wrong_is_told_and_what_was_typed_is_kept() {
    let w = World::builder().room_for(2).start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let new = format!("/projects/{mine}/servers/new");
    let good = [("name", "web"), ("server_type", w.plan.as_str()), ("image", w.image.as_str())];
    let with = |extra: &[(&'static str, &'static str)]| {
        let kept = good.iter().filter(|(name, _)| extra.iter().all(|(other, _)| other != name));
        kept.copied().chain(extra.iter().copied()).collect::<Vec<_>>()
    };
    for (extra, status, error) in [
        (&[("name", "a b")][..], 422, r#"id="name-error""#),
        (&[("server_type", "huge")], 422, r#"id="server_type-error""#),
        (&[("image", "plan9")], 422, r#"id="image-error""#),
        (&[("image", "")], 422, "Choose an image."),
        (&[("labels", "a b=c")], 422, r#"id="labels-error""#),
        (&[("labels", "=c")], 422, r#"id="labels-error""#),
        (&[("new_key", "ssh-rsa no")], 422, r#"id="new_key-error""#),
        (&[("ssh_keys", "999")], 422, "not found"),
        (&[("name", "a b"), ("labels", "=c")], 422, r#"id="labels-error""#),
    ] {
        let page = browser.post(&new, &with(extra)).await;
        // A key that is not of this project was never offered, so it is not chosen; then the server is made.
        if extra[0].0 == "ssh_keys" {
            page.location();
            continue;
        }
        let page = page.expect(status);
        assert!(page.contains(error), "{extra:?}: {page}");
        assert!(page.contains(r#"value="web""#) || extra[0].0 == "name", "{extra:?}: {page}");
    }
    let taken = browser.post(&new, &good).await.expect(409);
    assert!(taken.contains("Another server of the project has this name."), "{taken}");
    browser.post(&new, &with(&[("name", "web-3")])).await.location();
    let full = browser.post(&new, &with(&[("name", "web-2")])).await.expect(412);
    assert!(full.contains(r#"role="alert""#) && full.contains("memory"), "{full}");
    w.holds(2).await;
    w.finish().await;
}

#[tokio::test]
async fn a_second_click_makes_no_second_server() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let new = format!("/projects/{}/servers/new", project(&w, "mine").await);
    let fields = [("name", "web"), ("server_type", w.plan.as_str()), ("image", w.image.as_str())];
    let (one, two) = tokio::join!(browser.post(&new, &fields), browser.post(&new, &fields));
    let mut codes = [one.status, two.status];
    codes.sort_unstable();
    assert_eq!(codes, [303, 409]);
    w.settled().await; // the host has it, not only the inventory
    w.holds(1).await;
    w.finish().await;
}

#[tokio::test]
async fn a_root_password_is_shown_once_and_only_there() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &browser, "web").await;
    let page = format!("/projects/{mine}/servers/{id}");
    assert!(browser.cookie(&page, "berth_secret").is_some());
    assert!(!browser.get(&format!("/projects/{mine}/servers")).await.expect(200).contains("shown this once"));
    assert!(browser.get(&page).await.expect(200).contains("shown this once"));
    assert!(!browser.get(&page).await.expect(200).contains("shown this once"));
    w.settled().await;
    browser.post(&format!("{page}/reset-password"), &[]).await.leads_to(&page);
    assert!(browser.get(&page).await.expect(200).contains("shown this once"));
    assert!(!browser.get(&page).await.expect(200).contains("shown this once"));
    w.finish().await;
}

#[tokio::test]
async fn a_pasted_key_is_added_chosen_and_taken_when_it_is_there_already() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let (new, key) = (format!("/projects/{mine}/servers/new"), public_key());
    for name in ["web-1", "web-2"] {
        let fields = [
            ("name", name),
            ("server_type", w.plan.as_str()),
            ("image", w.image.as_str()),
            ("new_key", key.as_str()),
        ];
        let made = browser.post(&new, &fields).await;
        assert_eq!(browser.cookie(made.location(), "berth_secret"), None, "with a key there is no password");
    }
    assert_eq!(w.scalar("select count(*) from ssh_keys").await, 1);
    assert_eq!(w.scalar("select count(*) from vps where jsonb_array_length(ssh_keys) = 1").await, 2);
    let keys = browser.get(&format!("/projects/{mine}/keys")).await.expect(200);
    assert!(keys.contains("ssh-ed25519") && keys.contains(">test<"), "its comment is its name: {keys}");
    let again = browser.post(&format!("/projects/{mine}/keys"), &[("public_key", &key)]).await.expect(409);
    assert!(again.contains("in the project already"), "{again}");
    w.finish().await;
}

#[tokio::test]
async fn only_the_name_deletes() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &browser, "web").await;
    let delete = format!("/projects/{mine}/servers/{id}/delete");
    for typed in ["", "WEB", "web-2", "web web"] {
        let page = browser.post(&delete, &[("confirm", typed)]).await.expect(422);
        assert!(page.contains(r#"id="confirm-error""#), "{typed:?}");
    }
    w.holds(1).await;
    w.sql("update vps set protect_delete = true").await;
    browser.post(&delete, &[("confirm", "web")]).await.expect(423);
    w.sql("update vps set protect_delete = false").await;
    browser.post(&delete, &[("confirm", " web ")]).await.leads_to(&format!("/projects/{mine}/servers"));
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn forms_have_their_limits() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let new = format!("/projects/{}/servers/new", project(&w, "mine").await);
    let long = "x".repeat(33 * 1024);
    let fields =
        [("name", "web"), ("server_type", &w.plan), ("image", &w.image), ("user_data", long.as_str())];
    assert!(browser.post(&new, &fields).await.expect(422).contains(r#"id="user_data-error""#));
    let huge = "x".repeat(300 * 1024);
    browser.post(&new, &[("name", &huge)]).await.expect(413);
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn a_token_from_the_page_opens_the_api() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let tokens = format!("/projects/{}/tokens", project(&w, "mine").await);
    browser.post(&tokens, &[("name", " ")]).await.expect(422);
    browser.post(&tokens, &[("name", "ci"), ("access", "read")]).await.leads_to(&tokens);
    let page = browser.get(&tokens).await.expect(200);
    let shown =
        page.split(r#"id="new-token">"#).nth(1).and_then(|rest| rest.split('<').next()).expect("a token");
    assert_eq!(shown.len(), 64);
    assert!(!w.dump().await.contains(shown), "only its hash is kept");
    assert!(!browser.get(&tokens).await.expect(200).contains(shown), "it is shown once");
    assert_eq!(w.scalar("select count(*) from tokens where name = 'ci' and not writable").await, 1);
    w.finish().await;
}

#[tokio::test]
async fn a_server_is_resized_from_its_page() {
    let w = World::builder().room_for(8).start().await;
    let larger = w.control.larger_plan().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let id = server(&w, &browser, "web").await;
    let page = format!("/projects/{}/servers/{id}", project(&w, "mine").await);
    let shown = browser.get(&page).await.expect(200);
    assert!(shown.contains("larger: 2 cores, 1 GB memory, 8 GB disk"), "{shown}");
    let resize = format!("{page}/resize");
    let unknown = browser.post(&resize, &[("server_type", "huge")]).await.expect(422);
    assert!(unknown.contains("not found"), "{unknown}");
    browser.post(&resize, &[("server_type", larger), ("upgrade_disk", "yes")]).await.leads_to(&page);
    w.settled().await;
    let back = browser.post(&resize, &[("server_type", w.plan.as_str())]).await.expect(422);
    assert!(back.contains("cannot shrink"), "{back}");
    w.finish().await;
}

#[tokio::test]
async fn a_server_is_frozen_and_thawed_and_its_restart_policy_chosen_from_its_page() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let id = server(&w, &browser, "web").await;
    let page = format!("/projects/{}/servers/{id}", project(&w, "mine").await);
    let shows = async |text: &str, there: bool| {
        berth_tests::wait::until(
            &format!("{text:?} to be {there}"),
            berth_tests::client::DEADLINE,
            async || {
                let shown = browser.get(&page).await.expect(200);
                if shown.contains(text) == there { Ok(()) } else { Err(shown) }
            },
        )
        .await;
    };
    shows(r#"value="freeze""#, true).await;
    let freeze = format!("{page}/freeze");
    browser.post(&freeze, &[("command", "melt")]).await.expect(422);
    browser.post(&freeze, &[("command", "freeze")]).await.leads_to(&page);
    shows(r#"id="server-frozen""#, true).await;
    shows(r#"value="thaw""#, true).await;
    let refused = browser.post(&format!("{page}/reset-password"), &[]).await.expect(423);
    assert!(refused.contains("thaw it first"), "{refused}");
    browser.post(&freeze, &[("command", "thaw")]).await.leads_to(&page);
    shows(r#"id="server-frozen""#, false).await;

    let policy = format!("{page}/restart-policy");
    let unknown = browser.post(&policy, &[("restart_policy", "sometimes")]).await.expect(422);
    assert!(unknown.contains("must be always, on-failure or never"), "{unknown}");
    browser.post(&policy, &[("restart_policy", "always")]).await.leads_to(&page);
    shows(r#"<option value="always" selected>"#, true).await;
    w.end_guest(id, berth_proto::Exit::Code(0));
    shows("ended with code 0", true).await;
    w.finish().await;
}
