//! The operators' pages about everything that is no host: tenants, what is sold, addresses, settings.

mod people;
mod projects;

pub use people::{PeoplePage, PersonPage, PersonRow};
pub use projects::{TenantMember, TenantPage, TenantRow, TenantsPage};
