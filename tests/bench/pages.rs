//! What the dashboard's pages cost the server with many VPSes in one project, and what a browser loads at first.
//!
//! Hosts are simulated, everything else is real: each VPS was ordered, placed, made and reported. Times are those of a
//! whole request over loopback with a connection of its own, so they are a little above the server's share.

use std::collections::BTreeSet;
use std::time::Instant;

use berth_server::db;
use berth_server::domain::names::{Email, Password};
use berth_server::domain::roles::Role;
use berth_server::ids::ProjectId;
use berth_tests::browser::Browser;
use berth_tests::world::World;
use futures_util::stream::{self, StreamExt as _};
use reqwest::Method;

use crate::figures::{ms, rank};

/// VPSes in the project, spread over the hosts.
const HOSTS: usize = 5;
const EACH: i64 = 1000;
/// Ordered at the same time.
const WAVE: usize = 16;
/// Requests of each page.
const LOADS: usize = 200;
/// What half of the requests may take, in milliseconds.
const AIM_MS: u128 = 100;
/// What a first load may bring, compressed, without the console.
const AIM_BYTES: usize = 150 << 10;

const EMAIL: &str = "operator@berth.example";
const PASSWORD: &str = "correct horse battery";

/// Measures.
pub(crate) async fn run() {
    let w = World::builder().hosts(HOSTS).room_for(2 * EACH).pool("10.96.0.0/16").start().await;
    w.sql("update hosts set cpu_overcommit = 100").await;
    let clock = Instant::now();
    let order = async |n: i64| w.running(&w.create(&format!("web-{n:04}")).await).await;
    let made: Vec<i64> =
        stream::iter(0..HOSTS as i64 * EACH).map(order).buffer_unordered(WAVE).collect().await;
    let one = made[0];
    let took = clock.elapsed().as_secs_f64();
    println!("\npages: {} VPSes of one project on {HOSTS} simulated hosts, made in {took:.0} s", made.len());
    let browser = operator(&w).await;
    let project = w.scalar("select id from projects where name = 'mine'").await;
    let host = w.scalar("select min(id) from hosts").await;
    let pages = [
        format!("/projects/{project}/servers"),
        format!("/projects/{project}/servers?q=web-49&page=2"),
        format!("/projects/{project}/servers/new"),
        format!("/projects/{project}/servers/{one}"),
        format!("/projects/{project}/keys"),
        format!("/projects/{project}/members"),
        format!("/projects/{project}/audit"),
        "/fleet/hosts".to_owned(),
        format!("/fleet/hosts/{host}"),
        "/fleet/servers".to_owned(),
    ];
    println!("{:<48} {:>11} {:>11} {:>9}", "page", "p50", "p99", "bytes");
    let mut missed = Vec::new();
    for page in &pages {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..LOADS {
            let clock = Instant::now();
            bytes = browser.get(page).await.expect(200).len();
            times.push(clock.elapsed());
        }
        times.sort_unstable();
        let (p50, p99) = (rank(&times, 0.5), rank(&times, 0.99));
        println!("{page:<48} {:>11} {:>11} {bytes:>9}", ms(p50), ms(p99));
        if p99.as_millis() >= AIM_MS {
            missed.push(page.as_str());
        }
    }
    let verdict =
        if missed.is_empty() { "met".to_owned() } else { format!("MISSED by {}", missed.join(", ")) };
    println!("aim: every page under {AIM_MS} ms: {verdict}");
    first_load(&browser, &pages[0]).await;
    w.finish().await;
}

/// An operator who is a member of the project, signed in.
async fn operator(w: &World) -> Browser {
    let app = w.app();
    let (email, password) =
        (Email::parse(EMAIL).expect("address"), Password::parse(PASSWORD).expect("password"));
    let user = db::users::create(&app.db, &app.passwords, &email, "", &password, true).await.expect("user");
    let mine = db::projects::find(&app.db, "mine").await.expect("projects").expect("the project");
    db::projects::add_member(&app.db, ProjectId(mine.id.0), user.id, Role::Owner).await.expect("member");
    let browser = Browser::new(w.url(0));
    browser.sign_in(EMAIL, PASSWORD).await;
    browser
}

/// The page, and whatever it and its style sheets name, as a browser asks for them.
async fn first_load(browser: &Browser, page: &str) {
    let (mut total, mut seen) = (0, BTreeSet::new());
    let mut next = vec![page.to_owned()];
    while let Some(path) = next.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let (plain, sent) = (browser.get(&path).await, load(browser, &path).await);
        println!("{path:<48} {sent:>9} bytes, {} unpacked", plain.body.len());
        total += sent;
        let named =
            plain.body.split("/assets/").skip(1).filter_map(|rest| rest.split(['"', ')', '#', '\'']).next());
        next.extend(named.filter(|name| !name.contains("licences")).map(|name| format!("/assets/{name}")));
    }
    let verdict = if total < AIM_BYTES { "met" } else { "MISSED" };
    println!("first load: {total} bytes in {} requests; the aim of {AIM_BYTES} is {verdict}", seen.len());
}

/// Bytes that go over the wire as the body.
async fn load(browser: &Browser, path: &str) -> usize {
    let answer = browser.send(Method::GET, path, &[("accept-encoding", "br, gzip")], None).await;
    let told = answer.headers.get("content-length").and_then(|v| v.to_str().ok()?.parse().ok());
    told.unwrap_or(answer.body.len())
}
