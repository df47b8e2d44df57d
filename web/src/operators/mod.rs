//! The operators' pages about everything that is no host: tenants, what is sold, addresses, settings.

mod overview;
mod people;
mod places;
mod plans;
mod pools;
mod projects;
mod settings;

pub use overview::{Capacity, HostTrouble, OverviewPage, TroubleRow};
pub use people::{PeoplePage, PersonPage, PersonRow};
pub use places::{ImagePage, ImageRow, ImagesPage, LocationPage, LocationRow, LocationsPage};
pub use plans::{NewPlanPage, PlanPage, PlanRow, PlansPage};
pub use pools::{HolderRow, HoldersPage, NameServerView, PoolPage, PoolRow, PoolsPage};
pub use projects::{TenantMember, TenantPage, TenantRow, TenantsPage};
pub use settings::SettingsPage;
