//! What an operator does, by the operators' API.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, Api};
use crate::wait;

/// An operator.
#[derive(Clone, Debug)]
pub struct Control {
    /// With the operator's token.
    pub api: Api,
}

impl Control {
    /// With a client that has an operator's token.
    #[must_use]
    pub fn new(api: Api) -> Self {
        Self { api }
    }

    /// Makes a project and returns its id.
    ///
    /// # Panics
    /// When that fails.
    pub async fn project(&self, name: &str) -> i64 {
        let answer = self.api.post("/admin/v1/projects", json!({"name": name})).await.expect(201);
        answer["project"]["id"].as_i64().expect("an id")
    }

    /// Makes a token of a project and returns it.
    ///
    /// # Panics
    /// When that fails.
    pub async fn token(&self, project: i64, writable: bool) -> String {
        let body = json!({"project": project, "name": "test", "writable": writable});
        let answer = self.api.post("/admin/v1/tokens", body).await.expect(201);
        answer["secret"].as_str().expect("it is shown once").to_owned()
    }

    /// Makes a plan.
    ///
    /// # Panics
    /// When that fails.
    pub async fn plan(&self, name: &str, figures: &Value) {
        let mut body = figures.clone();
        body["name"] = json!(name);
        self.api.post("/admin/v1/plans", body).await.expect(201);
    }

    /// Offers a plan with two cores and 1 GiB of memory, which is more than the usual one of tests; its name.
    ///
    /// # Panics
    /// When that fails.
    pub async fn larger_plan(&self) -> &'static str {
        let figures = json!({"cpu_milli": 2000, "memory_bytes": 1_i64 << 30, "disk_bytes": 8_i64 << 30,
            "price_hourly": "0.02", "price_monthly": "6"});
        self.plan("larger", &figures).await;
        "larger"
    }

    /// Imports an archive from a file of this machine; the image.
    ///
    /// # Panics
    /// When that fails.
    pub async fn image(&self, name: &str, file: &Path) -> Value {
        let body = json!({"name": name, "path": file});
        self.api.post("/admin/v1/images", body).await.expect(201)["image"].take()
    }

    /// Tries to import an archive from a URL.
    pub async fn import_url(&self, name: &str, url: &str, sha256: &str) -> Answer {
        self.api.post("/admin/v1/images", json!({"name": name, "url": url, "sha256": sha256})).await
    }

    /// Makes a host; its id and the token that enrols it.
    ///
    /// # Panics
    /// When that fails.
    pub async fn host(&self, name: &str) -> (i64, String) {
        let answer = self.api.post("/admin/v1/hosts", json!({"name": name})).await.expect(201);
        let id = answer["host"]["id"].as_i64().expect("an id");
        (id, self.enrol_token(id).await)
    }

    /// A new token that enrols a host.
    ///
    /// # Panics
    /// When that fails.
    pub async fn enrol_token(&self, id: i64) -> String {
        let answer = self.api.post(&format!("/admin/v1/hosts/{id}/enrol_token"), json!({})).await.expect(201);
        answer["token"].as_str().expect("it is shown once").to_owned()
    }

    /// Ends the validity of a host's certificate.
    ///
    /// # Panics
    /// When that fails.
    pub async fn revoke(&self, id: i64) {
        self.api.post(&format!("/admin/v1/hosts/{id}/revoke"), json!({})).await.expect(200);
    }

    /// Keeps new VPSes away from a host, or lets them come again.
    ///
    /// # Panics
    /// When that fails.
    pub async fn cordon(&self, id: i64, cordoned: bool) {
        self.api.put(&format!("/admin/v1/hosts/{id}"), json!({"cordoned": cordoned})).await.expect(200);
    }

    /// The host as the operator sees it.
    ///
    /// # Panics
    /// When there is none.
    pub async fn look(&self, id: i64) -> Value {
        self.api.get(&format!("/admin/v1/hosts/{id}")).await.expect(200)["host"].take()
    }

    /// Waits until a host has reported and has this many templates.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn host_is_ready(&self, id: i64, images: usize) {
        wait::until(&format!("host {id} to be ready"), Duration::from_secs(120), async || {
            let host = self.look(id).await;
            let has = host["images"].as_array().map_or(0, Vec::len);
            let reported = host["last_report_at"].is_string();
            if reported && has >= images { Ok(()) } else { Err(host.to_string()) }
        })
        .await;
    }

    /// Waits until a host has the template of this digest.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn host_has_image(&self, id: i64, sha256: &str) {
        wait::until(&format!("host {id} to have {sha256}"), Duration::from_secs(60), async || {
            let host = self.look(id).await;
            let has = host["images"].as_array().is_some_and(|all| all.iter().any(|image| image == sha256));
            if has { Ok(()) } else { Err(host.to_string()) }
        })
        .await;
    }
}
