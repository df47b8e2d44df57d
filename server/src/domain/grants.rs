//! What a person may do with one server: by their role in its project, or by a grant on that server alone.
//!
//! Grants are steps, as roles are. A grant gives nothing of the project: no list of its other servers, no networks, firewalls,
//! addresses, keys, members, tokens, trail or figures, and no program's token. It neither makes nor deletes servers, and passes
//! nothing on. Whatever is asked about a server is asked by [`Standing::may`]; a page that asks for a role instead is closed
//! to whoever has only a grant.

use super::roles::{Right, Role};
use crate::error::{Error, Result};

/// What somebody was given on a server, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// To look.
    View,
    /// Also power, console and the root password.
    Operate,
    /// Also another plan, name, labels, restart policy and protection.
    Manage,
}

/// What something on a server needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnServer {
    /// To look at it.
    See,
    /// To switch it, and to be inside.
    Operate,
    /// To change what it is.
    Manage,
    /// To end it; nobody is given that on a single server.
    Delete,
    /// To say who may do what with it; nobody is given that either.
    Share,
}

/// What somebody is to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What they are in its project.
    pub role: Option<Role>,
    /// What they were given on it.
    pub level: Option<Level>,
}

impl Level {
    /// All, from least to most.
    pub const ALL: [Self; 3] = [Self::View, Self::Operate, Self::Manage];

    /// Its name in the database and in forms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Manage => "manage",
        }
    }

    /// What it gives, for pages.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::View => "look",
            Self::Operate => "operate: power, console, root password",
            Self::Manage => "manage: also plan, name, labels, settings",
        }
    }

    /// The level of this name; the error names the field `level`.
    pub fn parse(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|level| level.name() == name);
        known.ok_or_else(|| Error::invalid("level", "must be view, operate or manage"))
    }
}

impl Standing {
    /// Whether the server is anything to them; for others it is not there.
    #[must_use]
    pub fn is_somebody(self) -> bool {
        self.role.is_some() || self.level.is_some()
    }

    /// Whether they may do what needs this.
    #[must_use]
    pub fn may(self, what: OnServer) -> bool {
        let (right, level) = match what {
            OnServer::See => (Right::Look, Some(Level::View)),
            OnServer::Operate => (Right::Change, Some(Level::Operate)),
            OnServer::Manage => (Right::Change, Some(Level::Manage)),
            OnServer::Delete => (Right::Change, None),
            OnServer::Share => (Right::Manage, None),
        };
        let by_grant = level.is_some_and(|needed| self.level.is_some_and(|has| has >= needed));
        by_grant || self.role.is_some_and(|role| role.may(right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [OnServer; 5] =
        [OnServer::See, OnServer::Operate, OnServer::Manage, OnServer::Delete, OnServer::Share];

    fn may(role: Option<Role>, level: Option<Level>) -> usize {
        let standing = Standing { role, level };
        let rights = ALL.map(|what| standing.may(what));
        let many = rights.iter().filter(|may| **may).count();
        assert!(rights[..many].iter().all(|may| *may), "they are steps: {standing:?}");
        assert_eq!(standing.is_somebody(), many > 0, "{standing:?}");
        many
    }

    #[test]
    fn grants_are_steps_below_deleting() {
        assert_eq!(
            [None, Some(Level::View), Some(Level::Operate), Some(Level::Manage)].map(|l| may(None, l)),
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn roles_are_what_they_are_in_the_project() {
        let roles = [Role::ReadOnly, Role::Member, Role::Admin, Role::Owner];
        assert_eq!(roles.map(|role| may(Some(role), None)), [1, 4, 5, 5]);
    }

    #[test]
    fn a_grant_adds_to_a_role_and_takes_nothing_from_it() {
        for role in Role::ALL {
            for level in Level::ALL {
                assert_eq!(may(Some(role), Some(level)), may(Some(role), None).max(may(None, Some(level))));
            }
        }
    }

    #[test]
    fn names_come_back() {
        for level in Level::ALL {
            assert_eq!(Level::parse(level.name()).ok(), Some(level));
        }
        assert!(Level::parse("owner").is_err() && Level::parse("").is_err());
    }
}
