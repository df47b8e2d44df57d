//! The operators' pages about everything that is no host: tenants, what is sold, addresses, settings.

mod people;
mod places;
mod plans;
mod projects;

pub use people::{PeoplePage, PersonPage, PersonRow};
pub use places::{ImagePage, ImageRow, ImagesPage, LocationPage, LocationRow, LocationsPage};
pub use plans::{NewPlanPage, PlanPage, PlanRow, PlansPage};
pub use projects::{TenantMember, TenantPage, TenantRow, TenantsPage};
