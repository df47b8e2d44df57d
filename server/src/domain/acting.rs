//! What an operator may do while they look at a tenant's pages in their stead.
//!
//! They see what the tenant sees of projects, and change what a project has: servers, networks, addresses. What is the
//! person's own is not theirs: password, second factor, sessions, invitations. Nor do they make what would outlive the
//! visit: tokens, members, access to servers. Whatever is not named here is refused, so that a page that comes later is closed until somebody
//! has thought about it.

/// What of a project may be changed, by the part of the path after it.
const CHANGES: [&str; 7] =
    ["servers", "keys", "networks", "firewalls", "addresses", "primary-ips", "floating-ips"];

/// Whether a request is for them. `safe`: it changes nothing.
#[must_use]
pub fn may(safe: bool, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match (safe, parts.as_slice()) {
        (false, ["account", "acting", "end"]) | (true, [] | ["account"]) => true,
        (true, ["projects", ..]) => true,
        (false, ["projects", _, "servers", _, "access", ..]) => false,
        (false, ["projects", _, what, ..]) => CHANGES.contains(what),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_persons_own_stays_theirs() {
        for path in
            ["/", "/account", "/projects/1/servers", "/projects/1/servers?x=/account/x", "/projects/1/tokens"]
        {
            assert!(may(true, path), "{path}");
        }
        for path in
            ["/account/second-factor", "/invitation?token=x", "/fleet", "/fleet/hosts", "/anything/new"]
        {
            assert!(!may(true, path), "{path}");
        }
        for path in ["/projects/1/servers/2/power", "/projects/1/keys", "/account/acting/end"] {
            assert!(may(false, path), "{path}");
        }
        for path in [
            "/",
            "/account/name",
            "/account/password",
            "/account/second-factor",
            "/account/projects",
            "/invitation",
            "/projects/1/tokens",
            "/projects/1/%74okens",
            "/projects/1/members",
            "/projects/1/members/2/remove",
            "/projects/1/invitations/2/delete",
            "/projects/1/webhooks",
            "/projects/1/servers/2/access",
            "/projects/1/servers/2/access/3/revoke",
            "/projects/1",
            "/fleet/people/1/act",
            "/account/acting/end/../../name",
        ] {
            assert!(!may(false, path), "{path}");
        }
    }
}
