//! The request that the create form stands for, as text for a shell.
//!
//! What a tenant typed ends up in a command that someone pastes into a terminal, so every word is quoted for a POSIX
//! shell ([`quote`]). The token is never part of it: the text names the variable.

use std::collections::BTreeMap;

use serde_json::json;

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
    /// Names of SSH keys.
    pub keys: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// User data.
    pub user_data: Option<String>,
}

/// One word for a POSIX shell: as it is when no character is special, else in single quotes.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:@%+,".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The request as a command of the `hcloud` CLI.
#[must_use]
pub fn cli(request: &ServerRequest) -> String {
    let mut lines = vec![
        format!("hcloud server create --name {}", quote(&request.name)),
        format!("--type {} --image {}", quote(&request.plan), quote(&request.image)),
    ];
    lines.extend(request.location.iter().map(|location| format!("--location {}", quote(location))));
    lines.extend(request.keys.iter().map(|key| format!("--ssh-key {}", quote(key))));
    lines.extend(request.labels.iter().map(|(k, v)| format!("--label {}", quote(&format!("{k}={v}")))));
    lines.extend(request.user_data.iter().map(|_| "--user-data-from-file user-data".to_owned()));
    lines.join(" \\\n  ")
}

/// The request as a call of `curl`.
#[must_use]
pub fn curl(request: &ServerRequest, endpoint: &str) -> String {
    let mut body = json!({ "name": request.name, "server_type": request.plan, "image": request.image });
    let fields = body.as_object_mut().expect("made as an object");
    if let Some(location) = &request.location {
        fields.insert("location".into(), json!(location));
    }
    if !request.keys.is_empty() {
        fields.insert("ssh_keys".into(), json!(request.keys));
    }
    if !request.labels.is_empty() {
        fields.insert("labels".into(), json!(request.labels));
    }
    if let Some(user_data) = &request.user_data {
        fields.insert("user_data".into(), json!(user_data));
    }
    let body = serde_json::to_string_pretty(&body).expect("strings and maps of strings always serialise");
    let url = quote(&format!("{}/servers", endpoint.trim_end_matches('/')));
    format!(
        "curl -X POST {url} \\\n  -H \"Authorization: Bearer $HCLOUD_TOKEN\" \\\n  -H 'Content-Type: application/json' \\\n  -d {}",
        quote(&body)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> ServerRequest {
        ServerRequest {
            name: "web'; rm -rf ~ #".into(),
            plan: "b1".into(),
            image: "debian-12".into(),
            keys: vec!["$(id)".into()],
            labels: [("env".to_owned(), "a b".to_owned())].into(),
            user_data: Some("#!/bin/sh\necho 'hi'".into()),
            ..ServerRequest::default()
        }
    }

    /// The words that a real shell makes of `command`, with `program` replaced by a printer.
    fn words(command: &str, program: &str) -> Vec<String> {
        let script = format!("{program}() {{ printf '%s\\0' \"$@\"; }}; HCLOUD_TOKEN=t; {command}");
        let out = std::process::Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
        assert!(out.status.success());
        let text = String::from_utf8(out.stdout).expect("utf-8");
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn a_shell_reads_back_what_was_typed() {
        let words = words(&cli(&hostile()), "hcloud");
        assert_eq!(words[..4], ["server", "create", "--name", "web'; rm -rf ~ #"]);
        assert!(words.contains(&"$(id)".to_owned()) && words.contains(&"env=a b".to_owned()));
    }

    #[test]
    fn curl_sends_the_same_request() {
        let words = words(&curl(&hostile(), "https://berth.example/v1/"), "curl");
        assert_eq!(words[2], "https://berth.example/v1/servers");
        let body: serde_json::Value = serde_json::from_str(&words[words.len() - 1]).expect("json");
        assert_eq!(body["name"], "web'; rm -rf ~ #");
        assert_eq!(body["user_data"], "#!/bin/sh\necho 'hi'");
        assert_eq!(body.get("location"), None);
    }
}
