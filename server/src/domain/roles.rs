//! What a person may do in a project.
//!
//! Rights are steps: who may do something of a step may do all below it. A program's token is another matter: it reads, or
//! reads and writes what the project has, and never touches people, tokens or the project itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};

/// What somebody is in a project, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything but secrets.
    ReadOnly,
    /// Also makes, changes and deletes servers and what belongs to them.
    Member,
    /// Also members, invitations and API tokens.
    Admin,
    /// Also owners. A project always has one.
    Owner,
}

/// What something needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To look.
    Look,
    /// To change what the project has.
    Change,
    /// To say who may come in.
    Manage,
}

impl Role {
    /// All, from most to least.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::ReadOnly];

    /// Whether this role has a right.
    #[must_use]
    pub fn may(self, right: Right) -> bool {
        self >= match right {
            Right::Look => Self::ReadOnly,
            Right::Change => Self::Member,
            Right::Manage => Self::Admin,
        }
    }

    /// Whether who has this role may give or take `other`: nobody makes somebody more than they are themselves.
    #[must_use]
    pub fn may_give(self, other: Self) -> bool {
        self.may(Right::Manage) && self >= other
    }

    /// Its name in the database and in forms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::ReadOnly => "read_only",
        }
    }

    /// The role of this name; the error names the field `role`.
    pub fn parse(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|role| role.name() == name);
        known.ok_or_else(|| Error::invalid("role", "must be owner, admin, member or read_only"))
    }

    /// In words, for pages.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::ReadOnly => "read only",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Role {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::parse(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_steps() {
        let rights = [Right::Look, Right::Change, Right::Manage];
        let may = |role: Role| rights.map(|right| role.may(right));
        assert_eq!(may(Role::ReadOnly), [true, false, false]);
        assert_eq!(may(Role::Member), [true, true, false]);
        assert_eq!(may(Role::Admin), [true, true, true]);
        assert_eq!(may(Role::Owner), [true, true, true]);
    }

    #[test]
    fn nobody_makes_somebody_more_than_they_are() {
        for giver in Role::ALL {
            for given in Role::ALL {
                let wanted = giver >= Role::Admin && given <= giver;
                assert_eq!(giver.may_give(given), wanted, "{giver} {given}");
            }
            assert_eq!(Role::parse(giver.name()).ok(), Some(giver));
        }
        assert!(Role::parse("root").is_err());
    }
}
