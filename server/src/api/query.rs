//! Query strings of lists: page, order, filters; and what the answer says about pages.

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::page::{Page, Sort};
use crate::domain::selector::Selector;
use crate::error::{Error, Result};

/// Things on a page when the request does not say, and at most.
const PER_PAGE: i64 = 25;
const MAX_PER_PAGE: i64 = 50;
/// Beyond any list.
const MAX_PAGE: i64 = 1 << 40;

/// The pairs of a query string, with names repeated as often as the client wrote them.
#[derive(Clone, Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let OriginalUri(uri) =
            OriginalUri::from_request_parts(parts, state).await.unwrap_or_else(|e| match e {});
        Self::read(&uri)
    }
}

impl Query {
    fn read(uri: &Uri) -> Result<Self> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Error::invalid("query", "is not correctly encoded"))?;
        if let Some((name, _)) = pairs.iter().find(|(_, value)| value.contains('\0')) {
            return Err(Error::invalid(name, "must not hold NUL characters"));
        }
        Ok(Self { pairs: pairs.0, path: uri.path().into() })
    }

    /// The query of a path, for tests.
    #[cfg(test)]
    pub(super) fn of(uri: &str) -> Self {
        Self::read(&uri.parse().unwrap()).unwrap()
    }

    /// The last value of a parameter; an empty one counts as absent.
    #[must_use]
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// All values of a parameter, without empty ones.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// All values of a parameter, each looked up by `known`.
    pub fn all_of<T>(&self, name: &str, known: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
        let each = |v: &str| known(v).ok_or_else(|| Error::invalid(name, format!("'{v}' is not possible")));
        self.all(name).map(each).collect()
    }

    /// A yes or no; absent is no. Clients spell it as their language does.
    pub fn flag(&self, name: &str) -> Result<bool> {
        let known = |v: &str| match v.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        Ok(self.all_of(name, known)?.last().copied().unwrap_or(false))
    }

    /// The ids in a parameter.
    pub fn ids(&self, name: &str) -> Result<Vec<i64>> {
        self.all_of(name, |v| v.parse().ok())
    }

    /// The page.
    pub fn page(&self) -> Result<Page> {
        let number = |name: &str, default, most: i64| match self.one(name).map(str::parse) {
            None => Ok(default),
            Some(Ok(n)) if (1..=most).contains(&n) => Ok(n),
            Some(_) => Err(Error::invalid(name, format!("must be a number from 1 to {most}"))),
        };
        Ok(Page { number: number("page", 1, MAX_PAGE)?, size: number("per_page", PER_PAGE, MAX_PER_PAGE)? })
    }

    /// The order; `columns` maps what clients may sort by to columns.
    pub fn sort(&self, columns: &[(&str, &'static str)]) -> Result<Vec<Sort>> {
        self.all_of("sort", |text| {
            let (key, direction) = text.split_once(':').unwrap_or((text, "asc"));
            let descending = match direction {
                "asc" => false,
                "desc" => true,
                _ => return None,
            };
            let (_, column) = columns.iter().find(|(name, _)| *name == key)?;
            Some(Sort { column, descending })
        })
    }

    /// The label selector.
    pub fn selector(&self) -> Result<Selector> {
        Selector::parse(self.one("label_selector").unwrap_or_default())
    }

    /// A part of a list together with where it stands.
    #[must_use]
    pub fn listing<T>(&self, page: Page, total: i64, body: impl FnOnce(Meta) -> T, base: &str) -> Listing<T> {
        let last = (total + page.size - 1).div_euclid(page.size).max(1);
        let pagination = Pagination {
            page: page.number,
            per_page: page.size,
            previous_page: (page.number > 1).then(|| page.number - 1),
            next_page: (page.number < last).then(|| page.number + 1),
            last_page: Some(last),
            total_entries: Some(total),
        };
        let link = self.link(&pagination, base.trim_end_matches('/'));
        Listing { body: body(Meta { pagination }), link }
    }

    fn link(&self, pagination: &Pagination, base: &str) -> Option<HeaderValue> {
        let mut links = Vec::new();
        for (page, rel) in [
            (pagination.previous_page, "prev"),
            (pagination.next_page, "next"),
            (pagination.last_page.filter(|last| *last > 1), "last"),
        ] {
            let Some(page) = page else { continue };
            let number = page.to_string();
            let kept = self.pairs.iter().filter(|(name, _)| name != "page");
            let pairs = kept.map(|(n, v)| (n.as_str(), v.as_str())).chain([("page", number.as_str())]);
            let query =
                pairs.map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect::<Vec<_>>().join("&");
            links.push(format!("<{base}{}?{query}>; rel=\"{rel}\"", self.path));
        }
        if links.is_empty() { None } else { HeaderValue::from_str(&links.join(", ")).ok() }
    }
}

/// Percent-encodes everything but unreserved characters.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The answer to a list, with its `Link` header.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    body: T,
    link: Option<HeaderValue>,
}

impl<T: Serialize> IntoResponse for Listing<T> {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(link) = self.link {
            headers.insert(header::LINK, link);
        }
        (headers, axum::Json(self.body)).into_response()
    }
}

/// What an answer says about itself.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Meta {
    /// Where this page stands.
    pub pagination: Pagination,
}

/// Where a page stands.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Pagination {
    /// This page, from 1.
    pub page: i64,
    /// Things on a page.
    pub per_page: i64,
    /// The page before, if there is one.
    pub previous_page: Option<i64>,
    /// The page after, if there is one.
    pub next_page: Option<i64>,
    /// The last page.
    pub last_page: Option<i64>,
    /// Things on all pages.
    pub total_entries: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/v1/servers?{text}"))
    }

    #[test]
    fn pages() {
        assert_eq!(query("").page().unwrap(), Page { number: 1, size: 25 });
        assert_eq!(query("page=3&per_page=50").page().unwrap(), Page { number: 3, size: 50 });
        for bad in [
            "per_page=51",
            "page=0",
            "page=-1",
            "page=x",
            "per_page=0",
            "per_page=1.5",
            "page=99999999999999999999",
            "page=9007199254740991",
        ] {
            assert_eq!(query(bad).page().unwrap_err().code(), "invalid_input", "{bad}");
        }
    }

    #[test]
    fn orders() {
        let columns = [("id", "id"), ("created", "created_at")];
        let sort = query("sort=created:desc&sort=id").sort(&columns).unwrap();
        let expected = [("created_at", true), ("id", false)];
        assert_eq!(sort, expected.map(|(column, descending)| Sort { column, descending }));
        for bad in ["sort=uuid", "sort=id:up", "sort=id%20desc"] {
            assert!(query(bad).sort(&columns).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_as_languages_spell_them() {
        for (text, expected) in
            [("", false), ("f=true", true), ("f=True", true), ("f=1", true), ("f=False", false)]
        {
            assert_eq!(query(text).flag("f").unwrap(), expected, "{text}");
        }
        assert!(query("f=maybe").flag("f").is_err());
    }

    #[test]
    fn where_a_page_stands() {
        let query = query("label_selector=a%3Db%2Cc&page=2&per_page=10");
        let listing = query.listing(query.page().unwrap(), 35, |meta| meta.pagination, "https://x/");
        let p = listing.body;
        assert_eq!(
            (p.previous_page, p.next_page, p.last_page, p.total_entries),
            (Some(1), Some(3), Some(4), Some(35))
        );
        let link = listing.link.unwrap();
        let next = "<https://x/v1/servers?label_selector=a%3Db%2Cc&per_page=10&page=3>; rel=\"next\"";
        assert!(link.to_str().unwrap().contains(next), "{link:?}");
    }

    #[test]
    fn an_empty_list_has_one_page() {
        let query = query("");
        let listing = query.listing(query.page().unwrap(), 0, |meta| meta.pagination, "");
        let p = listing.body;
        assert_eq!(
            (p.previous_page, p.next_page, p.last_page, p.total_entries),
            (None, None, Some(1), Some(0))
        );
        assert_eq!(listing.link, None);
    }
}
