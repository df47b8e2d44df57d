//! What was typed is what is read: by a real shell, as JSON, and by a reader of HCL's quoted texts.

use std::process::Command;

use proptest::prelude::*;

use super::*;

fn hostile() -> ServerRequest {
    ServerRequest {
        name: "web'; rm -rf ~ #".into(),
        plan: "b1".into(),
        image: "debian-12".into(),
        keys: vec!["$(id)".into(), "a,\"b".into()],
        labels: [("env".to_owned(), "a b".to_owned())].into(),
        user_data: Some("#!/bin/sh\necho 'hi' ${x} %{y}".into()),
        ..ServerRequest::default()
    }
}

fn whole() -> ServerRequest {
    ServerRequest {
        location: Some("fsn1".into()),
        new_key: Some(NewKey { name: "a,\"b".into(), public_key: "ssh-ed25519 AAAA 'x'".into() }),
        ipv4: Address::None,
        ipv6: Address::Held(7),
        networks: vec![3, 4],
        firewalls: vec![5],
        stopped: true,
        ..hostile()
    }
}

/// The words that a real shell makes of the calls of `program`, which is replaced by a printer; and what it reads.
fn words(command: &str, program: &str) -> Vec<String> {
    let script =
        format!("{program}() {{ printf '%s\\0' \"$@\"; cat; }}; HCLOUD_TOKEN=t; {{ {command}\n}} </dev/null");
    let out = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).expect("utf-8");
    text.split('\0').map(str::to_owned).collect()
}

/// Reads one quoted text of HCL as its specification says; none where a template would begin, or it is no such text.
fn read_hcl(text: &str) -> Option<String> {
    let inner: Vec<char> = text.strip_prefix('"')?.strip_suffix('"')?.chars().collect();
    let (mut out, mut at) = (String::new(), 0);
    while at < inner.len() {
        let c = inner[at];
        let (read, long) = match (c, inner.get(at + 1), inner.get(at + 2)) {
            ('$' | '%', Some(next), Some('{')) if *next == c => (format!("{c}{{"), 3),
            ('$' | '%', Some('{'), _) | ('"' | '\n' | '\r', ..) => return None,
            ('\\', Some('n'), _) => ("\n".into(), 2),
            ('\\', Some('r'), _) => ("\r".into(), 2),
            ('\\', Some('t'), _) => ("\t".into(), 2),
            ('\\', Some('"'), _) => ("\"".into(), 2),
            ('\\', Some('\\'), _) => ("\\".into(), 2),
            ('\\', Some('u'), _) => {
                let digits: String = inner.get(at + 2..at + 6)?.iter().collect();
                (char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?.to_string(), 6)
            }
            ('\\', ..) => return None,
            (c, ..) => (c.to_string(), 1),
        };
        out.push_str(&read);
        at += long;
    }
    Some(out)
}

/// Texts in which what is special is common.
fn nasty() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "$", "%", "{", "}", "${", "%{", "$${", "%%{", "\\", "\"", "'", "\n", "\r", "\t", "`", "!", "#", ";",
        "\u{1}", "~", "a", "é", "-", " ",
    ]);
    prop_oneof![
        prop::collection::vec(special, 0..12).prop_map(|parts| parts.concat()),
        any::<String>().prop_map(|text| text.replace('\0', "")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_shell_reads_any_word_back(word in nasty()) {
        let out = Command::new("sh").arg("-c").arg(format!("printf %s {}", quote(&word))).output().expect("sh runs");
        prop_assert_eq!(String::from_utf8(out.stdout).expect("utf-8"), word);
    }

    #[test]
    fn hcl_reads_any_text_back(text in nasty()) {
        let read = read_hcl(&hcl(&text));
        prop_assert_eq!(read.as_deref(), Some(text.as_str()), "{}", hcl(&text));
    }

    #[test]
    fn every_text_says_what_is_posted(name in nasty(), key in nasty(), data in nasty()) {
        let request = ServerRequest {
            name, keys: vec![key], user_data: Some(data).filter(|d| !d.is_empty()), ..hostile()
        };
        let sent = words(&curl(&request, "https://berth.example/v1"), "curl");
        let body: Value = serde_json::from_str(sent.get(sent.len() - 2).expect("a body")).expect("json");
        prop_assert_eq!(&body, &request.body());
        let typed = words(&cli(&request), "hcloud");
        prop_assert_eq!(&typed[3], &request.name);
        prop_assert_eq!(typed.last(), Some(&request.user_data.clone().unwrap_or_default()), "what it reads");
        let config = terraform(&request, "https://berth.example/v1");
        let line = format!("\n  name = {}\n", hcl(&request.name));
        prop_assert!(config.contains(&line), "{}", config);
    }
}

#[test]
fn templates_of_hcl_stay_text() {
    assert_eq!(hcl("${a} %{b} $1 50%"), r#""$${a} %%{b} $1 50%""#);
    assert_eq!(hcl("$${a}"), r#""\u0024$${a}""#);
    assert_eq!(read_hcl("\"${a}\""), None, "the reader would notice");
}

#[test]
fn a_shell_reads_back_what_was_typed() {
    let words = words(&cli(&hostile()), "hcloud");
    assert_eq!(words[..4], ["server", "create", "--name", "web'; rm -rf ~ #"]);
    assert!(words.contains(&"$(id)".to_owned()) && words.contains(&"env=a b".to_owned()));
    assert!(words.contains(&"\"a,\"\"b\"".to_owned()), "one value of CSV: {words:?}");
    assert_eq!(words.last().map(String::as_str), Some("#!/bin/sh\necho 'hi' ${x} %{y}"), "comes by a pipe");
}

#[test]
fn every_option_is_in_every_text() {
    let request = whole();
    let body = request.body();
    assert_eq!(
        body["public_net"],
        json!({ "enable_ipv4": false, "enable_ipv6": true, "ipv6": 7 }),
        "both families are written out"
    );
    assert_eq!((&body["networks"], &body["firewalls"]), (&json!([3, 4]), &json!([{ "firewall": 5 }])));
    assert_eq!(body["start_after_create"], false);
    let typed = cli(&request);
    for option in [
        "hcloud ssh-key create --name 'a,\"b' ",
        "--location fsn1",
        "--without-ipv4",
        "--primary-ipv6 7",
        "--network 3",
        "--network 4",
        "--firewall 5",
        "--start-after-create=false",
    ] {
        assert!(typed.contains(option), "{option}: {typed}");
    }
    let config = terraform(&request, "https://berth.example/v1/");
    for line in [
        "endpoint = \"https://berth.example/v1\"",
        "resource \"hcloud_ssh_key\" \"new\"",
        "ssh_keys = [\"$(id)\", hcloud_ssh_key.new.id]",
        "location = \"fsn1\"",
        "firewall_ids = [5]",
        "ipv4_enabled = false",
        "ipv6_enabled = true",
        "ipv6 = 7",
        "network_id = 4",
        "\"env\" = \"a b\"",
        "power it off",
    ] {
        assert!(config.contains(line), "{line}: {config}");
    }
    let calls = curl(&request, "https://berth.example/v1/");
    assert!(
        calls.contains("https://berth.example/v1/ssh_keys")
            && calls.contains("https://berth.example/v1/servers")
    );
}

#[test]
fn what_is_usual_is_not_said() {
    let plain =
        ServerRequest { name: "a".into(), plan: "b".into(), image: "c".into(), ..ServerRequest::default() };
    assert_eq!(plain.body(), json!({ "name": "a", "server_type": "b", "image": "c" }));
    assert_eq!(cli(&plain), "hcloud server create --name a \\\n  --type b --image c");
}
