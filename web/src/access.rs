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
    /// What it may do, in words.
    pub may: Vec<String>,
    /// When it was made.
    pub created: When,
    /// When it was used last.
    pub used: Option<When>,
    /// Until when it is good, and whether that is over.
    pub ends: Option<(When, bool)>,
    /// Networks that it may be used from; none: from anywhere.
    pub sources: Vec<String>,
}

/// A part of the API that a token may be limited to.
#[derive(Clone, Debug)]
pub struct ScopeChoice {
    /// Its name in scopes and in the form: `servers`.
    pub name: &'static str,
    /// What it is, in words.
    pub words: &'static str,
    /// What may be chosen: name and words.
    pub accesses: Vec<(&'static str, &'static str)>,
    /// What is chosen; empty: nothing.
    pub chosen: String,
}

/// What was typed to make a token.
#[derive(Clone, Debug, Default)]
pub struct TokenForm {
    /// Name.
    pub name: Field,
    /// What it may do: `read`, `write` or `scopes`.
    pub access: Field,
    /// What it may do part by part, where `scopes` is chosen.
    pub scopes: Vec<ScopeChoice>,
    /// The last day on which it is good; empty: for ever.
    pub ends: Field,
    /// Networks that it may be used from.
    pub sources: Field,
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
