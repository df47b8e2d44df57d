//! The parts of the OpenAPI description that belong to no single resource.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

/// Body of every answer that is not a success.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorResponse {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// Stable code that programs can branch on.
    pub code: String,
    /// For people.
    pub message: String,
    /// For `invalid_input`: `{"fields":[{"name","messages"}]}`.
    pub details: Option<serde_json::Value>,
}

/// The statuses with which any operation may answer instead of a success.
#[derive(Clone, Copy, Debug)]
pub struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let texts = [
            ("400", "json_error: the body is not JSON"),
            ("401", "unauthorized: no token, or an unknown one"),
            ("403", "forbidden or token_readonly: the token may not do this"),
            ("404", "not_found: there is no such thing in this project"),
            ("405", "method_not_allowed"),
            ("409", "uniqueness_error or conflict"),
            ("412", "resource_unavailable: nothing has room for this; nothing was reserved"),
            ("413", "invalid_input: the body is too large"),
            ("422", "invalid_input: a value is wrong; details name the field"),
            ("423", "locked or protected"),
            ("429", "rate_limit_exceeded"),
            ("500", "server_error: our fault; X-Correlation-Id finds it in the log"),
        ];
        let content = || Content::new(Some(Ref::from_schema_name("ErrorResponse")));
        let response = |text: &str| {
            ResponseBuilder::new().description(text).content("application/json", content()).build()
        };
        texts.into_iter().map(|(status, text)| (status.to_owned(), RefOr::T(response(text)))).collect()
    }
}

/// Adds title, security and shared schemas to the description of the routes, which it puts below `/v1`.
pub(super) fn describe(routes: OpenApi) -> OpenApi {
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of a project, 64 characters. Read-only tokens may only GET."))
        .build();
    let mut schemas = Vec::new();
    ErrorResponse::schemas(&mut schemas);
    let components = ComponentsBuilder::new()
        .security_scheme("token", SecurityScheme::Http(token))
        .schema("ErrorResponse", ErrorResponse::schema())
        .schemas_from_iter(schemas)
        .build();
    let info = InfoBuilder::new()
        .title("Berth")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("The tenant API, compatible with the hcloud API v1."))
        .build();
    let all = OpenApiBuilder::new().info(info).components(Some(components)).build();
    all.nest("/v1", routes)
}
