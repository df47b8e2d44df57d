//! What an operator does.

use std::path::Path;
use std::time::Duration;

use berth_proto::EnrolToken;
use berth_server::app::App;
use berth_server::auth::secret::Secret;
use berth_server::db;
use berth_server::domain::names::{Slug, Title};
use berth_server::domain::price::Price;
use berth_server::ids::{HostId, ProjectId};
use berth_server::images::Store;
use serde_json::{Value, json};

use crate::wait;

/// An operator.
#[derive(Clone, Debug)]
pub struct Control {
    pub app: App,
}

impl Control {
    pub fn new(app: App) -> Self {
        Self { app }
    }

    pub async fn project(&self, name: &str) -> i64 {
        db::projects::create(&self.app.db, &Title::parse("name", name).expect("name"))
            .await
            .expect("project")
            .id
            .0
    }

    pub async fn token(&self, project: i64, writable: bool) -> String {
        let name = Title::parse("name", "test").expect("name");
        let (_, secret) =
            db::tokens::create(&self.app.db, Some(ProjectId(project)), &name, writable).await.expect("token");
        secret.expose().to_owned()
    }

    pub async fn plan(&self, name: &str, figures: &Value) {
        let n = |key: &str| figures[key].as_i64().expect("a number");
        let plan = db::plans::NewPlan {
            name: Slug::parse("name", name).expect("name"),
            description: String::new(),
            cpu_milli: n("cores") * 1000,
            memory_bytes: n("memory"),
            disk_bytes: n("disk"),
            swap_bytes: 0,
            pids: 2048,
            bandwidth_mbit: 0,
            included_traffic: 0,
            price_hourly: Price::parse("price", "0.01").expect("price"),
            price_monthly: Price::parse("price", "3").expect("price"),
        };
        db::plans::create(&self.app.db, &plan).await.expect("plan");
    }

    pub async fn image(&self, name: &str, file: &Path) -> Value {
        let store = Store::in_data_dir(&self.app.config.data_dir);
        let stored = store.import_file(file, None).await.expect("import");
        let new = db::images::NewImage {
            name: name.into(),
            description: String::new(),
            os_flavor: "debian".into(),
            os_version: None,
            sha256: stored.sha256.clone(),
            size_bytes: i64::try_from(stored.size_bytes).expect("size"),
            disk_bytes: 0,
            format: stored.format,
            cloud_init: false,
        };
        db::images::create(&self.app.db, &new).await.expect("image");
        for host in db::hosts::list(&self.app.db).await.expect("hosts") {
            self.app.wake.changed(berth_server::wake::Changed::Host(host.id));
        }
        json!({"sha256": stored.sha256})
    }

    pub async fn host(&self, name: &str) -> (i64, String) {
        let name = Slug::parse("name", name).expect("name");
        let dc = db::locations::datacenters(&self.app.db).await.expect("dcs")[0].id.0;
        let host = db::hosts::create(&self.app, &name, dc).await.expect("host");
        (host.id, self.enrol_token(host.id).await)
    }

    pub async fn enrol_token(&self, id: i64) -> String {
        use sha2::Digest as _;
        let secret = Secret::token().expose().to_owned();
        let hash: [u8; 32] = sha2::Sha256::digest(secret.as_bytes()).into();
        db::enrol::add_token(&self.app.db, id, &hash).await.expect("token");
        let url: String =
            db::settings::get(&self.app.db, db::settings::AGENT_URL).await.expect("setting").expect("url");
        let ca_sha256 = berth_server::fleet::ca::Ca::load(&self.app.db).await.expect("ca").sha256();
        EnrolToken { url, ca_sha256, secret }.to_string()
    }

    pub async fn revoke(&self, id: i64) {
        db::hosts::revoke(&self.app, HostId(id)).await.expect("revoke");
    }

    pub async fn cordon(&self, id: i64, cordoned: bool) {
        let update = db::hosts::Update { cordoned: Some(cordoned), cpu_overcommit: None };
        db::hosts::update(&self.app, HostId(id), update).await.expect("update");
    }

    pub async fn look(&self, id: i64) -> Value {
        serde_json::to_value(db::hosts::get(&self.app.db, HostId(id)).await.expect("host")).expect("json")
    }

    pub async fn host_is_ready(&self, id: i64, images: usize) {
        wait::until(&format!("host {id} to be ready"), Duration::from_secs(120), async || {
            let host = self.look(id).await;
            let has = host["images"].as_array().map_or(0, Vec::len);
            let reported = host["last_report_at"].is_string();
            if reported && has >= images { Ok(()) } else { Err(host.to_string()) }
        })
        .await;
    }
}
