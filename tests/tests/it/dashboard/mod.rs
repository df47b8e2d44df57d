//! The dashboard over HTTP: who may see and do what, forms, secrets, the event stream. What it looks like, and what
//! script adds, is for tests/browser.

mod acting;
mod addresses;
mod console;
mod create;
mod firewalls;
mod forms;
mod grants;
mod guards;
mod headers;
mod live;
mod networks;
mod operators;
mod server_network;
mod sign_in;

use berth_server::db;
use berth_server::domain::names::{Email, Password};
use berth_server::domain::roles::Role;
use berth_server::ids::ProjectId;
use berth_tests::browser::Browser;
use berth_tests::world::World;

const PASSWORD: &str = "correct horse battery";

/// The id of the project with this name.
async fn project(w: &World, name: &str) -> i64 {
    db::projects::find(&w.app().db, name).await.expect("projects").expect("the project").id.0
}

/// Makes a person who may work in these projects.
async fn person(w: &World, email: &str, operator: bool, projects: &[&str]) {
    let app = w.app();
    let (address, password) =
        (Email::parse(email).expect("address"), Password::parse(PASSWORD).expect("password"));
    let user =
        db::users::create(&app.db, &app.passwords, &address, "", &password, operator).await.expect("user");
    for name in projects {
        db::projects::add_member(&app.db, ProjectId(project(w, name).await), user.id, Role::Owner)
            .await
            .expect("member");
    }
}

/// The browser of a person who is signed in.
pub(crate) async fn signed_in(w: &World, email: &str, operator: bool, projects: &[&str]) -> Browser {
    person(w, email, operator, projects).await;
    let browser = Browser::new(w.url(0));
    browser.sign_in(email, PASSWORD).await;
    browser
}

/// The browser of somebody who works in the tenant's project.
pub(crate) async fn member(w: &World) -> Browser {
    signed_in(w, "member@berth.example", false, &["mine"]).await
}

/// A server made by the form; its id.
async fn server(w: &World, browser: &Browser, name: &str) -> i64 {
    let mine = project(w, "mine").await;
    let fields = [("name", name), ("server_type", &w.plan), ("image", &w.image)];
    let made = browser.post(&format!("/projects/{mine}/servers/new"), &fields).await;
    let id = made.location().rsplit('/').next().and_then(|id| id.parse().ok());
    id.expect("the id of the new server")
}
