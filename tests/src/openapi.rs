//! Are our answers what hcloud clients expect? Every response of the tenant API that a test sees is validated against
//! the hcloud API's own description; and every response of our own API against the description that the server serves.
//!
//! That description is OpenAPI 3.0, whose schemas are almost JSON Schema. Two things are rewritten: `nullable`, and
//! references, which are gathered (only those that are needed) under `$defs`. Fields of ours that the description does
//! not name are allowed: its clients ignore them, and that is how Berth extends the API.
//!
//! The file is not part of the repository. `BERTH_HCLOUD_OPENAPI` names it; without that it is looked for beside the
//! repository. When it is missing, tests run without validation and say so; where `CI` is set they fail instead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// The hcloud API's description, ready to validate responses.
pub struct Spec {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// The description, or none when the file is not there (said once on stderr).
///
/// # Panics
/// When the file is there but cannot be read, and, where `CI` is set, when it is not there.
#[must_use]
pub fn spec() -> Option<&'static Spec> {
    static SPEC: OnceLock<Option<Spec>> = OnceLock::new();
    SPEC.get_or_init(|| {
        let path = path();
        if !path.exists() {
            let missing = format!("the hcloud API's description is not at {}", path.display());
            assert!(std::env::var_os("CI").is_none(), "{missing}; BERTH_HCLOUD_OPENAPI names it");
            eprintln!("\n*** NOT VALIDATING RESPONSES: {missing}; set BERTH_HCLOUD_OPENAPI ***\n");
            return None;
        }
        let text = std::fs::read_to_string(&path).expect("the description can be read");
        Some(Spec::parse(&text).expect("the description is an OpenAPI document in JSON"))
    })
    .as_ref()
}

fn path() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is inside the repository");
    match std::env::var_os("BERTH_HCLOUD_OPENAPI") {
        Some(path) => root.join(path),
        None => root.join("../shared/hcloud/openapi.json"),
    }
}

impl Spec {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        let mut document = serde_json::from_str(text)?;
        to_json_schema(&mut document);
        Ok(Self { document, validators: Mutex::default() })
    }

    /// Checks one response; `path` is below the API's prefix (`/servers/7`). Says all that is wrong.
    ///
    /// # Errors
    /// When the operation or the status is not described, or the body does not fit.
    pub fn check(&self, method: &str, path: &str, status: u16, body: &[u8]) -> Result<(), String> {
        let paths = self.document["paths"].as_object().ok_or("the description has no paths")?;
        let path = path.split('?').next().unwrap_or(path);
        let template =
            match_template(paths.keys(), path).ok_or_else(|| format!("{path} is not in the description"))?;
        let operation = &paths[template][method.to_lowercase()];
        if operation.is_null() && status >= 400 {
            return self.check_schema("error", &self.error_schema(), body); // a method that hcloud does not have either
        }
        let responses = &operation["responses"];
        let class = format!("{}XX", status / 100);
        let described = [status.to_string(), class].into_iter().find(|key| responses.get(key).is_some());
        let key = described
            .ok_or_else(|| format!("{method} {template} does not answer {status} in the description"))?;
        let content = &responses[&key]["content"];
        if content.as_object().is_some_and(|types| !types.contains_key("application/json")) {
            return Ok(()); // something else than JSON
        }
        let schema = &content["application/json"]["schema"];
        if schema.is_null() {
            return if body.is_empty() { Ok(()) } else { Err(format!("{status} must have no body")) };
        }
        self.check_schema(&format!("{method} {template} {key}"), schema, body)
    }

    /// Paths and methods that the description has, for the enumeration tests.
    #[must_use]
    pub fn operations(&self) -> Vec<(String, String)> {
        let paths = self.document["paths"].as_object();
        let each = paths.into_iter().flatten().filter_map(|(path, item)| Some((path, item.as_object()?)));
        each.flat_map(|(path, item)| item.keys().map(|method| (method.to_uppercase(), path.clone())))
            .collect()
    }

    fn check_schema(&self, name: &str, schema: &Value, body: &[u8]) -> Result<(), String> {
        let body: Value = serde_json::from_slice(body).map_err(|e| format!("the body is not JSON: {e}"))?;
        let validator = self.validator(name, schema)?;
        let errors: Vec<_> =
            validator.iter_errors(&body).map(|e| format!("{}: {e}", e.instance_path())).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
    }

    fn validator(&self, name: &str, schema: &Value) -> Result<Arc<Validator>, String> {
        let mut validators = self.validators.lock().expect("no code panics while holding this lock");
        if let Some(known) = validators.get(name) {
            return Ok(Arc::clone(known));
        }
        let mut root = json!({"allOf": [schema.clone()], "$defs": self.definitions(schema)});
        rewrite_refs(&mut root);
        let built = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&root)
            .map_err(|e| format!("the schema of {name} cannot be used: {e}"))?;
        let built = Arc::new(built);
        validators.insert(name.to_owned(), Arc::clone(&built));
        Ok(built)
    }

    /// The schema of errors, which hcloud and we call differently.
    fn error_schema(&self) -> Value {
        let all = &self.document["components"]["schemas"];
        let name = ["error_response", "ErrorResponse"].into_iter().find(|name| all.get(name).is_some());
        json!({"$ref": format!("{PREFIX}{}", name.unwrap_or("error_response"))})
    }

    /// The named schemas that `schema` needs, directly or not.
    fn definitions(&self, schema: &Value) -> Map<String, Value> {
        let all = &self.document["components"]["schemas"];
        let mut found = Map::new();
        let mut wanted = BTreeSet::new();
        collect_refs(schema, &mut wanted);
        while let Some(name) = wanted.pop_first() {
            if !found.contains_key(&name) {
                collect_refs(&all[&name], &mut wanted);
                found.insert(name.clone(), all[&name].clone());
            }
        }
        found
    }
}

/// The most literal template that fits: `/servers/actions` before `/servers/{id}`.
fn match_template<'a>(templates: impl Iterator<Item = &'a String>, path: &str) -> Option<&'a String> {
    let parts: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let wanted: Vec<_> = template.split('/').collect();
        let same = |(want, have): (&&str, &&str)| want == have || (want.starts_with('{') && !have.is_empty());
        wanted.len() == parts.len() && wanted.iter().zip(&parts).all(same)
    };
    let fitting: BTreeMap<_, _> = templates
        .filter(|template| fits(template))
        .map(|template| (template.matches('{').count(), template))
        .collect();
    fitting.into_values().next()
}

/// Makes `nullable: true` what it means: null, or what the rest says.
fn to_json_schema(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(to_json_schema),
        Value::Object(object) => {
            object.values_mut().for_each(to_json_schema);
            if object.get("nullable") == Some(&Value::Bool(true)) {
                object.remove("nullable");
                let rest = Value::Object(std::mem::take(object));
                object.insert("anyOf".into(), json!([rest, {"type": "null"}]));
            }
        }
        _ => {}
    }
}

const PREFIX: &str = "#/components/schemas/";

fn collect_refs(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_refs(item, into)),
        Value::Object(object) => {
            if let Some(name) =
                object.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix(PREFIX))
            {
                into.insert(name.to_owned());
            }
            object.values().for_each(|item| collect_refs(item, into));
        }
        _ => {}
    }
}

fn rewrite_refs(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(rewrite_refs),
        Value::Object(object) => {
            for (key, item) in object.iter_mut() {
                match item.as_str().and_then(|r| r.strip_prefix(PREFIX)) {
                    Some(name) if key == "$ref" => *item = Value::String(format!("#/$defs/{name}")),
                    _ => rewrite_refs(item),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r##"{
        "paths": {
            "/things/{id}": {
                "get": {"responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/answer"}}}},
                    "4XX": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/error_response"}}}}
                }},
                "delete": {"responses": {"204": {}}}
            },
            "/things/all": {"get": {"responses": {"200": {"content": {"application/json": {"schema": {"type": "array"}}}}}}}
        },
        "components": {"schemas": {
            "answer": {"type": "object", "required": ["thing"], "properties": {
                "thing": {"allOf": [{"$ref": "#/components/schemas/thing"}], "nullable": true}}},
            "thing": {"type": "object", "required": ["name", "kind"], "properties": {
                "name": {"type": "string", "nullable": true}, "kind": {"type": "string", "enum": ["a", "b"]},
                "at": {"type": "string", "format": "date-time"}}},
            "error_response": {"type": "object", "required": ["error"]}
        }}
    }"##;

    fn check(method: &str, path: &str, status: u16, body: &str) -> Result<(), String> {
        Spec::parse(DOCUMENT).expect("it is JSON").check(method, path, status, body.as_bytes())
    }

    #[test]
    fn accepts_what_is_described_and_our_extra_fields() {
        check("GET", "/things/7?page=1", 200, r#"{"thing":{"name":null,"kind":"a","ours":1}}"#)
            .expect("fits");
        check("GET", "/things/7", 200, r#"{"thing":null}"#).expect("nullable reference");
        check("GET", "/things/all", 200, "[]").expect("the literal path wins");
        check("GET", "/things/7", 404, r#"{"error":{}}"#).expect("class of status");
        check("DELETE", "/things/7", 204, "").expect("no body");
        check("POST", "/things/7", 405, r#"{"error":{}}"#).expect("an error for a method that nobody has");
    }

    #[test]
    fn refuses_what_is_not() {
        for (method, path, status, body) in [
            ("GET", "/things/7", 200, r#"{"thing":{"name":"x"}}"#),
            ("GET", "/things/7", 200, r#"{"thing":{"name":"x","kind":"c"}}"#),
            ("GET", "/things/7", 200, r#"{"thing":{"name":"x","kind":null}}"#),
            ("GET", "/things/7", 200, r#"{"thing":{"name":"x","kind":"a","at":"yesterday"}}"#),
            ("GET", "/things/7", 200, "nothing"),
            ("GET", "/things/all", 200, "{}"),
            ("GET", "/things/7", 302, "{}"),
            ("GET", "/other", 200, "{}"),
            ("DELETE", "/things/7", 204, "{}"),
            ("POST", "/things/7", 200, "{}"),
        ] {
            check(method, path, status, body).expect_err(&format!("{method} {path} {status} {body}"));
        }
    }
}
