//! Who may see and do what: every route, by every kind of person; other sites; headers; hostile text.

use berth_tests::browser::Browser;
use berth_tests::world::World;
use reqwest::Method;

use super::{project, server, signed_in};

/// What a route needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nothing.
    Open,
    /// Somebody who is signed in.
    SignedIn,
    /// Anybody of the project.
    Look,
    /// A member who may change things.
    Change,
    /// An admin or owner.
    Manage,
    /// As `Look`, or the server was given to them.
    See,
    /// As `Change`, or it was given to them to operate.
    Run,
    /// As `Change`, or it was given to them to manage.
    Tend,
    /// As `Change`; nobody is given that on a single server.
    End,
    /// As `Manage`; nor that.
    Share,
    /// An operator.
    Operate,
}
use Need::{Change, End, Look, Manage, Open, Operate, Run, See, Share, SignedIn, Tend};

/// Every route of the dashboard and what it needs, with `{project}` and `{id}` to be filled in. Whoever adds a route
/// adds it here; [`no_route_is_forgotten`] sees to it.
const GUARDED: [(&str, &str, Need); 182] = [
    ("GET", "/", SignedIn),
    ("GET", "/projects/{project}/servers", See),
    ("GET", "/projects/{project}/servers/events", See),
    ("POST", "/projects/{project}/servers/power", Run),
    ("GET", "/projects/{project}/servers/new", Change),
    ("POST", "/projects/{project}/servers/new", Change),
    ("POST", "/projects/{project}/servers/summary", Change),
    ("GET", "/projects/{project}/servers/{id}", See),
    ("GET", "/projects/{project}/servers/{id}/events", See),
    ("GET", "/projects/{project}/servers/{id}/console", Run),
    ("POST", "/projects/{project}/servers/{id}/console/ticket", Run),
    ("POST", "/projects/{project}/servers/{id}/power", Run),
    ("POST", "/projects/{project}/servers/{id}/reset-password", Run),
    ("POST", "/projects/{project}/servers/{id}/resize", Tend),
    ("POST", "/projects/{project}/servers/{id}/freeze", Run),
    ("POST", "/projects/{project}/servers/{id}/restart-policy", Tend),
    ("GET", "/projects/{project}/servers/{id}/settings", Tend),
    ("POST", "/projects/{project}/servers/{id}/settings", Tend),
    ("POST", "/projects/{project}/servers/{id}/protection", Tend),
    ("GET", "/projects/{project}/servers/{id}/access", Share),
    ("POST", "/projects/{project}/servers/{id}/access", Share),
    ("POST", "/projects/{project}/servers/{id}/access/leave", See),
    ("POST", "/projects/{project}/servers/{id}/access/{grant}/level", Share),
    ("POST", "/projects/{project}/servers/{id}/access/{grant}/revoke", Share),
    ("POST", "/projects/{project}/servers/{id}/access/{grant}/uninvite", Share),
    ("POST", "/projects/{project}/servers/{id}/delete", End),
    ("GET", "/projects/{project}/firewalls", Look),
    ("GET", "/projects/{project}/firewalls/new", Change),
    ("POST", "/projects/{project}/firewalls/new", Change),
    ("GET", "/projects/{project}/firewalls/{id}", Look),
    ("GET", "/projects/{project}/firewalls/{id}/rules", Change),
    ("POST", "/projects/{project}/firewalls/{id}/rules", Change),
    ("POST", "/projects/{project}/firewalls/{id}/apply", Change),
    ("POST", "/projects/{project}/firewalls/{id}/remove", Change),
    ("POST", "/projects/{project}/firewalls/{id}/private", Change),
    ("POST", "/projects/{project}/firewalls/{id}/name", Change),
    ("POST", "/projects/{project}/firewalls/{id}/delete", Change),
    ("GET", "/projects/{project}/networks", Look),
    ("POST", "/projects/{project}/networks", Change),
    ("GET", "/projects/{project}/networks/{id}", Look),
    ("POST", "/projects/{project}/networks/{id}/subnets", Change),
    ("POST", "/projects/{project}/networks/{id}/subnets/delete", Change),
    ("POST", "/projects/{project}/networks/{id}/routes", Change),
    ("POST", "/projects/{project}/networks/{id}/routes/delete", Change),
    ("POST", "/projects/{project}/networks/{id}/range", Change),
    ("POST", "/projects/{project}/networks/{id}/attach", Change),
    ("POST", "/projects/{project}/networks/{id}/detach", Change),
    ("POST", "/projects/{project}/networks/{id}/name", Change),
    ("POST", "/projects/{project}/networks/{id}/protection", Change),
    ("POST", "/projects/{project}/networks/{id}/delete", Change),
    ("GET", "/projects/{project}/addresses", Look),
    ("POST", "/projects/{project}/addresses", Change),
    ("GET", "/projects/{project}/primary-ips/{id}", Look),
    ("POST", "/projects/{project}/primary-ips/{id}/assign", Change),
    ("POST", "/projects/{project}/primary-ips/{id}/unassign", Change),
    ("POST", "/projects/{project}/primary-ips/{id}/reverse-dns", Change),
    ("POST", "/projects/{project}/primary-ips/{id}/settings", Change),
    ("POST", "/projects/{project}/primary-ips/{id}/protection", Change),
    ("POST", "/projects/{project}/primary-ips/{id}/delete", Change),
    ("GET", "/projects/{project}/floating-ips/{id}", Look),
    ("POST", "/projects/{project}/floating-ips/{id}/assign", Change),
    ("POST", "/projects/{project}/floating-ips/{id}/unassign", Change),
    ("POST", "/projects/{project}/floating-ips/{id}/reverse-dns", Change),
    ("POST", "/projects/{project}/floating-ips/{id}/settings", Change),
    ("POST", "/projects/{project}/floating-ips/{id}/protection", Change),
    ("POST", "/projects/{project}/floating-ips/{id}/delete", Change),
    ("GET", "/projects/{project}/keys", Look),
    ("POST", "/projects/{project}/keys", Change),
    ("POST", "/projects/{project}/keys/{id}/delete", Change),
    ("GET", "/projects/{project}/tokens", Manage),
    ("POST", "/projects/{project}/tokens", Manage),
    ("POST", "/projects/{project}/tokens/{id}/delete", Manage),
    ("GET", "/projects/{project}/webhooks", Manage),
    ("POST", "/projects/{project}/webhooks", Manage),
    ("GET", "/projects/{project}/webhooks/{id}", Manage),
    ("POST", "/projects/{project}/webhooks/{id}", Manage),
    ("POST", "/projects/{project}/webhooks/{id}/switch", Manage),
    ("POST", "/projects/{project}/webhooks/{id}/test", Manage),
    ("POST", "/projects/{project}/webhooks/{id}/redeliver", Manage),
    ("POST", "/projects/{project}/webhooks/{id}/delete", Manage),
    ("GET", "/projects/{project}/usage", Look),
    ("GET", "/projects/{project}/audit", Look),
    ("GET", "/projects/{project}/audit/export", Look),
    ("GET", "/fleet", Operate),
    ("GET", "/fleet/hosts", Operate),
    ("POST", "/fleet/hosts", Operate),
    ("GET", "/fleet/hosts/events", Operate),
    ("GET", "/fleet/hosts/{id}", Operate),
    ("POST", "/fleet/hosts/{id}/cordon", Operate),
    ("POST", "/fleet/hosts/{id}/uncordon", Operate),
    ("POST", "/fleet/hosts/{id}/overcommit", Operate),
    ("POST", "/fleet/hosts/{id}/bgp", Operate),
    ("GET", "/fleet/servers", Operate),
    ("GET", "/fleet/projects", Operate),
    ("POST", "/fleet/projects", Operate),
    ("GET", "/fleet/projects/{id}", Operate),
    ("POST", "/fleet/projects/{id}/suspend", Operate),
    ("POST", "/fleet/projects/{id}/resume", Operate),
    ("POST", "/fleet/projects/{id}/members", Operate),
    ("GET", "/fleet/people", Operate),
    ("GET", "/fleet/people/{id}", Operate),
    ("POST", "/fleet/people/{id}/factor-off", Operate),
    ("POST", "/fleet/people/{id}/act", Operate),
    ("GET", "/fleet/plans", Operate),
    ("GET", "/fleet/plans/new", Operate),
    ("POST", "/fleet/plans/new", Operate),
    ("GET", "/fleet/plans/{id}", Operate),
    ("POST", "/fleet/plans/{id}/policy", Operate),
    ("POST", "/fleet/plans/{id}/retire", Operate),
    ("GET", "/fleet/locations", Operate),
    ("POST", "/fleet/locations", Operate),
    ("POST", "/fleet/datacenters", Operate),
    ("GET", "/fleet/locations/{id}", Operate),
    ("POST", "/fleet/locations/{id}/resolvers", Operate),
    ("GET", "/fleet/images", Operate),
    ("GET", "/fleet/images/{id}", Operate),
    ("POST", "/fleet/images/{id}/withdraw", Operate),
    ("GET", "/fleet/pools", Operate),
    ("POST", "/fleet/pools", Operate),
    ("GET", "/fleet/pools/{id}", Operate),
    ("POST", "/fleet/pools/{id}/rest", Operate),
    ("POST", "/fleet/pools/{id}/ports", Operate),
    ("POST", "/fleet/pools/{id}/delete", Operate),
    ("POST", "/fleet/pools/{id}/name-server", Operate),
    ("POST", "/fleet/pools/{id}/name-server/forget", Operate),
    ("GET", "/fleet/addresses", Operate),
    ("GET", "/fleet/settings", Operate),
    ("POST", "/fleet/settings/accounts", Operate),
    ("POST", "/fleet/settings/traffic", Operate),
    ("GET", "/fleet/announcements", Operate),
    ("POST", "/fleet/announcements", Operate),
    ("POST", "/fleet/announcements/{id}/delete", Operate),
    ("POST", "/announcements/{id}/dismiss", SignedIn),
    ("GET", "/fleet/audit", Operate),
    ("GET", "/fleet/audit/export", Operate),
    ("GET", "/projects/{project}/members", Look),
    ("POST", "/projects/{project}/members", Manage),
    ("POST", "/projects/{project}/members/{id}/role", Manage),
    ("POST", "/projects/{project}/members/{id}/remove", Look),
    ("POST", "/projects/{project}/invitations/{id}/delete", Manage),
    ("GET", "/account", SignedIn),
    ("POST", "/account/name", SignedIn),
    ("POST", "/account/password", SignedIn),
    ("POST", "/account/sessions/end", SignedIn),
    ("POST", "/account/sessions/{id}/end", SignedIn),
    ("POST", "/account/projects", SignedIn),
    ("GET", "/account/export", SignedIn),
    ("POST", "/account/close", SignedIn),
    ("GET", "/account/second-factor", SignedIn),
    ("POST", "/account/second-factor", SignedIn),
    ("POST", "/account/second-factor/confirm", SignedIn),
    ("POST", "/account/second-factor/off", SignedIn),
    ("POST", "/account/provider/link", SignedIn),
    ("POST", "/account/provider/unlink", SignedIn),
    ("GET", "/account/passkeys", SignedIn),
    ("POST", "/account/passkeys", SignedIn),
    ("POST", "/account/passkeys/options", SignedIn),
    ("POST", "/account/passkeys/{id}/name", SignedIn),
    ("POST", "/account/passkeys/{id}/remove", SignedIn),
    ("POST", "/account/acting/end", SignedIn),
    // These are before the dashboard.
    ("GET", "/sign-in", Open),
    ("POST", "/sign-in", Open),
    ("POST", "/sign-out", Open),
    ("GET", "/sign-in/code", Open),
    ("POST", "/sign-in/code", Open),
    ("POST", "/sign-in/code/options", Open),
    ("POST", "/sign-in/code/passkey", Open),
    ("POST", "/sign-in/passkey", Open),
    ("POST", "/sign-in/passkey/options", Open),
    ("GET", "/sign-in/provider", Open),
    ("GET", "/sign-in/provider/back", Open),
    ("GET", "/sign-up", Open),
    ("POST", "/sign-up", Open),
    ("GET", "/verify", Open),
    ("POST", "/verify", Open),
    ("GET", "/reset", Open),
    ("POST", "/reset", Open),
    ("GET", "/reset/new", Open),
    ("POST", "/reset/new", Open),
    ("GET", "/invitation", Open),
    ("POST", "/invitation", Open),
    ("POST", "/theme", Open),
];

/// Those of [`GUARDED`] that need somebody.
fn guarded() -> impl Iterator<Item = (Method, &'static str)> {
    let closed = GUARDED.into_iter().filter(|(_, _, need)| *need != Open);
    closed.map(|(m, p, _)| (m.parse().expect("a method"), p))
}

fn filled(path: &str, project: i64, id: i64) -> String {
    let path = path.replace("{project}", &project.to_string()).replace("{id}", &id.to_string());
    path.replace("{grant}", "987654321")
}

#[test]
fn no_route_is_forgotten() {
    let source = include_str!("../../../../server/src/pages/mod.rs");
    let mut known: Vec<_> = GUARDED.iter().map(|(method, path, _)| (*method, (*path).to_owned())).collect();
    known.push(("GET", "/assets/{file}".to_owned()));
    let mut prefix = "";
    let mut routes = 0;
    for line in source.lines() {
        if let Some(name) = line.trim().strip_prefix("let ").and_then(|l| l.strip_suffix(" = Router::new()"))
        {
            prefix = if name == "project" { "/projects/{project}" } else { "/fleet" };
        } else if line.trim() == "Router::new()" {
            prefix = "";
        }
        let Some((_, rest)) = line.split_once(".route(\"") else { continue };
        let (path, methods) = rest.split_once("\", ").expect("a path and its methods");
        for (word, method) in [("get(", "GET"), ("post(", "POST")] {
            if methods.contains(word) {
                routes += 1;
                let path = format!("{prefix}{path}");
                assert!(known.contains(&(method, path.clone())), "{method} {path} has no case here");
            }
        }
    }
    assert_eq!(routes, known.len(), "as many cases as routes");
}

#[tokio::test]
async fn without_a_session_there_is_nothing() {
    let w = World::start().await;
    let nobody = Browser::new(w.url(0));
    let mine = project(&w, "mine").await;
    for (method, path) in guarded() {
        let path = filled(path, mine, 1);
        let seen = nobody.send(method.clone(), &path, &[], (method == Method::POST).then_some(&[])).await;
        assert!(seen.location().starts_with("/sign-in"), "{method} {path}");
        let script = nobody.send(method.clone(), &path, &[("hx-request", "true")], None).await;
        assert_eq!((script.status, script.body.as_str()), (401, ""), "{method} {path}");
    }
    w.finish().await;
}

#[tokio::test]
async fn what_is_anothers_is_not_there() {
    let w = World::start().await;
    let owner = signed_in(&w, "ada@berth.example", false, &["mine"]).await;
    let stranger = signed_in(&w, "eve@berth.example", false, &["others"]).await;
    let (mine, others) = (project(&w, "mine").await, project(&w, "others").await);
    let id = server(&w, &owner, "web").await;
    w.settled().await;
    let before = owner.get(&format!("/projects/{mine}/servers/{id}")).await.expect(200);
    assert!(before.contains("Running"));
    for (method, path) in guarded().filter(|(_, path)| *path != "/" && !path.starts_with("/account")) {
        let is_post = method == Method::POST;
        let fields: [(&str, &str); 5] = [
            ("confirm", "web"),
            ("command", "poweroff"),
            ("name", "x"),
            ("role", "member"),
            ("project_id", &mine.to_string()),
        ];
        let mut paths = vec![filled(path, mine, id)];
        if path.contains("{id}") && path.starts_with("/projects") {
            paths.push(filled(path, others, id)); // in the stranger's own project there is no such thing
        }
        for path in paths {
            let seen = stranger.send(method.clone(), &path, &[], is_post.then_some(&fields)).await;
            // An event stream about a thing that is not there says so and ends.
            let told = seen.status == 404 || (path.ends_with("/events") && seen.body.contains("event: gone"));
            assert!(told, "{method} {path}: {} {}", seen.status, seen.body);
            assert!(!seen.body.contains("10.77."), "{method} {path} tells the address");
        }
    }
    for odd in ["x", "-1", "0", "99999999999999999999", "1%00", "%2e%2e"] {
        stranger.get(&format!("/projects/{odd}/servers")).await.expect(404);
        stranger.get(&format!("/projects/{others}/servers/{odd}")).await.expect(404);
    }
    w.settled().await;
    assert!(owner.get(&format!("/projects/{mine}/servers/{id}")).await.expect(200).contains("Running"));
    w.finish().await;
}

/// The rank of whoever was given the server to look at; the other levels follow.
const GIVEN: i32 = 10;

/// Every route by every role: who may not is told so, and nothing happens; who may is let through to what the page checks.
#[tokio::test]
async fn every_role_may_what_it_says_on_every_route() {
    let w = World::start().await;
    let owner = signed_in(&w, "owner@berth.example", false, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &owner, "web").await;
    w.settled().await;
    let operator = signed_in(&w, "operator@berth.example", true, &[]).await;
    let mut people = vec![(3, owner), (-1, operator)];
    // Those who are nobody in the project, but to whom the server was given.
    for (rank, level) in ["view", "operate", "manage"].into_iter().enumerate() {
        let email = format!("{level}@berth.example");
        let browser = signed_in(&w, &email, false, &[]).await;
        w.sql(&format!("insert into grants (project_id, vps_id, user_id, level) select {mine}, {id}, id, '{level}' from users where email = '{email}'")).await;
        people.push((GIVEN + i32::try_from(rank).expect("small"), browser));
    }
    for (rank, role) in ["read_only", "member", "admin"].into_iter().enumerate() {
        let email = format!("{role}@berth.example");
        let browser = signed_in(&w, &email, false, &["mine"]).await;
        w.sql(&format!("update memberships set role = '{role}' where user_id = (select id from users where email = '{email}')")).await;
        people.push((i32::try_from(rank).expect("small"), browser));
    }
    let vps = w.scalar("select generation from vps").await;
    for (method, path, need) in GUARDED {
        let streams = path.ends_with("/events"); // they do not end; others look at them
        let ends_sessions = path.starts_with("/account") || path == "/sign-out";
        if need == Open || streams || ends_sessions || path.ends_with("/leave") {
            continue;
        }
        let is_post = method == "POST";
        for (rank, browser) in &people {
            let to = filled(path, mine, id);
            let seen =
                browser.send(method.parse().expect("a method"), &to, &[], is_post.then_some(&[])).await;
            let given = rank.checked_sub(GIVEN).filter(|given| *given >= 0);
            let wanted = match need {
                Look | Change | Manage | Operate if given.is_some() => Some(404),
                Run if given == Some(0) => Some(403),
                Tend if given.is_some_and(|given| given < 2) => Some(403),
                End | Share if given.is_some() => Some(403),
                _ if given.is_some() => None,
                Operate if *rank >= 0 => Some(404),
                See | Run | Tend | End | Share if *rank < 0 => Some(404),
                Run | Tend | End if *rank < 1 => Some(403),
                Share if *rank < 2 => Some(403),
                Look | Change | Manage if *rank < 0 => Some(404), // an operator is no member
                Change if *rank < 1 => Some(403),
                Manage if *rank < 2 => Some(403),
                _ => None,
            };
            match wanted {
                Some(status) => assert_eq!(seen.status, status, "{method} {path} by {rank}"),
                None => assert!(
                    seen.status != 403 && seen.status < 500,
                    "{method} {path} by {rank}: {}",
                    seen.status
                ),
            }
        }
    }
    assert_eq!(w.scalar("select count(*) from vps where deleting_at is null").await, 1, "{vps}");
    w.finish().await;
}

#[tokio::test]
async fn another_site_changes_nothing() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", true, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let id = server(&w, &browser, "web").await;
    w.settled().await;
    let path = format!("/projects/{mine}/servers/{id}/delete");
    let fields: [(&str, &str); 1] = [("confirm", "web")];
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "https://neighbour.example")],
    ] {
        let seen = browser.send(Method::POST, &path, headers, Some(&fields)).await;
        assert!(seen.expect(403).contains("another site"), "{headers:?}");
        let seen = browser.send(Method::POST, "/sign-out", headers, Some(&[])).await;
        assert_eq!(seen.status, 403, "{headers:?}");
    }
    browser.get(&format!("/projects/{mine}/servers/{id}/delete")).await.expect(405);
    w.holds(1).await;
    browser.post(&path, &fields).await.leads_to(&format!("/projects/{mine}/servers"));
    w.holds_nothing().await;
    w.finish().await;
}

#[tokio::test]
async fn every_answer_is_guarded_by_its_headers() {
    let w = World::start().await;
    let browser = signed_in(&w, "ada@berth.example", true, &["mine"]).await;
    let mine = project(&w, "mine").await;
    let servers = format!("/projects/{mine}/servers");
    for path in ["/", &servers, "/fleet/hosts", "/nothing", "/projects/999/servers", "/assets/nothing.js"] {
        let seen = browser.get(path).await;
        let csp = seen.headers["content-security-policy"].to_str().expect("ASCII");
        assert!(csp.contains("default-src 'none'") && !csp.contains("unsafe"), "{path}: {csp}");
        assert!(
            csp.contains("frame-ancestors 'none'") && csp.contains("form-action 'self'"),
            "{path}: {csp}"
        );
        assert_eq!(seen.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(seen.headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(seen.headers["referrer-policy"], "same-origin", "{path}");
        if seen.headers.get("content-type").is_some_and(|t| t.as_bytes().starts_with(b"text/html")) {
            assert_eq!(seen.headers["cache-control"], "no-store", "{path}");
        }
    }
    let lost = browser.get("/nothing").await;
    let id = lost.headers["x-correlation-id"].to_str().expect("ASCII").to_owned();
    assert!(lost.expect(404).contains(&id), "the page names its correlation id");
    w.finish().await;
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let w = World::start().await;
    let evil = "<img src=x onerror=alert(1)>\"'";
    w.sql("insert into projects (name) values ('<script>alert(2)</script>')").await;
    let browser = signed_in(&w, "ada@berth.example", true, &["mine", "<script>alert(2)</script>"]).await;
    let mine = project(&w, "mine").await;
    let key = format!("{} {evil}", berth_tests::world::public_key().rsplit_once(' ').expect("three parts").0);
    browser.post(&format!("/projects/{mine}/keys"), &[("public_key", &key)]).await.location();
    browser.post(&format!("/projects/{mine}/tokens"), &[("name", evil)]).await.location();
    let form = [("name", evil), ("labels", evil), ("user_data", "</textarea><script>alert(3)</script>")];
    let refused = browser.post(&format!("/projects/{mine}/servers/new"), &form).await.expect(422);
    let summary = browser.post(&format!("/projects/{mine}/servers/summary"), &form).await.expect(200);
    let keys = browser.get(&format!("/projects/{mine}/keys")).await.expect(200);
    let tokens = browser.get(&format!("/projects/{mine}/tokens")).await.expect(200);
    assert!(keys.contains("onerror") && tokens.contains("onerror") && refused.contains("onerror"));
    for page in [refused, summary, keys, tokens] {
        assert!(!page.contains("<img src=x") && !page.contains("<script>"), "{page}");
    }
    w.finish().await;
}
