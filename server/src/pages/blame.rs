//! Where an error of the domain is told: beside the field that it names, or above the page.

use axum::http::StatusCode;
use berth_web::Field;

use super::keys::sentence;
use super::server::capital;
use crate::error::{Error, Result};

/// Puts an error beside the field that it names; what is about none of them goes into `whole`. What is not there and what
/// is our fault are pages of their own and go on. Gives the answer's status.
pub(super) fn blame(
    e: Error,
    fields: &mut [(&str, &mut Field)],
    whole: &mut Option<String>,
) -> Result<StatusCode> {
    if matches!(e, Error::NotFound(_) | Error::Internal(_) | Error::Unauthorized) {
        return Err(e);
    }
    let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
    let (about, message) = match &e {
        Error::InvalidInput { field, message } => {
            (field.split('.').next().unwrap_or(field), sentence(message))
        }
        Error::Uniqueness(_) => ("name", "Another one of the project has this name.".to_owned()),
        _ => ("", String::new()),
    };
    match fields.iter_mut().find(|(name, _)| *name == about) {
        Some((_, field)) => field.error = Some(message),
        None if message.is_empty() => *whole = Some(capital(&e.to_string())),
        None => *whole = Some(message),
    }
    Ok(status)
}

/// Says of an error about `from` that it is about the form's field `to`.
pub(super) fn about(e: Error, from: &str, to: &str) -> Error {
    match e {
        Error::InvalidInput { field, message } if field == from => Error::invalid(to, message),
        other => other,
    }
}

/// The name of a thing that is to be deleted was typed, or is asked for again.
pub(super) fn confirmed(typed: &str, name: &str, what: &str) -> Result<()> {
    if typed == name.trim() {
        return Ok(());
    }
    Err(Error::invalid("confirm", format!("this is not the name of the {what}. Type {name} to delete it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_stands_beside_the_field_that_it_names() {
        let told = |e| {
            let (mut name, mut ip, mut whole) = (Field::default(), Field::default(), None);
            let status = blame(e, &mut [("name", &mut name), ("ip", &mut ip)], &mut whole);
            (status.ok().map(|s| s.as_u16()), name.error, ip.error, whole)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            told(Error::invalid("name", "must be a")),
            (Some(422), text("This must be a."), None, None)
        );
        assert_eq!(told(Error::invalid("ip.3", "is odd")), (Some(422), None, text("This is odd."), None));
        assert_eq!(told(Error::invalid("zone", "is odd")), (Some(422), None, None, text("This is odd.")));
        assert_eq!(told(Error::InUse("it is used".into())), (Some(422), None, None, text("It is used.")));
        assert!(told(Error::Uniqueness("x".into())).1.is_some());
        assert_eq!(told(Error::NotFound("network")), (None, None, None, None));
    }

    #[test]
    fn only_the_name_confirms() {
        assert!(confirmed("web", "web", "firewall").is_ok());
        assert!(confirmed("Web", "web", "firewall").is_err());
        assert!(confirmed("", "web", "firewall").is_err());
    }
}
