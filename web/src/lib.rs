//! Berth's dashboard: pages as pure functions of view structs, and the embedded assets.
//!
//! Nothing here knows of HTTP, sessions or the database. `server/src/pages` gathers what a page shows into a view struct
//! and renders it; the same fragments (`templates/parts/`) are rendered again for the event stream, so that what moves
//! on a page and what a reload shows are one template. Everything a tenant can type is escaped by askama; the only
//! values that reach a page unescaped are [`Icon`]s, whose names are literals, and numbers.
//!
//! Rules of the pages: no inline script and no inline style (the CSP forbids both), no request to another origin, every
//! form works without script, a state is a shape, a colour and a word.

#![forbid(unsafe_code)]

mod access;
mod addresses;
mod announcements;
pub mod assets;
mod audit;
mod console;
mod create;
mod firewalls;
mod fleet;
mod form;
mod format;
mod gate;
mod graph;
mod icon;
mod labels;
mod limits;
mod members;
mod message;
mod networks;
mod operators;
mod passkeys;
mod server;
mod server_network;
mod server_settings;
mod servers;
mod shell;
mod snippet;
mod status;
mod usage;
mod webhooks;

pub use access::{KeyForm, KeyRow, KeysPage, ScopeChoice, TokenForm, TokenRow, TokensPage};
pub use addresses::{AddressForm, AddressForms, AddressPage, AddressRow, AddressView, AddressesPage};
pub use announcements::{AnnouncementForm, AnnouncementRow, AnnouncementsPage, Banner};
pub use audit::{AuditPage, AuditRow, Change};
pub use console::ConsolePage;
pub use create::{
    AddressChoice, CreatePage, ImageChoice, KeyChoice, LocationChoice, PlanChoice, ServerForm, Summary,
    SummaryPart, ThingChoice,
};
pub use firewalls::{
    FirewallEditor, FirewallForms, FirewallPage, FirewallRow, FirewallView, FirewallsPage, HeldServer, Met,
    RuleForm, RuleTemplate, RuleView, SelectorRow, Trial,
};
pub use fleet::{
    EnrolSecret, FleetServerRow, FleetServersPage, HostForm, HostPage, HostView, HostsLive, HostsPage, Lack,
};
pub use form::{Form, Input, Pager};
pub use format::{Bytes, Cores, Field, Load, Money, When};
pub use gate::{GateField, GatePage, SignInPage};
pub use graph::{Graph, Range, Series, Unit};
pub use icon::{Icon, icon};
pub use labels::{format_labels, parse_labels};
pub use limits::{EventRow, LimitRow, limit_words};
pub use members::{
    AccountPage, AccountProvider, Closing, FactorPage, FactorState, InvitationRow, MemberRow, MembersPage,
    SessionRow,
};
pub use message::MessagePage;
pub use networks::{
    Attached, NetworkForm, NetworkForms, NetworkPage, NetworkRow, NetworkView, NetworksPage, RouteRow,
    SubnetRow,
};
pub use operators::{
    Capacity, HolderRow, HoldersPage, HostTrouble, ImagePage, ImageRow, ImagesPage, LocationPage,
    LocationRow, LocationsPage, NameServerView, NewPlanPage, OverviewPage, PeoplePage, PersonPage, PersonRow,
    PlanPage, PlanRow, PlansPage, PoolPage, PoolRow, PoolsPage, SettingsPage, TenantMember, TenantPage,
    TenantRow, TenantsPage, TroubleRow,
};
pub use passkeys::{PasskeyAsk, PasskeyRow, PasskeysPage};
pub use server::{
    ActionRow, Ports, Powers, ResizeChoice, Rights, ServerLive, ServerPage, ServerView, Traffic, server_gone,
};
pub use server_network::{ServerAddress, ServerFirewall, ServerMembership, ServerNetwork};
pub use server_settings::{GrantRow, ServerAccessPage, ServerSettingsPage};
pub use servers::{ServerFilter, ServerList, ServerRow, ServersPage};
pub use shell::{Acting, Notice, ProjectLink, Section, Shell, Theme, User};
pub use snippet::{Address, NewKey, ServerRequest, cli, curl, hcl, quote, terraform};
pub use status::Status;
pub use usage::{UsagePage, UsageRow};
pub use webhooks::{DeliveryRow, WebhookForm, WebhookPage, WebhookRow, WebhooksPage};

pub use askama::Template;
