//! What a tenant does, in the words of the tests.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::client::Api;

/// Somebody with a project.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Client with a token that may change things.
    pub api: Api,
    /// Name of the only plan.
    pub plan: String,
    /// Name of the only image.
    pub image: String,
}

impl Tenant {
    /// Asks for a server, with a password.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn create(&self, name: &str) -> Value {
        let body = json!({"name": name, "server_type": self.plan, "image": self.image});
        self.api.post("/v1/servers", body).await.expect(201)
    }

    /// Waits until what [`Self::create`] answered has come true; the server's id.
    ///
    /// # Panics
    /// When it does not.
    pub async fn running(&self, created: &Value) -> i64 {
        self.api.succeeded(&created["action"]).await;
        let id = created["server"]["id"].as_i64().expect("an id");
        self.api.server_is(id, "running").await;
        id
    }

    /// Runs an action of a server to its successful end, and checks what it is called.
    ///
    /// # Panics
    /// When it fails.
    pub async fn act(&self, id: i64, what: &str, command: &str) {
        let answer = self.api.post(&format!("/v1/servers/{id}/actions/{what}"), json!({})).await.expect(201);
        assert_eq!(answer["action"]["command"], command);
        self.api.succeeded(&answer["action"]).await;
    }

    /// Deletes a server and waits until it is gone.
    ///
    /// # Panics
    /// When it does not go.
    pub async fn delete(&self, id: i64) {
        let answer = self.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
        self.api.succeeded(&answer["action"]).await;
        self.api.server_is_gone(id).await;
    }

    /// Adds a fresh key.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn ssh_key(&self, name: &str) -> Value {
        let body = json!({"name": name, "public_key": public_key()});
        self.api.post("/v1/ssh_keys", body).await.expect(201)["ssh_key"].take()
    }
}

/// An Ed25519 public key that nobody has the private part of.
#[must_use]
pub fn public_key() -> String {
    let mut blob = Vec::new();
    for part in [&b"ssh-ed25519"[..], &rand::random::<[u8; 32]>()] {
        blob.extend(u32::try_from(part.len()).expect("short").to_be_bytes());
        blob.extend(part);
    }
    format!("ssh-ed25519 {} test", base64::engine::general_purpose::STANDARD.encode(blob))
}
