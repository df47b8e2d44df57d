//! SSH keys and API tokens of a project.

use askama::Template;

use crate::format::{Field, When};
use crate::shell::{ProjectLink, Shell};

/// An SSH key.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Kind of key: `ssh-ed25519`.
    pub kind: String,
    /// MD5 fingerprint with colons.
    pub fingerprint: String,
    /// When it was added.
    pub created: When,
}

/// What was typed to add a key.
#[derive(Clone, Debug, Default)]
pub struct KeyForm {
    /// Name.
    pub name: Field,
    /// The public key.
    pub public_key: Field,
}

/// The page of SSH keys.
#[derive(Clone, Debug, Template)]
#[template(path = "keys.html")]
pub struct KeysPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The keys.
    pub rows: Vec<KeyRow>,
    /// What was typed.
    pub form: KeyForm,
}

/// An API token.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether it may change things.
    pub writable: bool,
    /// When it was made.
    pub created: When,
    /// When it was used last.
    pub used: Option<When>,
}

/// What was typed to make a token.
#[derive(Clone, Debug, Default)]
pub struct TokenForm {
    /// Name.
    pub name: Field,
    /// Whether it may change things.
    pub writable: bool,
}

/// The page of API tokens.
#[derive(Clone, Debug, Template)]
#[template(path = "tokens.html")]
pub struct TokensPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The tokens.
    pub rows: Vec<TokenRow>,
    /// What was typed.
    pub form: TokenForm,
    /// A token just made, shown this once.
    pub secret: Option<String>,
    /// The API's address for clients.
    pub endpoint: String,
}

impl TokensPage {
    fn usage(&self) -> String {
        let endpoint = crate::quote(&self.endpoint);
        format!("export HCLOUD_ENDPOINT={endpoint}\nexport HCLOUD_TOKEN=…\nhcloud server list")
    }
}
