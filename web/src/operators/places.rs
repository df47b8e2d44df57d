//! Locations, data centres and images, as operators see them.

use askama::Template;

use crate::form::Form;
use crate::format::{Bytes, When};
use crate::shell::Shell;

/// A location.
#[derive(Clone, Debug)]
pub struct LocationRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// City and country.
    pub place: String,
    /// Names of its data centres.
    pub datacenters: Vec<String>,
    /// How many hosts stand there.
    pub hosts: usize,
}

/// The page of all locations.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_locations.html")]
pub struct LocationsPage {
    /// What stands around it.
    pub shell: Shell,
    /// The locations.
    pub rows: Vec<LocationRow>,
    /// Makes a location.
    pub make: Form,
    /// Makes a data centre; none while there is no location.
    pub datacenter: Option<Form>,
}

/// The page of one location.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_location.html")]
pub struct LocationPage {
    /// What stands around it.
    pub shell: Shell,
    /// The location.
    pub row: LocationRow,
    /// Sets whom its guests ask for names.
    pub resolvers: Form,
}

/// An image.
#[derive(Clone, Debug)]
pub struct ImageRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Of the archive.
    pub size: Bytes,
    /// How the archive is packed.
    pub format: String,
    /// The archive's digest.
    pub sha256: String,
    /// Whether cloud-init is inside.
    pub cloud_init: bool,
    /// Servers that were made of it.
    pub servers: i64,
    /// Hosts on which it stands ready, by name.
    pub ready: Vec<String>,
    /// Hosts in all.
    pub hosts: usize,
    /// Since when it is not offered any more.
    pub retired: Option<When>,
    /// When it was imported.
    pub created: When,
}

/// The page of all images.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_images.html")]
pub struct ImagesPage {
    /// What stands around it.
    pub shell: Shell,
    /// The images, those that are offered first.
    pub rows: Vec<ImageRow>,
}

/// The page of one image.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_image.html")]
pub struct ImagePage {
    /// What stands around it.
    pub shell: Shell,
    /// The image.
    pub row: ImageRow,
    /// Stops offering it; none when it is not offered.
    pub withdraw: Option<Form>,
}
