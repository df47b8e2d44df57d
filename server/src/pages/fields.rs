//! The fields of a posted form, by name. A list of pairs and not a struct, because a checkbox may be there many times and
//! a field that is missing or too much is shown again with a message instead of being a bare 422.

use axum::Form;
use axum::extract::{FromRequest, Request};

use super::dress::Failed;
use crate::error::Error;

/// What was posted.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of a field; empty when it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// The first value of a field without the space around it.
    pub(super) fn trimmed(&self, name: &str) -> &str {
        self.get(name).trim()
    }

    /// Whether a field is there, be it empty.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// What somebody calls themselves: one line, cut to 128 characters.
    pub(super) fn own_name(&self) -> String {
        self.trimmed("name").chars().filter(|c| !c.is_control()).take(128).collect()
    }

    /// All values of a field.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failed> {
        match Form::<Vec<(String, String)>>::from_request(request, state).await {
            Ok(Form(mut pairs)) => {
                for (_, value) in &mut pairs {
                    *value = value.replace("\r\n", "\n"); // browsers send CRLF from text areas
                }
                Ok(Self(pairs))
            }
            Err(rejection) if rejection.status() == 413 => Err(Error::TooLarge(super::MAX_FORM).into()),
            Err(rejection) => Err(Error::invalid("form", rejection.body_text()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header;

    use super::*;

    async fn read(body: &str) -> Result<Fields, Failed> {
        let request = Request::post("/").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        Fields::from_request(request.body(Body::from(body.to_owned())).unwrap(), &()).await
    }

    #[tokio::test]
    async fn many_values_and_none() {
        let fields = read("name=+web%0D%0A&ssh_keys=1&ssh_keys=2&name=other").await.unwrap();
        assert_eq!(fields.get("name"), " web\n");
        assert_eq!(fields.trimmed("name"), "web");
        assert_eq!(fields.all("ssh_keys").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(fields.get("missing"), "");
    }

    #[tokio::test]
    async fn what_is_no_form_is_refused() {
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from("{}"))
            .unwrap();
        assert!(Fields::from_request(request, &()).await.is_err());
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_become_replacement_characters() {
        // As the URL standard decodes forms; every field is then judged by its own rules.
        assert_eq!(read("a=%ff%fe").await.unwrap().get("a"), "\u{fffd}\u{fffd}");
    }
}
