//! Servers by the names that people type, in forms that ask for one. A list to pick from would not do for thousands, and
//! browsers complete what is typed from the names that come with the page.

use std::collections::BTreeMap;

use crate::app::App;
use crate::db::vps;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, VpsId};

/// Names that come with a page.
const MOST: usize = 500;

/// The servers of a project, by id.
pub(super) struct Servers(BTreeMap<i64, String>);

impl Servers {
    /// Reads them.
    pub(super) async fn load(app: &App, project: ProjectId) -> Result<Self> {
        Ok(Self(vps::names(&app.db, project).await?))
    }

    /// What a server is called.
    pub(super) fn name(&self, id: i64) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| format!("server {id}"))
    }

    /// Names to complete from, in their order.
    pub(super) fn known(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.values().cloned().collect();
        names.sort_unstable();
        names.truncate(MOST);
        names
    }

    /// The server that is called so, in whatever case; the error names the field `server`.
    pub(super) fn find(&self, typed: &str) -> Result<VpsId> {
        if typed.is_empty() {
            return Err(Error::invalid("server", "type the name of a server"));
        }
        let found = self.0.iter().find(|(_, name)| name.eq_ignore_ascii_case(typed));
        let found = found.map(|(id, _)| VpsId(*id));
        found.ok_or_else(|| Error::invalid("server", "no server of this project has this name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_whatever_case() {
        let servers = Servers(BTreeMap::from([(7, "web".to_owned()), (9, "Db".to_owned())]));
        assert_eq!(servers.find("WEB").unwrap(), VpsId(7));
        assert_eq!(servers.find("db").unwrap(), VpsId(9));
        assert!(servers.find("").is_err() && servers.find("we").is_err());
        assert_eq!((servers.name(7), servers.name(8)), ("web".to_owned(), "server 8".to_owned()));
        assert_eq!(servers.known(), ["Db", "web"]);
    }
}
