//! What stands around every page: who is signed in, the project, the navigation, the notice of what just happened.

use crate::announcements::Banner;
use crate::format::When;

/// Who is signed in.
#[derive(Clone, Debug)]
pub struct User {
    /// E-mail address.
    pub email: String,
    /// Whether the fleet's pages are theirs.
    pub operator: bool,
}

/// A project in the switcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectLink {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether who is signed in may change what it has.
    pub may_change: bool,
    /// Whether they say who may come in.
    pub may_manage: bool,
    /// Why an operator suspended it, if so.
    pub suspended: Option<String>,
    /// Whether nothing of it is theirs but single servers.
    pub guest: bool,
}

impl ProjectLink {
    /// The path of something in this project: `servers`.
    #[must_use]
    pub fn path(&self, rest: &str) -> String {
        format!("/projects/{}/{rest}", self.id)
    }
}

/// Where in the navigation a page belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// A tenant's servers.
    Servers,
    /// Private networks.
    Networks,
    /// Primary and floating IPs.
    Addresses,
    /// Firewalls.
    Firewalls,
    /// SSH keys.
    Keys,
    /// API tokens.
    Tokens,
    /// Where news are posted to.
    Webhooks,
    /// Who works in the project.
    Members,
    /// One's own account.
    Account,
    /// What the project may have and what it has.
    Usage,
    /// Who changed what in the project.
    Audit,
    /// The fleet at a glance.
    Fleet,
    /// The operators' hosts.
    Hosts,
    /// All servers of the fleet.
    FleetServers,
    /// What operators tell.
    Announcements,
    /// Who changed what anywhere.
    FleetAudit,
    /// All projects.
    Tenants,
    /// Everybody who has an account.
    People,
    /// What can be rented.
    Plans,
    /// Locations and data centres.
    Locations,
    /// What servers are made of.
    Images,
    /// Networks that addresses are given out of.
    Pools,
    /// What holds for the whole installation.
    Settings,
    /// None of them.
    None,
}

/// Light, dark, or as the system says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the system says.
    #[default]
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// Reads what [`Theme::name`] wrote; anything else is `Auto`.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Auto,
        }
    }

    /// Its name in the cookie, the form and `data-theme`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// What just happened, told once at the top of the next page. Codes, not texts, travel in the cookie, so that nobody
/// can put words into the dashboard's mouth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A server is being deleted.
    ServerDeleting,
    /// A power command was accepted.
    PowerAccepted,
    /// A power command was accepted for some of many.
    PowerPartly,
    /// A power command was accepted for none of many.
    PowerRefused,
    /// Nothing was chosen to do something with.
    NothingChosen,
    /// Another plan was accepted.
    ResizeAccepted,
    /// Another restart policy was accepted.
    RestartPolicyChanged,
    /// A firewall was made.
    FirewallMade,
    /// A firewall was changed.
    FirewallChanged,
    /// A firewall was deleted.
    FirewallDeleted,
    /// A network was made.
    NetworkMade,
    /// A network was changed.
    NetworkChanged,
    /// A network was deleted.
    NetworkDeleted,
    /// The project holds another address.
    AddressHeld,
    /// An address was changed.
    AddressChanged,
    /// An address was given back.
    AddressDeleted,
    /// A key was added.
    KeyAdded,
    /// A key was deleted.
    KeyDeleted,
    /// A token was deleted.
    TokenDeleted,
    /// A webhook was changed.
    WebhookChanged,
    /// Something was posted to a webhook.
    WebhookTried,
    /// A webhook was deleted.
    WebhookDeleted,
    /// A member has another role.
    RoleChanged,
    /// A member is out.
    MemberRemoved,
    /// An invitation was taken back.
    InvitationDeleted,
    /// Who looks at the page has just come in.
    Joined,
    /// One's name was changed.
    NameChanged,
    /// One's password was changed.
    PasswordChanged,
    /// Sessions were ended.
    SessionsEnded,
    /// A second factor was turned off.
    FactorOff,
    /// A passkey was added.
    PasskeyAdded,
    /// A passkey was removed.
    PasskeyRemoved,
    /// An account was linked with the provider.
    Linked,
    /// A link was removed.
    Unlinked,
    /// An address was confirmed.
    AddressConfirmed,
    /// Something is told to tenants.
    AnnouncementMade,
    /// It was taken back.
    AnnouncementDeleted,
    /// A host takes no new servers.
    HostCordoned,
    /// A host takes new servers again.
    HostUncordoned,
    /// A project was made by an operator.
    ProjectMade,
    /// A project stands still.
    ProjectSuspended,
    /// A project goes on.
    ProjectResumed,
    /// Somebody was let into a project.
    MemberAdmitted,
    /// Somebody's second factor was turned off.
    FactorLost,
    /// A plan is offered.
    PlanMade,
    /// A plan is not offered any more.
    PlanRetired,
    /// There is another location.
    LocationMade,
    /// There is another data centre.
    DatacenterMade,
    /// An image is not offered any more.
    ImageWithdrawn,
    /// A form was saved.
    Saved,
    /// Addresses of another pool are given out.
    PoolMade,
    /// A pool is gone.
    PoolDeleted,
    /// An operator is nobody else any more.
    ActingEnded,
    /// Somebody was given a right on a server.
    AccessGiven,
    /// It is another one now.
    AccessChanged,
    /// It was taken back.
    AccessRevoked,
}

impl Notice {
    const ALL: [(Self, &'static str, &'static str); 56] = [
        (Self::ServerDeleting, "server-deleting", "The server is being deleted."),
        (Self::PowerAccepted, "power-accepted", "The command was sent to the server's host."),
        (
            Self::PowerPartly,
            "power-partly",
            "The command was sent for some of the servers; for the others it does not fit to what they are doing.",
        ),
        (
            Self::PowerRefused,
            "power-refused",
            "The command fits to none of these servers as they are now; nothing was sent.",
        ),
        (Self::NothingChosen, "nothing-chosen", "No server was chosen, so nothing was sent."),
        (Self::ResizeAccepted, "resize-accepted", "The new plan was sent to the server's host."),
        (Self::RestartPolicyChanged, "restart-policy-changed", "The server's restart policy was changed."),
        (
            Self::FirewallMade,
            "firewall-made",
            "The firewall was made. It holds for nobody yet: apply it to servers, or to their labels.",
        ),
        (
            Self::FirewallChanged,
            "firewall-changed",
            "The firewall was changed. The hosts of its servers put that in force within moments.",
        ),
        (Self::FirewallDeleted, "firewall-deleted", "The firewall was deleted."),
        (Self::NetworkMade, "network-made", "The network was made. Attach servers to it."),
        (
            Self::NetworkChanged,
            "network-changed",
            "The network was changed. The hosts of its servers carry that out within moments.",
        ),
        (Self::NetworkDeleted, "network-deleted", "The network was deleted."),
        (Self::AddressHeld, "address-held", "The address is this project's now."),
        (
            Self::AddressChanged,
            "address-changed",
            "The address was changed. Its activity tells how that goes.",
        ),
        (Self::AddressDeleted, "address-deleted", "The address was given back."),
        (Self::KeyAdded, "key-added", "The SSH key was added. It can be chosen for new servers."),
        (Self::KeyDeleted, "key-deleted", "The SSH key was deleted. Servers that have it keep it."),
        (Self::TokenDeleted, "token-deleted", "The API token was deleted and does not work any more."),
        (Self::WebhookChanged, "webhook-changed", "The webhook was changed."),
        (Self::WebhookTried, "webhook-tried", "It was sent. What the receiver answered is below."),
        (
            Self::WebhookDeleted,
            "webhook-deleted",
            "The webhook was deleted. Nothing is posted to it any more.",
        ),
        (Self::RoleChanged, "role-changed", "The member's role was changed."),
        (Self::MemberRemoved, "member-removed", "The member is out of the project."),
        (
            Self::InvitationDeleted,
            "invitation-deleted",
            "The invitation was taken back. Its link does not work any more.",
        ),
        (Self::Joined, "joined", "Welcome to the project."),
        (Self::NameChanged, "name-changed", "Your name was changed."),
        (
            Self::PasswordChanged,
            "password-changed",
            "Your password was changed. All other sessions of yours were ended.",
        ),
        (Self::SessionsEnded, "sessions-ended", "The session was ended."),
        (Self::FactorOff, "factor-off", "Your second factor is off."),
        (Self::PasskeyAdded, "passkey-added", "The passkey was added. Sign in with it from now on."),
        (Self::PasskeyRemoved, "passkey-removed", "The passkey was removed. It opens nothing here any more."),
        (Self::Linked, "linked", "The account is linked. You can sign in there from now on."),
        (Self::Unlinked, "unlinked", "The link was removed."),
        (Self::AddressConfirmed, "address-confirmed", "Your address is confirmed. Welcome aboard."),
        (Self::AnnouncementMade, "announcement-made", "The announcement was written."),
        (Self::AnnouncementDeleted, "announcement-deleted", "The announcement was deleted."),
        (Self::HostCordoned, "host-cordoned", "The host takes no new servers. Those on it run on."),
        (Self::HostUncordoned, "host-uncordoned", "The host takes new servers again."),
        (Self::ProjectMade, "project-made", "The project was made. Let somebody in."),
        (Self::ProjectSuspended, "project-suspended", "The project is suspended. Its servers are stopping."),
        (Self::ProjectResumed, "project-resumed", "The project goes on. Servers that ran are starting."),
        (Self::MemberAdmitted, "member-admitted", "They may work in the project now."),
        (Self::FactorLost, "factor-lost", "The second factor is off, and all sessions were ended."),
        (Self::PlanMade, "plan-made", "The plan is offered now."),
        (
            Self::PlanRetired,
            "plan-retired",
            "The plan is not offered any more. Servers that have it keep it.",
        ),
        (Self::LocationMade, "location-made", "The location was made. Hosts there need a data centre in it."),
        (Self::DatacenterMade, "datacenter-made", "The data centre was made. Hosts can be added there."),
        (
            Self::ImageWithdrawn,
            "image-withdrawn",
            "The image is not offered any more. Servers that were made of it run on.",
        ),
        (Self::Saved, "saved", "What you changed was saved."),
        (Self::PoolMade, "pool-made", "The pool was made. Its addresses are given out from now on."),
        (Self::PoolDeleted, "pool-deleted", "The pool was deleted."),
        (Self::ActingEnded, "acting-ended", "You are yourself again."),
        (Self::AccessGiven, "access-given", "They may use the server from now on."),
        (Self::AccessChanged, "access-changed", "What they may do with the server was changed."),
        (Self::AccessRevoked, "access-revoked", "They cannot use the server any more."),
    ];

    /// Reads what [`Notice::code`] wrote.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == code).map(|(notice, ..)| *notice)
    }

    /// Its code in the cookie.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// What the page says.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (Self, &'static str, &'static str) {
        Self::ALL.into_iter().find(|(notice, ..)| *notice == self).expect("every notice has its row")
    }
}

/// Everything around a page.
#[derive(Clone, Debug)]
pub struct Shell {
    /// Who is signed in.
    pub user: User,
    /// The project that the page is about, or the first one of the user on pages that are about none.
    pub project: Option<ProjectLink>,
    /// All projects of the user.
    pub projects: Vec<ProjectLink>,
    /// Where in the navigation the page belongs.
    pub section: Section,
    /// Light or dark.
    pub theme: Theme,
    /// What just happened.
    pub notice: Option<Notice>,
    /// What operators tell.
    pub banners: Vec<Banner>,
    /// The path of this page, to come back to.
    pub here: String,
    /// Who it is really, if an operator in the stead of [`Shell::user`].
    pub acting: Option<Acting>,
}

/// An operator in somebody's stead.
#[derive(Clone, Debug)]
pub struct Acting {
    /// The operator's address.
    pub operator: String,
    /// Until when.
    pub until: When,
}

impl Shell {
    pub(crate) fn current(&self, section: Section) -> &'static str {
        if self.section == section { "page" } else { "false" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back() {
        for (notice, ..) in Notice::ALL {
            assert_eq!(Notice::parse(notice.code()), Some(notice));
        }
        assert_eq!(Notice::parse("<b>hello"), None);
        for theme in [Theme::Auto, Theme::Light, Theme::Dark] {
            assert_eq!(Theme::parse(theme.name()), theme);
        }
    }
}
