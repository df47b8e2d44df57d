//! The request that the create form stands for: what the page posts, and the same as text for `curl`, the `hcloud` CLI and
//! Terraform.
//!
//! [`ServerRequest`] is the one thing that all of them are made of. The page sends [`ServerRequest::body`] through the
//! parser of the API, and the texts say the same with their own words, so that they cannot mean something else.
//!
//! What a tenant typed ends up in a command that someone pastes into a terminal, so every word is quoted for a POSIX
//! shell ([`quote`]) or for HCL ([`hcl`]). The token is never part of it: the text names the variable.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

/// Where an address of a new server comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// A new one, which goes with it.
    #[default]
    New,
    /// It gets none.
    None,
    /// The primary IP with this id.
    Held(i64),
}

/// A key that is added to the project first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What it will be called.
    pub name: String,
    /// Its line.
    pub public_key: String,
}

/// What would be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerRequest {
    /// Name of the server.
    pub name: String,
    /// Name of the plan.
    pub plan: String,
    /// Name of the image.
    pub image: String,
    /// Name of the location, if one was chosen.
    pub location: Option<String>,
    /// Names of SSH keys, or ids of those whose names could be taken for ids.
    pub keys: Vec<String>,
    /// A key that is added first; its name is among `keys`.
    pub new_key: Option<NewKey>,
    /// IPv4.
    pub ipv4: Address,
    /// IPv6: a new one where the location has any.
    pub ipv6: Address,
    /// Ids of private networks.
    pub networks: Vec<i64>,
    /// Ids of firewalls.
    pub firewalls: Vec<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// User data.
    pub user_data: Option<String>,
    /// Whether it is made and not started.
    pub stopped: bool,
}

impl ServerRequest {
    /// The body of `POST /v1/servers`.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = json!({ "name": self.name, "server_type": self.plan, "image": self.image });
        let mut put = |name: &str, there: bool, value: Value| {
            if there {
                body[name] = value;
            }
        };
        put("location", self.location.is_some(), json!(self.location));
        put("ssh_keys", !self.keys.is_empty(), json!(self.keys));
        put("public_net", !self.usual_addresses(), self.public_net());
        put("networks", !self.networks.is_empty(), json!(self.networks));
        let firewalls: Vec<_> = self.firewalls.iter().map(|id| json!({ "firewall": id })).collect();
        put("firewalls", !firewalls.is_empty(), json!(firewalls));
        put("labels", !self.labels.is_empty(), json!(self.labels));
        put("user_data", self.user_data.is_some(), json!(self.user_data));
        put("start_after_create", self.stopped, json!(false));
        body
    }

    fn usual_addresses(&self) -> bool {
        (self.ipv4, self.ipv6) == (Address::New, Address::New)
    }

    /// Both families written out, as the other clients do.
    fn public_net(&self) -> Value {
        let mut net = json!({});
        for (family, address) in [("ipv4", self.ipv4), ("ipv6", self.ipv6)] {
            net[format!("enable_{family}")] = json!(address != Address::None);
            if let Address::Held(id) = address {
                net[family] = json!(id);
            }
        }
        net
    }
}

/// One word for a POSIX shell: as it is when no character is special, else in single quotes. A shell has no NUL.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:@%+,".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\0', "\u{fffd}").replace('\'', r"'\''"))
}

/// One value of an option that takes many at once, which `hcloud` reads as a line of CSV.
fn one_of_many(value: &str) -> String {
    match value.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value.to_owned(),
    }
}

/// The request as commands of the `hcloud` CLI.
#[must_use]
pub fn cli(request: &ServerRequest) -> String {
    let mut text = String::new();
    if let Some(key) = &request.new_key {
        let (name, line) = (quote(&key.name), quote(&key.public_key));
        let _ = writeln!(text, "hcloud ssh-key create --name {name} --public-key {line}");
    }
    if let Some(user_data) = &request.user_data {
        let _ = write!(text, "printf %s {} | ", quote(user_data));
    }
    let mut lines = vec![
        format!("hcloud server create --name {}", quote(&request.name)),
        format!("--type {} --image {}", quote(&request.plan), quote(&request.image)),
    ];
    lines.extend(request.location.iter().map(|location| format!("--location {}", quote(location))));
    lines.extend(request.keys.iter().map(|key| format!("--ssh-key {}", quote(&one_of_many(key)))));
    for (family, address) in [("ipv4", request.ipv4), ("ipv6", request.ipv6)] {
        match address {
            Address::New => {}
            Address::None => lines.push(format!("--without-{family}")),
            Address::Held(id) => lines.push(format!("--primary-{family} {id}")),
        }
    }
    lines.extend(request.networks.iter().map(|id| format!("--network {id}")));
    lines.extend(request.firewalls.iter().map(|id| format!("--firewall {id}")));
    lines.extend(request.labels.iter().map(|(k, v)| format!("--label {}", quote(&format!("{k}={v}")))));
    lines.extend(request.user_data.iter().map(|_| "--user-data-from-file -".to_owned()));
    lines.extend(request.stopped.then(|| "--start-after-create=false".to_owned()));
    text + &lines.join(" \\\n  ")
}

/// The request as calls of `curl`. `endpoint` is the URL of the API.
#[must_use]
pub fn curl(request: &ServerRequest, endpoint: &str) -> String {
    let key = request.new_key.as_ref().map(|key| {
        let body = json!({ "name": key.name, "public_key": key.public_key });
        call(endpoint, "ssh_keys", &body) + "\n"
    });
    key.unwrap_or_default() + &call(endpoint, "servers", &request.body())
}

fn call(endpoint: &str, path: &str, body: &Value) -> String {
    let body = serde_json::to_string_pretty(body).expect("JSON always serialises");
    let url = quote(&format!("{}/{path}", endpoint.trim_end_matches('/')));
    format!(
        "curl -X POST {url} \\\n  -H \"Authorization: Bearer $HCLOUD_TOKEN\" \\\n  -H 'Content-Type: application/json' \\\n  -d {}",
        quote(&body)
    )
}

/// One text for HCL, in quotes. `${` and `%{` would be templates: their sigil is doubled, and one before another sigil is
/// written by its number, so that it never counts as the first half of such a pair.
#[must_use]
pub fn hcl(text: &str) -> String {
    let mut out = String::from("\"");
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('"' | '\\', _) => out.extend(['\\', c]),
            ('\n', _) => out.push_str("\\n"),
            ('\r', _) => out.push_str("\\r"),
            ('\t', _) => out.push_str("\\t"),
            ('$' | '%', Some('{')) => out.extend([c, c]),
            ('$' | '%', Some('$' | '%')) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            (c, _) if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            (c, _) => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The request as a configuration for Terraform's `hcloud` provider. `endpoint` is the URL of the API.
#[must_use]
pub fn terraform(request: &ServerRequest, endpoint: &str) -> String {
    let mut text = format!(
        "terraform {{\n  required_providers {{\n    hcloud = {{ source = \"hetznercloud/hcloud\" }}\n  }}\n}}\n\n\
         provider \"hcloud\" {{\n  endpoint = {}\n  # The token comes from HCLOUD_TOKEN.\n}}\n\n",
        hcl(endpoint.trim_end_matches('/'))
    );
    if let Some(key) = &request.new_key {
        let (name, line) = (hcl(&key.name), hcl(&key.public_key));
        let _ = write!(
            text,
            "resource \"hcloud_ssh_key\" \"new\" {{\n  name = {name}\n  public_key = {line}\n}}\n\n"
        );
    }
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    let ids = |ids: &[i64]| list(ids.iter().map(ToString::to_string).collect());
    let mut lines = vec![
        format!("name = {}", hcl(&request.name)),
        format!("server_type = {}", hcl(&request.plan)),
        format!("image = {}", hcl(&request.image)),
    ];
    lines.extend(request.location.iter().map(|location| format!("location = {}", hcl(location))));
    if !request.keys.is_empty() {
        let new = request.new_key.as_ref().map(|key| &key.name);
        let key = |key: &String| match new == Some(key) {
            true => "hcloud_ssh_key.new.id".to_owned(),
            false => hcl(key),
        };
        lines.push(format!("ssh_keys = {}", list(request.keys.iter().map(key).collect())));
    }
    if !request.firewalls.is_empty() {
        lines.push(format!("firewall_ids = {}", ids(&request.firewalls)));
    }
    if !request.labels.is_empty() {
        lines.push("labels = {".to_owned());
        lines.extend(request.labels.iter().map(|(k, v)| format!("  {} = {}", hcl(k), hcl(v))));
        lines.push("}".to_owned());
    }
    lines.extend(request.user_data.iter().map(|user_data| format!("user_data = {}", hcl(user_data))));
    if !request.usual_addresses() {
        lines.push("public_net {".to_owned());
        for (family, address) in [("ipv4", request.ipv4), ("ipv6", request.ipv6)] {
            lines.push(format!("  {family}_enabled = {}", address != Address::None));
            if let Address::Held(id) = address {
                lines.push(format!("  {family} = {id}"));
            }
        }
        lines.push("}".to_owned());
    }
    lines.extend(request.networks.iter().map(|id| format!("network {{\n    network_id = {id}\n  }}")));
    if request.stopped {
        lines.push("# Terraform starts what it makes: power it off afterwards.".to_owned());
    }
    let _ = write!(text, "resource \"hcloud_server\" \"server\" {{\n  {}\n}}", lines.join("\n  "));
    text
}

#[cfg(test)]
mod tests;
