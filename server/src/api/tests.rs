//! What needs no database: the shell, and that the description is whole.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{MAX_BODY, method_not_allowed, not_found, router, shell};
use crate::app::App;
use crate::config::Config;

/// An app whose database is not there; what asks it fails.
fn app() -> App {
    let nowhere = sqlx::postgres::PgPoolOptions::new().connect_lazy("postgres://127.0.0.1:1/none");
    App::new(nowhere.unwrap(), Config::default()).unwrap()
}

async fn ask(router: Router, request: Request<Body>) -> (Response<()>, Value) {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap())
}

fn request(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    for (method, path) in [
        ("GET", "/v1/servers"),
        ("GET", "/v1/nowhere"),
        ("PATCH", "/v1/servers"),
        ("GET", "/v1"),
        ("GET", "/berth/v1/nowhere"),
    ] {
        let (answer, body) = ask(router(app()).0, request(method, path)).await;
        assert_eq!(
            (answer.status(), &body["error"]["code"]),
            (StatusCode::UNAUTHORIZED, &"unauthorized".into())
        );
        assert!(answer.headers().contains_key("x-correlation-id"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_read() {
    let mut request = request("POST", "/v1/servers");
    request.headers_mut().insert("content-length", (MAX_BODY + 1).into());
    let (answer, body) = ask(router(app()).0, request).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body["error"]["code"], "invalid_input");
}

#[tokio::test]
async fn faults_of_ours_stay_ours() {
    async fn panics() {
        panic!("the secret is hunter2");
    }
    let routes = Router::new()
        .route("/panic", get(panics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    for (method, path, code) in [
        ("GET", "/panic", "server_error"),
        ("GET", "/x", "not_found"),
        ("PUT", "/panic", "method_not_allowed"),
    ] {
        let (answer, body) = ask(shell(routes.clone()), request(method, path)).await;
        assert_eq!(body["error"]["code"], code, "{method} {path}");
        assert!(!body.to_string().contains("hunter2") && answer.headers().contains_key("x-correlation-id"));
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_a_fault_of_ours() {
    let mut request = request("GET", "/v1/servers");
    let token = format!("Bearer {}", "a".repeat(64));
    request.headers_mut().insert("authorization", token.parse().unwrap());
    let app = App {
        db: sqlx::postgres::PgPoolOptions::new()
            .acquire_timeout(std::time::Duration::from_millis(100))
            .connect_lazy("postgres://127.0.0.1:1/none")
            .unwrap(),
        ..app()
    };
    let (answer, body) = ask(router(app).0, request).await;
    assert_eq!(
        (answer.status(), &body["error"]["code"]),
        (StatusCode::INTERNAL_SERVER_ERROR, &"server_error".into())
    );
    assert_eq!(body["error"]["message"], "internal error");
}

#[tokio::test]
async fn every_operation_is_described_with_all_its_answers() {
    let description = serde_json::to_value(router(app()).1).unwrap();
    assert_eq!(description["openapi"], "3.1.0");
    let mut operations = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        assert!(path.starts_with("/v1/") || path.starts_with("/berth/v1/"), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            let what = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{what} says what it does");
            assert_eq!(operation["security"][0]["token"], serde_json::json!([]), "{what} wants a token");
            for status in ["401", "403", "404", "422", "429", "500"] {
                let schema = &operation["responses"][status]["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/ErrorResponse", "{what} {status}");
            }
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            for name in path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')) {
                assert!(parameters.iter().any(|p| p["name"] == name && p["in"] == "path"), "{what} {name}");
            }
        }
    }
    assert!(operations >= 30, "{operations}");
    let text = description.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(
            description["components"]["schemas"].get(reference).is_some(),
            "{reference} is not described"
        );
    }
}
