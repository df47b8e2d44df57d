//! The operators' pages about tenants, what is sold, addresses and settings: what they show, and that they do what the
//! operators' API does, by forms that say what is wrong beside each field.

use berth_server::auth::totp;
use berth_server::db::factors::{self, Factor};
use berth_server::ids::UserId;
use berth_tests::browser::Browser;
use berth_tests::world::World;

use super::{PASSWORD, person, project, server, signed_in};

/// A world, and the browser of who runs it.
async fn operator(w: &World) -> Browser {
    signed_in(w, "operator@berth.example", true, &[]).await
}

#[tokio::test]
async fn projects_are_made_found_suspended_and_resumed() {
    let w = World::start().await;
    let browser = operator(&w).await;
    let tenant = signed_in(&w, "anna@harbour.example", false, &["mine"]).await;
    let (mine, id) = (project(&w, "mine").await, server(&w, &tenant, "web").await);
    w.settled().await;

    let all = browser.get("/fleet/projects").await.expect(200);
    assert!(all.contains(">mine<") && all.contains("anna@harbour.example"), "{all}");
    for (looked, found) in
        [("MIN", true), ("anna@", true), (&*mine.to_string(), true), ("%25", false), ("x'y", false)]
    {
        let page = browser.get(&format!("/fleet/projects?q={looked}")).await.expect(200);
        assert_eq!(page.contains(">mine<"), found, "{looked}: {page}");
    }
    browser.get("/fleet/projects?q=%00").await.expect(422);
    browser.get("/fleet/projects?page=99999999999").await.expect(200);
    browser.get("/fleet/projects/99999").await.expect(404);

    let empty = browser.post("/fleet/projects", &[("name", " ")]).await.expect(422);
    assert!(empty.contains(r#"id="make-name-error""#), "{empty}");
    let twice = browser.post("/fleet/projects", &[("name", "mine")]).await.expect(409);
    assert!(twice.contains(r#"value="mine""#) && twice.contains("exists already"), "{twice}");
    let made = browser.post("/fleet/projects", &[("name", "second")]).await;
    let second = made.location().to_owned();
    let page = browser.get(&second).await.expect(200);
    assert!(page.contains("Nobody works in it") && page.contains("The project was made"), "{page}");
    let admit = format!("{second}/members");
    for (email, role, wrong) in [
        ("nobody@berth.example", "admin", "admit-email-error"),
        ("x", "admin", "admit-email-error"),
        ("anna@harbour.example", "king", "admit-role-error"),
    ] {
        let page = browser.post(&admit, &[("email", email), ("role", role)]).await.expect(422);
        assert!(page.contains(wrong) && page.contains(email), "{email} {role}: {page}");
    }
    let anna = |role: &'static str| [("email", "anna@harbour.example"), ("role", role)];
    let refused = browser.post(&admit, &anna("admin")).await.expect(409);
    assert!(refused.contains("needs an owner"), "{refused}");
    let number = second.rsplit('/').next().expect("an id");
    let there = format!("select count(*) from memberships where project_id = {number}");
    assert_eq!(w.scalar(&there).await, 0, "nobody was let in half");
    browser.post(&admit, &anna("owner")).await.leads_to(&second);
    browser.post(&admit, &anna("member")).await.expect(409);
    assert_eq!(w.scalar(&format!("{there} and role = 'owner'")).await, 1);

    // It is suspended with a reason, by its name; and lifted.
    let page = format!("/fleet/projects/{mine}");
    let suspend = format!("{page}/suspend");
    let typed = [("reason", "The invoice is open."), ("confirm", "yours")];
    let refused = browser.post(&suspend, &typed).await.expect(422);
    assert!(
        refused.contains(r#"id="hold-confirm-error""#) && refused.contains("The invoice is open."),
        "{refused}"
    );
    let refused = browser.post(&suspend, &[("reason", ""), ("confirm", "mine")]).await.expect(422);
    assert!(refused.contains(r#"id="hold-reason-error""#), "{refused}");
    assert_eq!(w.scalar("select count(*) from vps where suspended").await, 0);
    browser.post(&suspend, &[("reason", "The invoice is open."), ("confirm", "mine")]).await.leads_to(&page);
    w.api.server_is(id, "off").await;
    assert_eq!(w.running_guests(), 0);
    let shown = browser.get(&page).await.expect(200);
    assert!(shown.contains("The invoice is open.") && shown.contains("Lift the suspension"), "{shown}");
    browser.post(&format!("{page}/resume"), &[]).await.leads_to(&page);
    w.api.server_is(id, "running").await;
    assert!(w.guest_runs(0, id));
    browser.post(&format!("{page}/resume"), &[]).await.expect(404);
    let trail = browser.get("/fleet/audit?event=project&actor=operator@berth.example").await.expect(200);
    assert!(trail.contains("The invoice is open."), "{trail}");
    w.finish().await;
}

#[tokio::test]
async fn people_are_found_and_a_lost_second_factor_is_turned_off() {
    let w = World::builder().hosts(0).start().await;
    let browser = operator(&w).await;
    person(&w, "never@harbour.example", false, &[]).await;
    let anna = signed_in(&w, "anna@harbour.example", false, &["mine"]).await;
    let id = w.scalar("select id from users where email = 'anna@harbour.example'").await;
    let me = w.scalar("select id from users where email = 'operator@berth.example'").await;
    let all = browser.get("/fleet/people").await.expect(200);
    assert!(
        all.contains("never@harbour.example") && all.contains(">never<") && all.contains("just now"),
        "{all}"
    );
    let some = browser.get("/fleet/people?q=ANNA").await.expect(200);
    assert!(some.contains("anna@harbour") && !some.contains("never@harbour"), "{some}");
    let page = format!("/fleet/people/{id}");
    let shown = browser.get(&page).await.expect(200);
    assert!(shown.contains(">mine<") && !shown.contains("Turn off the second factor"), "{shown}");
    browser.post(&format!("{page}/factor-off"), &[("confirm", "anna@harbour.example")]).await.expect(404);

    let database = &w.app().db;
    for user in [id, me] {
        factors::begin(database, UserId(user)).await.expect("begun");
        let Factor::Begun(secret) = factors::get(database, UserId(user)).await.expect("a factor") else {
            panic!("it has begun");
        };
        let now = w.scalar("select extract(epoch from now())::bigint").await;
        let code = totp::code(&secret, u64::try_from(now).expect("after 1970")).expect("a code");
        factors::confirm(database, UserId(user), &code).await.expect("confirmed").expect("codes");
    }
    let refused = browser.post(&format!("{page}/factor-off"), &[("confirm", "anna")]).await.expect(422);
    assert!(refused.contains(r#"id="factor-confirm-error""#), "{refused}");
    anna.get("/account").await.expect(200);
    browser.post(&format!("{page}/factor-off"), &[("confirm", "anna@harbour.example")]).await.leads_to(&page);
    assert!(anna.get("/account").await.location().starts_with("/sign-in"), "her sessions ended");
    anna.sign_in("anna@harbour.example", PASSWORD).await;
    // Whoever is signed in proves who they are to turn off their own.
    let own = format!("/fleet/people/{me}");
    assert!(!browser.get(&own).await.expect(200).contains("Turn off the second factor"));
    browser.post(&format!("{own}/factor-off"), &[("confirm", "operator@berth.example")]).await.expect(404);
    assert_eq!(w.scalar("select count(*) from second_factors where confirmed_at is not null").await, 1);
    w.finish().await;
}

#[tokio::test]
async fn a_plan_is_made_like_another_priced_and_retired() {
    let w = World::builder().room_for(8).start().await;
    let browser = operator(&w).await;
    let tenant = signed_in(&w, "anna@harbour.example", false, &["mine"]).await;
    let old = w.scalar(&format!("select id from plans where name = '{}'", w.plan)).await;
    let all = browser.get("/fleet/plans").await.expect(200);
    assert!(all.contains(&format!(">{}<", w.plan)) && all.contains(r#"data-label="More fit">8<"#), "{all}");
    server(&w, &tenant, "web").await;
    let page = browser.get(&format!("/fleet/plans/{old}")).await.expect(200);
    assert!(page.contains("<td>7</td>"), "one is sold: {page}");

    let like = browser.get(&format!("/fleet/plans/new?like={old}")).await.expect(200);
    assert!(
        like.contains(r#"name="memory_bytes" type="text" value="0."#) || like.contains(r#"value="1""#),
        "{like}"
    );
    let fields = |extra: &[(&'static str, &'static str)]| {
        let names = [
            "swap_bytes",
            "bandwidth_mbit",
            "cpu_guarantee_milli",
            "cpu_weight",
            "memory_high_bytes",
            "memory_guarantee_bytes",
            "disk_read_bps",
            "disk_write_bps",
            "disk_read_iops",
            "disk_write_iops",
            "inodes",
            "open_files",
            "included_traffic",
            "price_hourly",
        ];
        let mut all: Vec<(&str, &str)> = names.map(|name| (name, "0")).to_vec();
        all.extend([("name", "pier"), ("cpu_milli", "1.5"), ("memory_bytes", "0.5"), ("disk_bytes", "4")]);
        all.extend([("pids", "512"), ("price_monthly", "4.90")]);
        all.retain(|(name, _)| extra.iter().all(|(other, _)| other != name));
        all.extend(extra);
        all
    };
    for (extra, wrong) in [
        (("name", "B 2"), "plan-name-error"),
        (("cpu_milli", "-1"), "plan-cpu_milli-error"),
        (("memory_bytes", "lots"), "plan-memory_bytes-error"),
        (("disk_bytes", "0"), "plan-disk_bytes-error"),
        (("price_monthly", "4,90"), "plan-price_monthly-error"),
        (("cpu_guarantee_milli", "2"), "plan-cpu_guarantee_milli-error"),
    ] {
        let page = browser.post("/fleet/plans/new", &fields(&[extra])).await.expect(422);
        assert!(
            page.contains(&format!(r#"id="{wrong}""#)) && page.contains(r#"value="512""#),
            "{extra:?}: {page}"
        );
    }
    let taken: &'static str = Box::leak(w.plan.clone().into_boxed_str());
    let twice = browser.post("/fleet/plans/new", &fields(&[("name", taken)])).await.expect(409);
    assert!(twice.contains(r#"id="plan-name-error""#), "{twice}");
    let made = browser.post("/fleet/plans/new", &fields(&[])).await.location().to_owned();
    let shown = browser.get(&made).await.expect(200);
    assert!(shown.contains("1.5 cores") && shown.contains("0.5 GB") && shown.contains("4.90"), "{shown}");
    assert_eq!(
        w.scalar("select count(*) from plans where name = 'pier' and cpu_milli = 1500 and pids = 512").await,
        1
    );

    let policy = format!("{made}/policy");
    let bad = [("over_traffic", "throttle"), ("throttle_mbit", "10"), ("blocked_ports", "tcp/25 smtp")];
    let refused = browser.post(&policy, &bad).await.expect(422);
    assert!(
        refused.contains(r#"id="policy-blocked_ports-error""#) && refused.contains("tcp/25 smtp"),
        "{refused}"
    );
    let good = [("over_traffic", "throttle"), ("throttle_mbit", "10"), ("blocked_ports", "tcp/25\nudp/53")];
    browser.post(&policy, &good).await.leads_to(&made);
    let shown = browser.get(&made).await.expect(200);
    assert!(shown.contains(">tcp/25 udp/53</textarea>") && shown.contains("was saved"), "{shown}");

    browser.post(&format!("{made}/retire"), &[("confirm", "pier-2")]).await.expect(422);
    browser.post(&format!("{made}/retire"), &[("confirm", "pier")]).await.leads_to(&made);
    browser.post(&format!("{made}/retire"), &[("confirm", "pier")]).await.expect(404);
    assert_eq!(
        w.scalar("select count(*) from plans where retired_at is not null and name = 'pier'").await,
        1
    );
    w.finish().await;
}

#[tokio::test]
async fn locations_are_made_and_told_whom_to_ask_and_images_are_withdrawn() {
    let w = World::start().await;
    let browser = operator(&w).await;
    let here = "/fleet/locations";
    for (fields, wrong) in [
        ([("name", "A b"), ("latitude", "0"), ("longitude", "0")], "make-name-error"),
        ([("name", "fsn1"), ("latitude", "north"), ("longitude", "0")], "make-latitude-error"),
        ([("name", "fsn1"), ("latitude", "0"), ("longitude", "inf")], "make-longitude-error"),
    ] {
        let page = browser.post(here, &fields).await.expect(422);
        assert!(page.contains(&format!(r#"id="{wrong}""#)), "{fields:?}: {page}");
    }
    let good = [("name", "fsn1"), ("city", "Falkenstein"), ("latitude", "50.48"), ("longitude", "12.37")];
    browser.post(here, &good).await.leads_to(here);
    browser.post(here, &good).await.expect(409);
    let id = w.scalar("select id from locations where name = 'fsn1'").await;
    let centre = |location: &str| vec![("name", "fsn1-dc1".to_owned()), ("location", location.to_owned())];
    for (location, status) in [("x", 422), ("99999", 404)] {
        let fields = centre(location);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.post("/fleet/datacenters", &fields).await.expect(status);
    }
    let at = id.to_string();
    let fields = [("name", "fsn1-dc1"), ("location", at.as_str())];
    browser.post("/fleet/datacenters", &fields).await.leads_to(here);
    let all = browser.get(here).await.expect(200);
    assert!(all.contains("Falkenstein") && all.contains("fsn1-dc1"), "{all}");

    let page = format!("{here}/{id}");
    let names = format!("{page}/resolvers");
    let wrong = browser.post(&names, &[("resolvers", "9.9.9.9 dns.example")]).await.expect(422);
    assert!(wrong.contains(r#"id="names-resolvers-error""#) && wrong.contains("dns.example"), "{wrong}");
    browser.post(&names, &[("resolvers", "1.1.1.1 1.0.0.1 8.8.8.8 9.9.9.9")]).await.expect(422);
    browser.post(&names, &[("resolvers", "9.9.9.9\n2620:fe::fe")]).await.leads_to(&page);
    assert!(browser.get(&page).await.expect(200).contains(">9.9.9.9 2620:fe::fe</textarea>"));

    let image = w.scalar("select id from images").await;
    let page = format!("/fleet/images/{image}");
    assert!(browser.get("/fleet/images").await.expect(200).contains(&w.image));
    browser.post(&format!("{page}/withdraw"), &[("confirm", "no")]).await.expect(422);
    browser.post(&format!("{page}/withdraw"), &[("confirm", &w.image)]).await.leads_to(&page);
    assert!(browser.get(&page).await.expect(200).contains("withdrawn"));
    w.api.get(&format!("/v1/images?name={}", w.image)).await.expect(200);
    assert_eq!(w.scalar("select count(*) from images where retired_at is null").await, 0);
    w.finish().await;
}

#[tokio::test]
async fn pools_are_made_told_how_full_they_are_and_deleted() {
    let w = World::start().await;
    let browser = operator(&w).await;
    let tenant = signed_in(&w, "anna@harbour.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &tenant, "web").await;
    w.settled().await;
    let here = "/fleet/pools";
    let first = w.scalar("select id from pools order by id limit 1").await;
    let all = browser.get(here).await.expect(200);
    assert!(all.contains(">1 of "), "{all}");

    let fields = |extra: &[(&'static str, &'static str)]| {
        let mut all =
            vec![("name", "public"), ("cidr", "192.0.2.0/29"), ("kind", "routed"), ("location", "local")];
        all.extend([("quarantine_s", "60"), ("ports_per_vps", "20")]);
        all.retain(|(name, _)| extra.iter().all(|(other, _)| other != name));
        all.extend(extra);
        all
    };
    for (extra, wrong) in [
        (vec![("name", "A b")], "make-name-error"),
        (vec![("cidr", "192.0.2.1/24")], "make-cidr-error"),
        (vec![("cidr", "x")], "make-cidr-error"),
        (vec![("kind", "magic")], "make-kind-error"),
        (vec![("kind", "nat"), ("cidr", "2001:db8::/48")], "make-kind-error"),
        (vec![("location", "nowhere")], "make-location-error"),
        (vec![("quarantine_s", "-1")], "make-quarantine_s-error"),
        (vec![("kind", "nat"), ("ports", "many")], "make-ports-error"),
        (
            vec![("kind", "nat"), ("ports", "10000-29999"), ("ports_per_vps", "many")],
            "make-ports_per_vps-error",
        ),
    ] {
        let page = browser.post(here, &fields(&extra)).await.expect(422);
        assert!(page.contains(&format!(r#"id="{wrong}""#)), "{extra:?}: {page}");
    }
    let made = browser.post(here, &fields(&[])).await.location().to_owned();
    let page = browser.get(&made).await.expect(200);
    assert!(page.contains("0 of 5") && page.contains("routes"), "{page}");
    browser.post(&format!("{made}/rest"), &[("quarantine_s", "99999999")]).await.expect(422);
    browser.post(&format!("{made}/rest"), &[("quarantine_s", "90")]).await.leads_to(&made);
    assert_eq!(w.scalar("select quarantine_s from pools where name = 'public'").await, 90);

    // Its name server; the key is typed again when the rest was wrong, and never shown.
    let names = format!("{made}/name-server");
    let key = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
    let typed = |server: &'static str| {
        [
            ("server", server),
            ("zones", "2.0.192.in-addr.arpa"),
            ("key_name", "berth"),
            ("key_algorithm", "hmac-sha256"),
            ("key_secret", key),
            ("ttl_s", "3600"),
        ]
    };
    let refused = browser.post(&names, &typed("ns.example")).await.expect(422);
    assert!(refused.contains(r#"id="names-server-error""#) && !refused.contains(key), "{refused}");
    browser.post(&names, &typed("127.0.0.1:9")).await.leads_to(&made);
    let page = browser.get(&made).await.expect(200);
    assert!(page.contains("127.0.0.1:9") && !page.contains(key), "{page}");
    assert!(browser.get("/fleet/settings").await.expect(200).contains("127.0.0.1:9"));
    let forget = format!("{names}/forget");
    let refused = browser.post(&forget, &[("confirm", "no")]).await.expect(422);
    assert!(refused.contains(r#"id="forget-confirm-error""#), "{refused}");
    browser.post(&forget, &[("confirm", "public")]).await.leads_to(&made);
    assert_eq!(w.scalar("select count(*) from pool_name_servers").await, 0);

    // Who has an address keeps its pool.
    let name = browser.get(&format!("{here}/{first}")).await.expect(200);
    let name = name.split("<h1>").nth(1).and_then(|rest| rest.split('<').next()).expect("a name").to_owned();
    let used = browser.post(&format!("{here}/{first}/delete"), &[("confirm", &name)]).await.expect(422);
    assert!(used.contains("belong to projects"), "{used}");
    browser.post(&format!("{made}/delete"), &[("confirm", "no")]).await.expect(422);
    browser.post(&format!("{made}/delete"), &[("confirm", "public")]).await.leads_to(here);
    browser.get(&made).await.expect(404);

    // Who had an address, and when.
    let looked = "/fleet/addresses";
    browser.get(looked).await.expect(200);
    let server = w.api.get(&format!("/v1/servers/{id}")).await.expect(200);
    let ip = server["server"]["public_net"]["ipv4"]["ip"].as_str().expect("an address").to_owned();
    let found = browser.get(&format!("{looked}?ip={ip}")).await.expect(200);
    assert!(
        found.contains(&format!("/fleet/projects/{mine}"))
            && found.contains("web")
            && found.contains("still"),
        "{found}"
    );
    let before = browser.get(&format!("{looked}?ip={ip}&at=2001-01-01T00:00:00Z")).await.expect(200);
    assert!(before.contains("Nobody had"), "{before}");
    for (query, wrong) in [
        ("ip=x", "ip-error"),
        ("ip=&at=2001-01-01T00:00:00Z", "ip-error"),
        ("ip=192.0.2.1&at=noon", "at-error"),
    ] {
        let page = browser.get(&format!("{looked}?{query}")).await.expect(422);
        assert!(page.contains(&format!(r#"id="{wrong}""#)), "{query}: {page}");
    }
    w.finish().await;
}

#[tokio::test]
async fn settings_say_who_may_make_an_account_and_when_months_begin() {
    let w = World::builder().hosts(0).start().await;
    let browser = operator(&w).await;
    let here = "/fleet/settings";
    let page = browser.get(here).await.expect(200);
    assert!(
        page.contains("No mail leaves here") && page.contains(r#"<option value="invited" selected>"#),
        "{page}"
    );
    let refused = browser.post("/fleet/settings/accounts", &[("sign_up", "all")]).await.expect(422);
    assert!(refused.contains(r#"id="accounts-sign_up-error""#), "{refused}");
    browser.post("/fleet/settings/accounts", &[("sign_up", "off")]).await.leads_to(here);
    for day in ["0", "29", "first"] {
        let refused = browser.post("/fleet/settings/traffic", &[("reset_day", day)]).await.expect(422);
        assert!(refused.contains(r#"id="traffic-reset_day-error""#), "{day}: {refused}");
    }
    browser.post("/fleet/settings/traffic", &[("reset_day", "15")]).await.leads_to(here);
    let page = browser.get(here).await.expect(200);
    assert!(page.contains(r#"<option value="off" selected>"#) && page.contains(r#"value="15""#), "{page}");
    let told = w.admin.get("/admin/v1/settings").await.expect(200);
    assert_eq!(told["sign_up"].as_str().or(told["settings"]["sign_up"].as_str()), Some("off"), "{told}");
    w.finish().await;
}

#[tokio::test]
async fn the_fleet_at_a_glance_tells_what_is_in_trouble() {
    let w = World::builder().hosts(2).room_for(3).start().await;
    let browser = operator(&w).await;
    let tenant = signed_in(&w, "anna@harbour.example", false, &["mine"]).await;
    let (mine, id) = (project(&w, "mine").await, server(&w, &tenant, "web").await);
    w.settled().await;
    browser.get("/").await.leads_to("/fleet");
    let page = browser.get("/fleet").await.expect(200);
    assert!(page.contains("2 <small>of 2</small>") && page.contains(">5<"), "six fit, one is there: {page}");
    assert!(page.contains("Nothing waits for longer") && !page.contains("Hosts to look at"), "{page}");
    let fresh = "select count(*) from hosts where cert_until > now() + interval '80 days'";
    assert_eq!(w.scalar(fresh).await, 2, "enrolling says how long the certificate is good");

    for (status, started, ended) in [
        ("running", "now() - interval '1 hour'", "null"),
        ("running", "now()", "null"),
        ("error", "now() - interval '1 hour'", "now()"),
        ("error", "now() - interval '9 days'", "now() - interval '8 days'"),
        ("success", "now() - interval '1 hour'", "now()"),
    ] {
        w.sql(&format!(
            "insert into actions (project_id, command, status, vps_id, error_code, error_message, started_at, finished_at)
             values ({mine}, 'move_{status}', '{status}', {id}, 'odd', 'The disk is odd.', {started}, {ended})"
        ))
        .await;
    }
    w.sql("update hosts set cert_until = now() + interval '3 days' where id = (select min(id) from hosts)")
        .await;
    let page = browser.get("/fleet").await.expect(200);
    assert_eq!(page.matches("move_running does not end").count(), 1, "{page}");
    assert_eq!(page.matches("move_error").count(), 1, "{page}");
    assert!(!page.contains("move_success") && page.contains("The disk is odd."), "{page}");
    assert!(page.contains("Its certificate ends in") && page.contains("Hosts to look at"), "{page}");
    w.sql("delete from actions where command like 'move_%'").await;
    w.finish().await;
}

#[tokio::test]
async fn a_host_keeps_why_it_is_cordoned_and_whom_it_announces_to() {
    let w = World::start().await;
    let browser = operator(&w).await;
    let id = w.scalar("select id from hosts").await;
    let page = format!("/fleet/hosts/{id}");
    let long = "x".repeat(200);
    let refused = browser.post(&format!("{page}/cordon"), &[("cordon_reason", &long)]).await.expect(422);
    assert!(refused.contains(r#"id="cordon-cordon_reason-error""#) && refused.contains(&long), "{refused}");
    browser.post(&format!("{page}/cordon"), &[("cordon_reason", "The disk is odd.")]).await.leads_to(&page);
    let shown = browser.get(&page).await.expect(200);
    assert!(shown.contains("The disk is odd.") && shown.contains("Take new servers again"), "{shown}");
    let told = w.admin.get(&format!("/admin/v1/hosts/{id}")).await.expect(200);
    assert_eq!(told["host"]["cordon_reason"], "The disk is odd.", "{told}");
    browser.post(&format!("{page}/uncordon"), &[]).await.leads_to(&page);
    assert_eq!(w.scalar("select count(*) from hosts where cordoned or cordon_reason is not null").await, 0);
    let body = serde_json::json!({"cordon_reason": "x"});
    w.admin.put(&format!("/admin/v1/hosts/{id}"), body).await.refused(422, "invalid_input");
    browser.post(&format!("{page}/cordon"), &[]).await.leads_to(&page);
    browser.post(&format!("{page}/uncordon"), &[]).await.leads_to(&page);

    for times in ["0.5", "many", "NaN", ""] {
        let refused =
            browser.post(&format!("{page}/overcommit"), &[("cpu_overcommit", times)]).await.expect(422);
        assert!(refused.contains(r#"id="overcommit-cpu_overcommit-error""#), "{times}: {refused}");
    }
    browser.post(&format!("{page}/overcommit"), &[("cpu_overcommit", "2.5")]).await.leads_to(&page);
    assert!(browser.get(&page).await.expect(200).contains(r#"value="2.5""#));

    let bgp = format!("{page}/bgp");
    for (asn, router, neighbours, wrong) in [
        ("x", "", "192.0.2.1=64500", "bgp-asn-error"),
        ("0", "", "192.0.2.1=64500", "bgp-asn-error"),
        ("64512", "here", "192.0.2.1=64500", "bgp-router_id-error"),
        ("64512", "", "192.0.2.1", "bgp-neighbours-error"),
    ] {
        let typed = [("asn", asn), ("router_id", router), ("neighbours", neighbours)];
        let refused = browser.post(&bgp, &typed).await.expect(422);
        assert!(refused.contains(&format!(r#"id="{wrong}""#)), "{typed:?}: {refused}");
    }
    let typed = [("asn", "64512"), ("router_id", ""), ("neighbours", "192.0.2.1=64500\n2001:db8::1=64501")];
    browser.post(&bgp, &typed).await.leads_to(&page);
    assert!(browser.get(&page).await.expect(200).contains("192.0.2.1=64500\n2001:db8::1=64501</textarea>"));
    browser.post(&bgp, &[("neighbours", "")]).await.leads_to(&page);
    assert_eq!(w.scalar("select count(*) from hosts where bgp is not null and bgp <> 'null'").await, 0);
    w.finish().await;
}

#[tokio::test]
async fn all_servers_are_ordered_by_what_they_use() {
    let w = World::builder().room_for(4).start().await;
    let browser = operator(&w).await;
    let tenant = signed_in(&w, "anna@harbour.example", false, &["mine"]).await;
    // cpu, memory, disk, network and limit hits of each.
    let servers = [("busy", [9, 1, 1, 0, 0]), ("writer", [1, 2, 9, 1, 1]), ("talker", [2, 9, 2, 9, 7])];
    for (name, [cpu, memory, disk, network, hits]) in servers {
        let id = server(&w, &tenant, name).await;
        w.settled().await;
        // In the time to come, so that they are newer than what hosts report meanwhile.
        for (n, after) in [(0, 3600), (1, 3610)] {
            w.sql(&format!(
                "insert into vps_samples (vps_id, at, cpu_usec, memory_bytes, swap_bytes, pids, disk_used_bytes,
                   disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops, net_in_bytes, net_out_bytes,
                   net_in_packets, net_out_packets, hit_memory_max)
                 values ({id}, now() + interval '{after} seconds', {n} * {cpu}00000, {memory}000000, 0, 1, 1,
                   {n} * {disk}0000000, 0, 0, 0, {n} * {network}0000000, 0, 0, 0, {hits})"
            ))
            .await;
        }
    }
    for (sort, order) in [
        ("cpu", ["busy", "talker", "writer"]),
        ("memory", ["talker", "writer", "busy"]),
        ("disk", ["writer", "talker", "busy"]),
        ("network", ["talker", "writer", "busy"]),
        ("hits", ["talker", "writer", "busy"]),
        ("created", ["talker", "writer", "busy"]),
        ("'; drop table vps", ["busy", "talker", "writer"]),
    ] {
        let page = browser.get(&format!("/fleet/servers?sort={sort}")).await.expect(200);
        let at =
            |name: &str| page.find(&format!(">{name}<")).unwrap_or_else(|| panic!("{sort}: {name}: {page}"));
        assert!(at(order[0]) < at(order[1]) && at(order[1]) < at(order[2]), "{sort}: {page}");
    }
    let page = browser.get("/fleet/servers?sort=disk").await.expect(200);
    assert!(
        page.contains("MB/s") && page.contains("Mbit/s") && page.contains(r#"aria-current="true">Disk<"#),
        "{page}"
    );
    let far = browser.get("/fleet/servers?page=9").await.expect(200);
    assert!(!far.contains(">busy<") && far.contains("3 in all"), "{far}");
    w.sql("delete from vps_samples where at > now() + interval '1 minute'").await;
    w.finish().await;
}
