//! Names of primary IPs. One that is made with its server is called `primary_ip-<id>`; nobody else may have a name of
//! that form, or a tenant's own choice could stand in the way of their next server.

use super::names::Title;
use crate::error::{Error, Result};
use crate::ids::PrimaryIpId;

/// The name of one that is made with its server.
#[must_use]
pub fn automatic_name(id: PrimaryIpId) -> String {
    format!("{PREFIX}{id}")
}

/// Checks a name that a tenant has chosen; `own` is the primary IP that has a name already.
pub fn chosen_name(raw: &str, own: Option<PrimaryIpId>) -> Result<Title> {
    let name = Title::parse("name", raw)?;
    let number = name.as_str().strip_prefix(PREFIX).and_then(|rest| rest.parse::<u64>().ok());
    if number.is_some() && own.map(automatic_name).as_deref() != Some(name.as_str()) {
        let why = format!("must not be '{PREFIX}' and a number: such names are for those made with a server");
        return Err(Error::invalid("name", why));
    }
    Ok(name)
}

const PREFIX: &str = "primary_ip-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_names_are_left_to_automatic_ones() {
        for (raw, own, fine) in [
            ("web", None, true),
            ("primary_ip-", None, true),
            ("primary_ip-x", None, true),
            ("primary_ip-7", None, false),
            ("  primary_ip-7 ", None, false),
            ("primary_ip-7", Some(8), false),
            ("primary_ip-7", Some(7), true),
            ("", None, false),
        ] {
            assert_eq!(chosen_name(raw, own.map(PrimaryIpId)).is_ok(), fine, "{raw:?} {own:?}");
        }
    }
}
