//! What a token may do, resource by resource; and which resource each route of the API belongs to.
//!
//! A token with scopes may do what they name and nothing else. Which scope a request needs is said here for all routes, by
//! their paths, and asked in one place (`auth/bearer`); a path that is not known here needs a scope that nobody has, so a
//! route that somebody adds is closed to such tokens until it has its place. What a request names in its body (a network for
//! a new server) belongs to the same project and needs no scope of its own.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};

/// The groups of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Servers, their power, limits, addresses and traffic.
    Servers,
    /// The inside of servers: consoles, programs, files, the root password.
    Guests,
    /// Images.
    Images,
    /// Private networks.
    Networks,
    /// Firewalls.
    Firewalls,
    /// Primary and floating IPs.
    Addresses,
    /// SSH keys.
    Keys,
    /// What was asked for and how it goes, of everything.
    Actions,
    /// Server types, locations, data centres, prices.
    Catalog,
    /// Who changed what.
    Audit,
    /// What happens, of everything: events and webhooks.
    Events,
    /// The project itself: quotas, announcements.
    Project,
}

/// What may be done with a resource; who may write may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// To look.
    Read,
    /// To make, change and delete as well.
    Write,
}

/// Something that a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// With what.
    pub resource: Resource,
    /// What.
    pub access: Access,
}

impl Resource {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::Servers,
        Self::Guests,
        Self::Images,
        Self::Networks,
        Self::Firewalls,
        Self::Addresses,
        Self::Keys,
        Self::Actions,
        Self::Catalog,
        Self::Audit,
        Self::Events,
        Self::Project,
    ];

    /// Its name in scopes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Servers => "servers",
            Self::Guests => "guests",
            Self::Images => "images",
            Self::Networks => "networks",
            Self::Firewalls => "firewalls",
            Self::Addresses => "addresses",
            Self::Keys => "keys",
            Self::Actions => "actions",
            Self::Catalog => "catalog",
            Self::Audit => "audit",
            Self::Events => "events",
            Self::Project => "project",
        }
    }

    /// What may be done with it at all, from least to most.
    #[must_use]
    pub fn accesses(self) -> &'static [Access] {
        match self {
            Self::Guests => &[Access::Write], // who reads the files of a server has its secrets
            Self::Servers
            | Self::Networks
            | Self::Firewalls
            | Self::Addresses
            | Self::Keys
            | Self::Events => &[Access::Read, Access::Write],
            Self::Images | Self::Actions | Self::Catalog | Self::Audit | Self::Project => &[Access::Read],
        }
    }
}

impl Access {
    /// Its name in scopes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource.name(), self.access.name())
    }
}

/// All that a token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(BTreeMap<Resource, Access>);

impl Scopes {
    /// Reads `servers:write` and the like, at least one; of two for the same resource the larger holds.
    ///
    /// # Errors
    /// When one is something else; the error names `field`.
    pub fn parse<T: AsRef<str>>(field: &str, texts: &[T]) -> Result<Self> {
        let mut all = BTreeMap::new();
        for text in texts {
            let Scope { resource, access } =
                parse(text.as_ref()).ok_or_else(|| unknown(field, text.as_ref()))?;
            let now = all.entry(resource).or_insert(access);
            *now = access.max(*now);
        }
        match all.is_empty() {
            true => Err(Error::invalid(field, "must name at least one, such as servers:read")),
            false => Ok(Self(all)),
        }
    }

    /// Whether they allow this.
    #[must_use]
    pub fn allow(&self, needed: Scope) -> bool {
        self.0.get(&needed.resource).is_some_and(|has| *has >= needed.access)
    }

    /// Whether something may be changed.
    #[must_use]
    pub fn any_write(&self) -> bool {
        self.0.values().any(|access| *access == Access::Write)
    }

    /// As [`Scopes::parse`] reads them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(resource, access)| Scope { resource: *resource, access: *access }.to_string())
            .collect()
    }
}

fn parse(text: &str) -> Option<Scope> {
    let (resource, access) = text.trim().split_once(':')?;
    let resource = Resource::ALL.into_iter().find(|known| known.name() == resource)?;
    let access = *resource.accesses().iter().find(|known| known.name() == access)?;
    Some(Scope { resource, access })
}

fn unknown(field: &str, text: &str) -> Error {
    let all = Resource::ALL.into_iter().flat_map(|resource| {
        resource.accesses().iter().map(move |access| Scope { resource, access: *access }.to_string())
    });
    let (shown, all): (String, Vec<_>) = (text.chars().take(40).collect(), all.collect());
    Error::invalid(field, format!("'{shown}' is no scope; there are {}", all.join(", ")))
}

/// The scope that a request needs: `writes` says whether its method changes something, the path is whole
/// (`/v1/servers/7`). None when no route is known there.
#[must_use]
pub fn needed(writes: bool, path: &str) -> Option<Scope> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (own, parts) = match parts.as_slice() {
        ["v1", rest @ ..] => (false, rest),
        ["berth", "v1", rest @ ..] => (true, rest),
        _ => return None,
    };
    let resource = match (own, parts) {
        (false, ["servers", _, "actions", "request_console" | "reset_password"])
        | (true, ["servers", _, "exec" | "files", ..]) => Resource::Guests,
        (_, ["servers", ..]) => Resource::Servers,
        (false, ["images", ..]) => Resource::Images,
        (false, ["networks", ..]) => Resource::Networks,
        (_, ["firewalls", ..]) => Resource::Firewalls,
        (false, ["primary_ips" | "floating_ips", ..]) => Resource::Addresses,
        (false, ["ssh_keys", ..]) => Resource::Keys,
        (false, ["actions", ..]) => Resource::Actions,
        (false, ["server_types" | "locations" | "datacenters" | "pricing", ..]) => Resource::Catalog,
        (true, ["audit", ..]) => Resource::Audit,
        (true, ["events" | "webhooks", ..]) => Resource::Events,
        (true, ["quotas" | "announcements", ..]) => Resource::Project,
        _ => return None,
    };
    let write = writes || resource == Resource::Guests;
    Some(Scope { resource, access: if write { Access::Write } else { Access::Read } })
}

/// Whether a token with these scopes may make a request.
///
/// # Errors
/// `forbidden` with the scope that is missing.
pub fn check(scopes: &Scopes, writes: bool, path: &str) -> Result<()> {
    match needed(writes, path) {
        Some(needed) if scopes.allow(needed) => Ok(()),
        Some(needed) => Err(Error::Forbidden(format!("the token lacks the scope {needed}"))),
        None => Err(Error::Forbidden("no scope of the token is for this path".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_strictly_and_the_larger_holds() {
        let read = |texts: &[&str]| Scopes::parse("scopes", texts).map(|scopes| scopes.names());
        assert_eq!(
            read(&["keys:read", " servers:read", "servers:write"]).unwrap(),
            ["servers:write", "keys:read"]
        );
        assert_eq!(read(&["servers:write", "servers:read"]).unwrap(), ["servers:write"]);
        for bad in [
            &[][..],
            &[""],
            &["servers"],
            &["servers:"],
            &["servers:all"],
            &["Servers:read"],
            &["root:read"],
            &["audit:write"],
            &["guests:read"],
            &["servers:read:write"],
            &["servers:read", "x"],
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains("'scopes'") && error.contains("servers:read"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn routes_have_their_scopes() {
        let needs = |writes, path| needed(writes, path).map(|scope| scope.to_string()).unwrap_or_default();
        for (writes, path, scope) in [
            (false, "/v1/servers", "servers:read"),
            (true, "/v1/servers/7/actions/poweroff", "servers:write"),
            (true, "/v1/servers/7/actions/request_console", "guests:write"),
            (true, "/v1/servers/7/actions/reset_password", "guests:write"),
            (true, "/berth/v1/servers/7/exec", "guests:write"),
            (true, "/berth/v1/servers/7/exec/ab/attach", "guests:write"),
            (false, "/berth/v1/servers/7/files", "guests:write"),
            (false, "/berth/v1/servers/7/limits", "servers:read"),
            (false, "/v1/servers/actions/3", "servers:read"),
            (true, "/v1/floating_ips", "addresses:write"),
            (true, "/berth/v1/firewalls/1/actions/set_rules", "firewalls:write"),
            (false, "/v1/pricing", "catalog:read"),
            (false, "/berth/v1/audit/export", "audit:read"),
            (false, "/berth/v1/events/stream", "events:read"),
            (true, "/berth/v1/webhooks/7/test", "events:write"),
            (false, "/berth/v1/quotas", "project:read"),
            (false, "/v1/volumes", ""),
            (false, "/v1/audit", ""),
            (false, "/admin/v1/servers", ""),
            (false, "/v1", ""),
            (false, "//v1/servers", ""),
            (false, "/v1/%73ervers", ""),
        ] {
            assert_eq!(needs(writes, path), scope, "{path}");
        }
    }

    #[test]
    fn who_may_write_may_read_and_nothing_else() {
        let scopes = Scopes::parse("scopes", &["servers:write", "networks:read"]).unwrap();
        let may = |writes, path| check(&scopes, writes, path).is_ok();
        assert!(may(true, "/v1/servers") && may(false, "/v1/servers") && may(false, "/v1/networks/3"));
        assert!(!may(true, "/v1/networks") && !may(false, "/v1/ssh_keys") && !may(false, "/v1/nothing"));
        assert!(!may(false, "/berth/v1/servers/1/files"), "inside is another matter");
        assert!(scopes.any_write());
        let error = check(&scopes, true, "/v1/networks").unwrap_err();
        assert_eq!((error.code(), error.status()), ("forbidden", 403));
        assert!(error.to_string().contains("networks:write"));
    }
}
