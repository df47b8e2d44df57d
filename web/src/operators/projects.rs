//! Projects, as operators see them.

use askama::Template;

use crate::fleet::FleetServerRow;
use crate::form::{Form, Pager};
use crate::format::{Field, When};
use crate::shell::Shell;

/// A project.
#[derive(Clone, Debug)]
pub struct TenantRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The address of its first owner.
    pub owner: Option<String>,
    /// How many people work in it.
    pub members: i64,
    /// How many servers it has.
    pub servers: i64,
    /// Why it is suspended, if so.
    pub suspended: Option<String>,
    /// When it was made.
    pub created: When,
}

/// The page of all projects.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_projects.html")]
pub struct TenantsPage {
    /// What stands around it.
    pub shell: Shell,
    /// This page's projects, newest first.
    pub rows: Vec<TenantRow>,
    /// What is looked for.
    pub q: Field,
    /// Where the others are.
    pub pager: Pager,
    /// Makes a project.
    pub make: Form,
}

/// Somebody who works in a project.
#[derive(Clone, Debug)]
pub struct TenantMember {
    /// Their id.
    pub id: i64,
    /// Their address.
    pub email: String,
    /// What they are, in words.
    pub words: String,
    /// Since when.
    pub since: When,
}

/// The page of one project.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_project.html")]
pub struct TenantPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub row: TenantRow,
    /// Who works in it.
    pub members: Vec<TenantMember>,
    /// Its newest servers.
    pub rows: Vec<FleetServerRow>,
    /// How many servers are not shown.
    pub more: i64,
    /// Suspends it, or lifts the suspension.
    pub hold: Form,
    /// Lets somebody in.
    pub admit: Form,
}
