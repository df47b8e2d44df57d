//! Every page renders, with everything and with nothing; nothing a tenant typed is markup; the CSP can be strict.

mod hostile;
mod sample;

use berth_web::*;

const HOSTILE: &str = "\"><script>alert('x')</script>&<img src=x onerror=\"a()\">";

#[test]
fn every_page_renders_full_and_empty() {
    for (name, html) in sample::full().into_iter().chain(sample::empty()) {
        assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"), "{name}");
    }
}

#[test]
fn no_page_needs_inline_script_or_style() {
    for (name, html) in sample::full().into_iter().chain(sample::empty()) {
        assert!(!html.contains(" style="), "{name} has an inline style");
        assert!(!html.contains("<style"), "{name} has a style element");
        assert!(!html.contains(" onclick=") && !html.contains("javascript:"), "{name} has inline script");
        for script in html.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/assets/"), "{name} has an inline script");
        }
        assert!(
            !html.contains("src=\"http") && !html.contains("href=\"http"),
            "{name} leads to another origin"
        );
    }
}

#[test]
fn every_id_is_there_once_and_labels_point_to_fields() {
    for (name, html) in sample::full().into_iter().chain(sample::empty()) {
        let mut ids: Vec<_> =
            html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{name} uses an id twice");
        for target in html.split(" for=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(ids.binary_search(&target).is_ok(), "{name}: label for {target}");
        }
    }
}

#[test]
fn what_a_tenant_typed_is_never_markup() {
    let bad = || HOSTILE.to_owned();
    let field = || Field { value: bad(), error: Some(bad()) };
    let project = ProjectLink { name: bad(), ..sample::project() };
    let mut shell = sample::shell(Section::Servers, true);
    shell.user.email = bad();
    shell.project = Some(project.clone());
    shell.projects = vec![project.clone(), ProjectLink { id: 2, ..project.clone() }];
    shell.here = bad();
    let banner = &mut shell.banners[0];
    (banner.title, banner.text, banner.location) = (bad(), bad(), Some(bad()));

    let mut list = sample::list();
    list.rows.truncate(1);
    let row = &mut list.rows[0];
    (row.name, row.image, row.plan, row.specs, row.location) = (bad(), bad(), bad(), bad(), bad());
    (row.fault, row.ipv4, row.labels) = (Some(bad()), Some(bad()), vec![bad()]);

    let mut servers = sample::servers_page(shell.clone(), list);
    (servers.filter.name, servers.filter.label) = (field(), field());
    servers.filter.locations = vec![bad(), bad()];
    (servers.stream, servers.choose) = (Some(bad()), bad());

    let mut server = sample::server();
    server.live.server.name = bad();
    server.live.server.labels = vec![bad()];
    server.live.server.fault = Some(bad());
    server.live.activity[0].error = Some((bad(), bad()));
    server.live.activity[0].command = bad();
    (server.live.events[0].text, server.live.events[0].kind) = (bad(), bad());
    (server.live.limits[0].why, server.live.limits[0].hits) = (Some(bad()), Some(bad()));
    hostile::of_server(&mut server.live.network, HOSTILE);
    server.password = Some(bad());
    server.delete = field();
    server.refused = Some(bad());
    for (id, part) in server.live.parts().expect("renders") {
        assert!(!part.contains("<script") && !part.contains("<img src=x"), "{id}");
    }

    let mut create = sample::create();
    create.form = ServerForm {
        name: field(),
        image: field(),
        plan: field(),
        location: field(),
        new_key_name: field(),
        new_key: field(),
        labels: field(),
        user_data: Field { value: format!("</textarea>{HOSTILE}"), error: None },
        keys: field(),
        ipv4: field(),
        ipv6: field(),
        networks: field(),
        firewalls: field(),
        stopped: true,
        once: bad(),
        error: Some(bad()),
    };
    create.keys[0].name = bad();
    (create.ipv4[0].value, create.ipv4[0].words) = (bad(), bad());
    (create.networks[0].name, create.networks[0].detail) = (bad(), bad());
    (create.firewalls[0].name, create.firewalls[0].detail) = (bad(), bad());
    (create.summary.cli, create.summary.curl, create.summary.terraform) = (bad(), bad(), bad());
    (create.summary.keys, create.summary.addresses) = (vec![bad()], Some(bad()));
    (create.summary.networks, create.summary.firewalls) = (vec![bad()], vec![bad()]);

    let mut settings = sample::server_settings();
    (settings.server, settings.name) = (bad(), bad());
    settings.rename.inputs[0] = Input::line("name", "Name").hint(bad()).with(bad());
    settings.rename.blame("name", bad());
    settings.delete = Some(Form::new("delete", bad(), "Delete", vec![Input::confirm(bad())]));
    let mut access = sample::server_access();
    (access.server, access.name, access.email, access.link) = (bad(), bad(), field(), Some(bad()));
    (access.rows[0].email, access.rows[0].name) = (bad(), bad());
    (access.invitations[0].email, access.invitations[0].words) = (bad(), bad());

    let mut keys = sample::keys();
    keys.rows[0].name = bad();
    keys.rows[0].kind = bad();
    keys.form = KeyForm { name: field(), public_key: field() };

    let mut tokens = sample::tokens();
    (tokens.rows[0].name, tokens.rows[0].may, tokens.rows[0].sources) = (bad(), vec![bad()], vec![bad()]);
    (tokens.form.name, tokens.form.access, tokens.form.ends, tokens.form.sources) =
        (field(), field(), field(), field());
    tokens.form.scopes[0].chosen = bad();
    tokens.endpoint = bad();

    let hostile = || WebhookForm { name: field(), url: field(), kinds: field() };
    let row = || WebhookRow { name: bad(), url: bad(), kinds: vec![bad()], ..sample::webhook_row() };
    let webhooks = WebhooksPage { rows: vec![row()], form: hostile(), ..sample::webhooks() };
    let mut webhook = WebhookPage { hook: row(), secret: bad(), form: hostile(), ..sample::webhook() };
    (webhook.deliveries[0].kind, webhook.deliveries[0].error) = (bad(), Some(bad()));

    let mut hosts = sample::hosts();
    hosts.live.hosts[0].name = bad();
    hosts.form.name = field();
    hosts.secret = Some(EnrolSecret { host: bad(), command: bad() });
    let mut host = sample::host_page();
    host.host.facts = vec![("Kernel", bad())];
    host.host.cordon_reason = Some(bad());
    host.rows[0].disk = Some(bad());
    host.host.lacks = vec![Lack { feature: bad(), consequence: bad(), fatal: true }];

    let mut audit = sample::audit();
    (audit.whose, audit.event, audit.actor) = (bad(), field(), field());
    let row = &mut audit.rows[0];
    (row.who, row.source, row.event, row.target) = (bad(), Some(bad()), bad(), bad());
    row.changes = vec![Change { name: bad(), before: Some(bad()), after: Some(bad()) }];

    let mut members = sample::members();
    let row = &mut members.rows[0];
    (row.email, row.name, row.words) = (bad(), bad(), bad());
    (members.invitations[0].email, members.email, members.link) = (bad(), field(), Some(bad()));
    let mut usage = UsagePage { shell: shell.clone(), ..sample::usage() };
    (usage.rows[0].used, usage.rows[0].most) = (bad(), Some(bad()));
    let mut announcements = sample::announcements();
    let row = &mut announcements.rows[0];
    (row.title, row.text, row.location) = (bad(), bad(), Some(bad()));
    announcements.locations = vec![bad()];
    announcements.form = AnnouncementForm {
        title: field(),
        text: field(),
        kind: field(),
        from: field(),
        until: field(),
        location: field(),
    };
    let mut account = sample::account();
    (account.sessions[0].agent, account.name, account.project) = (bad(), field(), field());
    account.shell.user.email = bad();
    account.closing = Closing { password: field(), confirm: field(), refused: Some(bad()) };
    let there = account.provider.as_mut().expect("a provider");
    (there.name, there.error, there.linked) =
        (bad(), Some(bad()), Some((bad(), sample::passkeys().rows[0].created)));
    let mut gate = sample::gate();
    (gate.title, gate.lead, gate.error, gate.hidden) = (bad(), bad(), Some(bad()), vec![("token", bad())]);
    (gate.fields[0].field, gate.links) = (field(), vec![("Sign in", bad())]);

    let sign_in = SignInPage {
        theme: Theme::Dark,
        email: field(),
        error: Some(bad()),
        next: bad(),
        open: true,
        mails: true,
        passkey: Some(PasskeyAsk { next: bad(), origin: bad(), ..sample::passkey_ask() }),
        provider: Some((bad(), bad())),
    };
    let mut passkeys = sample::passkeys();
    (passkeys.rows[0].name, passkeys.error, passkeys.codes) = (bad(), Some(bad()), vec![bad()]);
    (passkeys.origin, passkeys.unavailable) = (bad(), Some(bad()));
    let pages = [
        servers.render(),
        ServerPage { shell: shell.clone(), ..server }.render(),
        CreatePage { shell: shell.clone(), project: project.clone(), ..create }.render(),
        ConsolePage { shell, project, id: 1, name: bad() }.render(),
        settings.render(),
        access.render(),
        keys.render(),
        tokens.render(),
        webhooks.render(),
        webhook.render(),
        audit.render(),
        members.render(),
        usage.render(),
        announcements.render(),
        account.render(),
        gate.render(),
        passkeys.render(),
        hosts.render(),
        host.render(),
        sign_in.render(),
    ];
    for page in pages.into_iter().chain(hostile::pages(HOSTILE)) {
        let html = page.expect("renders");
        assert!(
            html.contains("&#60;script&#62;") || html.contains("&lt;script"),
            "the hostile text is shown"
        );
        let ours = html.matches("<script src=\"/assets/").count();
        assert_eq!(html.matches("<script").count(), ours, "only the script of ours: {html}");
        assert!(!html.contains("<img src=x"));
    }
}

#[test]
fn a_secret_is_shown_only_when_there_is_one() {
    let mut page = sample::server();
    assert!(!page.render().expect("renders").contains("shown this once"));
    page.password = Some("correct-horse".into());
    assert!(page.render().expect("renders").contains("correct-horse"));
}

#[test]
fn who_may_only_look_finds_nothing_to_press() {
    let pages = |project: &ProjectLink, empty: bool| {
        let mut list = sample::list();
        let mut keys = sample::keys();
        let mut server = sample::server();
        if empty {
            (list.rows, keys.rows) = (vec![], vec![]);
        }
        (list.project, keys.project, server.live.project) =
            (project.clone(), project.clone(), project.clone());
        if !project.may_change {
            server.live.rights = Rights::default();
        }
        let mut parts: Vec<String> =
            server.live.parts().expect("renders").into_iter().map(|(_, part)| part).collect();
        let shell = sample::shell(Section::Servers, false);
        parts.extend(
            [sample::servers_page(shell, list).render(), keys.render(), server.render()]
                .map(|p| p.expect("renders")),
        );
        parts.concat()
    };
    let pressed = ["action=\"/projects/", "/servers/new\"", "/console\""];
    let reader = ProjectLink { may_change: false, may_manage: false, ..sample::project() };
    for empty in [false, true] {
        let (all, none) = (pages(&sample::project(), empty), pages(&reader, empty));
        for what in pressed {
            assert!(all.contains(what), "a member finds {what}");
            assert!(!none.contains(what), "a reader finds {what}");
        }
    }
}

#[test]
fn whoever_has_one_server_is_told_nothing_of_the_project() {
    let html = sample::guest_server().render().expect("renders");
    assert!(html.contains("/servers/5/power") && html.contains("/servers/5/access/leave"));
    let closed = ["networks", "addresses", "firewalls", "keys", "members", "usage", "audit", "primary-ips"];
    for part in closed {
        assert!(!html.contains(&format!("\"/projects/1/{part}")), "{part}");
    }
    for part in ["resize", "restart-policy", "delete", "settings", "access\""] {
        assert!(!html.contains(&format!("/servers/5/{part}")), "{part}");
    }
}

#[test]
fn fleet_links_are_for_operators_only() {
    let links = |operator| {
        let page = sample::servers_page(sample::shell(Section::Servers, operator), sample::list());
        page.render().expect("renders").contains("/fleet/")
    };
    assert!(links(true) && !links(false));
}

#[test]
fn whoever_is_in_anothers_stead_is_told_so() {
    for (name, html) in sample::full() {
        let told = html.contains("You are operator@berth.example as") && html.contains("/account/acting/end");
        assert_eq!(told, matches!(name, "acting" | "message-acting"), "{name}");
    }
}

#[test]
fn the_switcher_is_there_only_for_more_than_one_project() {
    let mut shell = sample::shell(Section::Servers, false);
    let page = |shell| sample::servers_page(shell, sample::list()).render().expect("renders");
    assert!(!page(shell.clone()).contains("/projects/2/servers"));
    shell.projects.push(ProjectLink { id: 2, name: "second".into(), ..sample::project() });
    assert!(page(shell).contains("/projects/2/servers"));
}

#[test]
fn the_moving_parts_are_those_of_the_page() {
    let page = sample::server();
    let html = page.render().expect("renders");
    for (id, part) in page.live.parts().expect("renders") {
        assert!(html.contains(part.trim()), "{id} is the same on the page and in the stream");
        assert!(part.contains(&format!("id=\"{id}\"")), "{id} names itself");
    }
}

#[test]
fn what_an_operator_looks_at_is_never_markup() {
    for (name, html) in sample::operators::hostile(HOSTILE) {
        assert!(html.contains("&#60;script&#62;") || html.contains("&lt;script"), "{name} shows the text");
        let ours = html.matches("<script src=\"/assets/").count();
        assert_eq!(html.matches("<script").count(), ours, "{name}: only the script of ours: {html}");
        assert!(!html.contains("<img src=x"), "{name}: {html}");
    }
}
