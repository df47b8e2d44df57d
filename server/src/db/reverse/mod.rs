//! Which names addresses lead to.
//!
//! A row of `reverse_names` is an address whose name is wanted, or was and is still to be taken away: `version` rises with
//! every change of what is wanted, `written` is the version that the name server has taken. [`work`] brings the one to
//! the other. Whoever changes what is wanted holds the row in `addresses`, so a name follows its address: what is given
//! back loses the name that was chosen, in the same transaction, whether or not the name server can be reached.
//!
//! Names are kept by single address and not by primary IP, so that a primary IP with an IPv6 network has room for many.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use sqlx::{PgConnection, PgPool};

use crate::domain::reverse::{Template, wanted};
use crate::error::Result;

mod change;
pub mod name_servers;
pub(crate) mod work;

pub use change::{Of, change};

/// An address and the name that it leads to, or will as soon as the name server has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// A single address.
    pub ip: IpAddr,
    /// Its name, without the last dot.
    pub name: String,
}

/// The names of these addresses and networks, by address; what has none is left out.
pub async fn names(db: &PgPool, addresses: &[IpNet]) -> Result<BTreeMap<IpNet, Vec<Named>>> {
    let rows = sqlx::query!(
        r#"select a.ip as "address!", n.ip as "ip?", n.chosen as "chosen?", s.default_name
           from addresses a join pool_name_servers s on s.pool_id = a.pool_id
                left join reverse_names n on n.address = a.ip
           where a.ip = any($1) order by a.ip, n.ip"#,
        addresses
    );
    let mut found = BTreeMap::<IpNet, Vec<Named>>::new();
    for row in rows.fetch_all(db).await? {
        let ip = row.ip.unwrap_or(row.address).addr();
        let default = row.default_name.map(Template::known);
        if let Some(name) = wanted(row.chosen.as_deref(), default.as_ref(), ip, is_single(row.address)) {
            found.entry(row.address).or_default().push(Named { ip, name });
        }
    }
    Ok(found)
}

/// Whether a row of `addresses` is one address and not a network.
fn is_single(address: IpNet) -> bool {
    address.prefix_len() == address.max_prefix_len()
}

/// A free address goes to an owner, and gets the pool's default name. The caller holds its row.
pub(super) async fn taken(tx: &mut PgConnection, address: IpNet) -> Result<()> {
    sqlx::query!(
        "insert into reverse_names (ip, address)
         select a.ip, a.ip from addresses a join pool_name_servers s on s.pool_id = a.pool_id
         where a.ip = $1 and s.default_name is not null and masklen(a.ip) = case family(a.ip) when 4 then 32 else 128 end
         on conflict (ip) do nothing",
        address
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An address is given back, and loses the names that were chosen. The caller holds its row.
pub(super) async fn given_back(tx: &mut PgConnection, address: IpNet) -> Result<()> {
    sqlx::query!(
        "update reverse_names set chosen = null, version = version + 1, failures = 0, next_at = now(), error = null
         where address = $1 and chosen is not null",
        address
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update actions set status = 'error', progress = 100, finished_at = now(), error_code = 'superseded',
                error_message = 'the address was given back before the name server had taken its name'
         where status = 'running' and reverse_ip <<= $1",
        address
    )
    .execute(tx)
    .await?;
    Ok(())
}
