//! What stands around every page: who is signed in, the project, the navigation, the notice of what just happened.

use crate::announcements::Banner;

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
    /// SSH keys.
    Keys,
    /// API tokens.
    Tokens,
    /// Who works in the project.
    Members,
    /// One's own account.
    Account,
    /// What the project may have and what it has.
    Usage,
    /// Who changed what in the project.
    Audit,
    /// The operators' hosts.
    Hosts,
    /// All servers of the fleet.
    FleetServers,
    /// What operators tell.
    Announcements,
    /// Who changed what anywhere.
    FleetAudit,
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
    /// Another plan was accepted.
    ResizeAccepted,
    /// Another restart policy was accepted.
    RestartPolicyChanged,
    /// A key was added.
    KeyAdded,
    /// A key was deleted.
    KeyDeleted,
    /// A token was deleted.
    TokenDeleted,
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
}

impl Notice {
    const ALL: [(Self, &'static str, &'static str); 20] = [
        (Self::ServerDeleting, "server-deleting", "The server is being deleted."),
        (Self::PowerAccepted, "power-accepted", "The command was sent to the server's host."),
        (Self::ResizeAccepted, "resize-accepted", "The new plan was sent to the server's host."),
        (Self::RestartPolicyChanged, "restart-policy-changed", "The server's restart policy was changed."),
        (Self::KeyAdded, "key-added", "The SSH key was added. It can be chosen for new servers."),
        (Self::KeyDeleted, "key-deleted", "The SSH key was deleted. Servers that have it keep it."),
        (Self::TokenDeleted, "token-deleted", "The API token was deleted and does not work any more."),
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
        (Self::AddressConfirmed, "address-confirmed", "Your address is confirmed. Welcome aboard."),
        (Self::AnnouncementMade, "announcement-made", "The announcement was written."),
        (Self::AnnouncementDeleted, "announcement-deleted", "The announcement was deleted."),
        (Self::HostCordoned, "host-cordoned", "The host takes no new servers. Those on it run on."),
        (Self::HostUncordoned, "host-uncordoned", "The host takes new servers again."),
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
