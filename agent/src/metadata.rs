//! What a guest is told about itself at 169.254.169.254, in hcloud's words: a pure function of its spec.
//!
//! Everything in an answer comes from the asking guest's own spec and from where its host is. Nothing of the request but
//! its path is looked at. Passwords are not among the facts: what a guest can ask for, any user inside it can.

use std::fmt::Write as _;

use berth_proto::{HostSettings, VpsSpec};

/// Largest head of a request.
pub const LARGEST_HEAD: usize = 4096;
/// Where the facts are.
const METADATA: &str = "/hetzner/v1/metadata";
const USER_DATA: &str = "/hetzner/v1/userdata";

/// What the agent knows of its VPSes, as it was told last.
pub trait Facts: Send + Sync + 'static {
    /// The spec of a VPS; none when it is not wanted here.
    fn spec(&self, id: berth_proto::VpsId) -> Option<VpsSpec>;
}

/// The answer to a request whose head is this; none while the head is not whole.
#[must_use]
pub fn answer(head: &[u8], spec: Option<&VpsSpec>, settings: &HostSettings) -> Option<Vec<u8>> {
    let end = head.windows(4).position(|four| four == b"\r\n\r\n");
    if end.is_none() {
        return (head.len() >= LARGEST_HEAD)
            .then(|| response("431 Request Header Fields Too Large", true, ""));
    }
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let mut words = line.split(|b| *b == b' ').map(|word| std::str::from_utf8(word).unwrap_or_default());
    let (method, path, version) =
        (words.next()?, words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if words.next().is_some() || !version.starts_with("HTTP/1.") || !path.starts_with('/') {
        return Some(response("400 Bad Request", true, ""));
    }
    let body = method == "GET";
    if !body && method != "HEAD" {
        return Some(response("405 Method Not Allowed", true, ""));
    }
    let Some(spec) = spec else { return Some(response("404 Not Found", body, "")) };
    Some(match fact(path.split('?').next().unwrap_or_default(), spec, settings) {
        Some(text) => response("200 OK", body, &text),
        None => response("404 Not Found", body, ""),
    })
}

fn response(status: &str, body: bool, text: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let mut bytes = head.into_bytes();
    if body {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

fn fact(path: &str, spec: &VpsSpec, settings: &HostSettings) -> Option<String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path == USER_DATA {
        return Some(spec.user_data.clone().unwrap_or_default());
    }
    if path.is_empty() || path == METADATA {
        return Some(all(spec, settings));
    }
    let name = path.strip_prefix(METADATA).map_or(path, |rest| rest).strip_prefix('/')?;
    Some(match name {
        "hostname" => spec.hostname.clone(),
        "instance-id" => spec.id.to_string(),
        "public-ipv4" => ipv4(spec),
        "local-ipv4" => String::new(),
        "private-networks" => private_networks(spec),
        "region" => settings.region.clone(),
        "availability-zone" => settings.availability_zone.clone(),
        "public-keys" => list(&spec.access.ssh_keys),
        "userdata" => spec.user_data.clone().unwrap_or_default(),
        _ => return None,
    })
}

fn ipv4(spec: &VpsSpec) -> String {
    spec.net.ipv4.map(|ip| ip.to_string()).unwrap_or_default()
}

/// A YAML list of the interfaces in private networks, in hcloud's words, of which the agent knows no names.
fn private_networks(spec: &VpsSpec) -> String {
    if spec.net.private.is_empty() {
        return "[]\n".to_owned();
    }
    spec.net.private.iter().zip(1..).fold(String::new(), |mut yaml, (nic, number)| {
        let aliases: Vec<String> = nic.aliases.iter().map(|ip| quoted(&ip.to_string())).collect();
        let _ = write!(
            yaml,
            "- ip: {}\n  alias_ips: [{}]\n  interface_num: {number}\n  mac_address: {}\n  network_id: {}\n  \
             network: {}\n  gateway: {}\n",
            quoted(&nic.ip.to_string()),
            aliases.join(", "),
            quoted(&nic.mac),
            nic.network,
            quoted(&nic.range.to_string()),
            quoted(&nic.gateway.to_string()),
        );
        yaml
    })
}

/// A YAML document of everything.
fn all(spec: &VpsSpec, settings: &HostSettings) -> String {
    let mut yaml = String::new();
    for (key, value) in [
        ("availability-zone", quoted(&settings.availability_zone)),
        ("hostname", quoted(&spec.hostname)),
        ("instance-id", spec.id.to_string()),
        ("local-ipv4", quoted("")),
        ("public-ipv4", quoted(&ipv4(spec))),
        ("region", quoted(&settings.region)),
    ] {
        let _ = writeln!(yaml, "{key}: {value}");
    }
    let keys = list(&spec.access.ssh_keys);
    let under = |list: &str| if list.starts_with('[') { " " } else { "\n" }.to_owned() + list;
    yaml + &format!("public-keys:{}private-networks:{}", under(&keys), under(&private_networks(spec)))
}

/// A YAML list of strings.
fn list(items: &[String]) -> String {
    if items.is_empty() {
        return "[]\n".to_owned();
    }
    items.iter().fold(String::new(), |mut yaml, item| {
        let _ = writeln!(yaml, "- {}", quoted(item));
        yaml
    })
}

/// A string of JSON is one of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use berth_proto::{NetworkId, PrivateNic};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::spec;

    fn settings() -> HostSettings {
        HostSettings {
            region: "eu-central".into(),
            availability_zone: "fsn1-dc1".into(),
            ..HostSettings::default()
        }
    }

    fn get(request: &str, spec: &VpsSpec) -> (String, String) {
        let bytes = answer(request.as_bytes(), Some(spec), &settings()).expect("a whole head");
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    #[test]
    fn facts_have_hclouds_names_and_places() {
        let mut spec = spec(7);
        spec.user_data = Some("#!/bin/sh\n".into());
        spec.access.ssh_keys = vec!["ssh-ed25519 AAAA a \"b\"".into()];
        for (path, expected) in [
            ("/hetzner/v1/metadata/hostname", spec.hostname.as_str()),
            ("/hetzner/v1/metadata/hostname/", spec.hostname.as_str()),
            ("/hostname", spec.hostname.as_str()),
            ("/hetzner/v1/metadata/instance-id", "7"),
            ("/hetzner/v1/metadata/public-ipv4?x=y", "10.0.0.2"),
            ("/hetzner/v1/metadata/private-networks", "[]\n"),
            ("/hetzner/v1/metadata/region", "eu-central"),
            ("/hetzner/v1/metadata/availability-zone", "fsn1-dc1"),
            ("/hetzner/v1/metadata/public-keys", "- \"ssh-ed25519 AAAA a \\\"b\\\"\"\n"),
            ("/hetzner/v1/userdata", "#!/bin/sh\n"),
            ("/userdata", "#!/bin/sh\n"),
        ] {
            let (status, body) = get(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"), &spec);
            assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", expected), "{path}");
        }
        for path in ["/", "/hetzner/v1/metadata", "/hetzner/v1/metadata/"] {
            let body = get(&format!("GET {path} HTTP/1.0\r\n\r\n"), &spec).1;
            assert_eq!(
                body,
                "availability-zone: \"fsn1-dc1\"\nhostname: \"vps-7\"\ninstance-id: 7\nlocal-ipv4: \"\"\npublic-ipv4: \"10.0.0.2\"\n\
                 region: \"eu-central\"\npublic-keys:\n- \"ssh-ed25519 AAAA a \\\"b\\\"\"\nprivate-networks: []\n"
            );
        }
        spec.access.ssh_keys.clear();
        spec.net.private.push(PrivateNic {
            network: NetworkId(3),
            vni: 2_000_001,
            mac: "02:00:00:00:03:02".into(),
            ip: [10, 0, 1, 5].into(),
            aliases: vec![[10, 0, 1, 6].into(), [10, 0, 1, 7].into()],
            gateway: [10, 0, 0, 1].into(),
            range: "10.0.0.0/16".parse().unwrap(),
            routes: Vec::new(),
        });
        let networks = "- ip: \"10.0.1.5\"\n  alias_ips: [\"10.0.1.6\", \"10.0.1.7\"]\n  interface_num: 1\n  \
            mac_address: \"02:00:00:00:03:02\"\n  network_id: 3\n  network: \"10.0.0.0/16\"\n  gateway: \"10.0.0.1\"\n";
        assert_eq!(get("GET /private-networks HTTP/1.1\r\n\r\n", &spec).1, networks);
        let all = get("GET / HTTP/1.1\r\n\r\n", &spec).1;
        assert!(all.ends_with(&format!("public-keys: []\nprivate-networks:\n{networks}")), "{all}");
        assert_eq!(get("HEAD /hostname HTTP/1.1\r\n\r\n", &spec).1, "");
    }

    #[test]
    fn what_is_no_question_gets_a_refusal() {
        let spec = spec(7);
        for (request, status) in [
            ("GET /hetzner/v1/metadata/../../etc HTTP/1.1\r\n\r\n", "404"),
            ("GET /hetzner/v1/metadatahostname HTTP/1.1\r\n\r\n", "404"),
            ("GET /latest/meta-data HTTP/1.1\r\n\r\n", "404"),
            ("POST / HTTP/1.1\r\n\r\n", "405"),
            ("GET http://other/ HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/2\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
            ("GET / a b HTTP/1.1\r\n\r\n", "400"),
        ] {
            assert_eq!(get(request, &spec).0[9..12], *status, "{request}");
        }
        let nobody = answer(b"GET /hostname HTTP/1.1\r\n\r\n", None, &settings()).unwrap();
        assert!(nobody.starts_with(b"HTTP/1.1 404"));
        assert_eq!(answer(b"GET / HTTP/1.1\r\n", Some(&spec), &settings()), None);
        let long = answer(&[b'a'; LARGEST_HEAD], Some(&spec), &settings()).unwrap();
        assert!(long.starts_with(b"HTTP/1.1 431"));
    }

    proptest! {
        /// Whatever is sent: an answer has one head whose length is right, and names nobody else.
        #[test]
        fn any_bytes_get_a_whole_answer(head in prop::collection::vec(any::<u8>(), 0..200), host in "[a-z0-9.]{0,20}") {
            let head = [&head[..], b"\r\nHost: ", host.as_bytes(), b"\r\n\r\n"].concat();
            let answer = answer(&head, Some(&spec(7)), &settings()).expect("the head is whole");
            prop_assert!(answer.starts_with(b"HTTP/1.1 "));
            let text = String::from_utf8(answer).unwrap();
            prop_assert!(text.split_once("\r\n\r\n").is_some());
        }
    }
}
