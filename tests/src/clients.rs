//! The stock clients of the hcloud API, driven as a person drives them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::{Api, DEADLINE};
use crate::console::Console;
use crate::wait::until;

/// What a client needs to make a server.
pub struct Order<'a> {
    /// Client with the token to use.
    pub api: &'a Api,
    /// Name of a server type.
    pub plan: &'a str,
    /// Name of another one, that it can change to while it runs.
    pub larger: &'a str,
    /// Name of an image.
    pub image: &'a str,
    /// An OpenSSH public key.
    pub public_key: &'a str,
    /// Whether there is a name server for the addresses.
    pub reverse_dns: bool,
}

/// The `hcloud` CLI: a key, a server with it, and everything that is done to a server until its end. `look` is called
/// with the server's address while it runs, and with the new root password after that was reset.
///
/// # Panics
/// When the client fails or sees something else than was done.
pub async fn hcloud_cli(order: &Order<'_>, look: impl AsyncFn(&str, &str)) {
    let home = tempfile::tempdir().expect("a directory for the client's configuration");
    let run = async |args: &[&str]| output(hcloud(order.api, home.path()).args(args)).await;
    let json = async |args: &[&str]| -> Value {
        let text = run(&[args, &["-o", "json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("hcloud {args:?} prints JSON: {e}\n{text}"))
    };

    for list in ["server-type", "image", "location", "datacenter"] {
        assert_ne!(json(&[list, "list"]).await, json!([]), "{list}");
    }
    assert!(run(&["server-type", "describe", order.plan]).await.contains(order.plan));

    run(&["ssh-key", "create", "--name", "cli", "--public-key", order.public_key]).await;
    let (plan, image) = (order.plan, order.image);
    let create =
        ["server", "create", "--name", "cli-1", "--type", plan, "--image", image, "--ssh-key", "cli"];
    let made = run(&[&create[..], &["--label", "made-by=cli"]].concat()).await;
    assert!(!made.to_lowercase().contains("root password"), "a server with a key has no password:\n{made}");

    let list =
        run(&["server", "list", "--selector", "made-by=cli", "-o", "noheader", "-o", "columns=name,status"])
            .await;
    assert_eq!(list.split_whitespace().collect::<Vec<_>>(), ["cli-1", "running"]);
    let server = json(&["server", "describe", "cli-1"]).await;
    assert_eq!((&server["name"], &server["status"]), (&json!("cli-1"), &json!("running")));
    let address = run(&["server", "ip", "cli-1"]).await;
    assert!(run(&["server", "describe", "cli-1"]).await.contains(address.trim()), "in words too");

    run(&["server", "reboot", "cli-1"]).await;
    let reset = run(&["server", "reset-password", "cli-1"]).await;
    let password = reset.split_whitespace().last().expect("the new password is printed");
    assert!(password.len() >= 16, "{reset}");
    look(address.trim(), password).await;

    let printed = run(&["server", "request-console", "cli-1"]).await;
    let url = printed.split_whitespace().find(|word| word.starts_with("ws://")).expect("a URL is printed");
    let mut console = Console::open(url).await.expect("it leads to the console");
    console.connected().await.expect("the host is there");
    console.leave().await;
    run(&["server", "change-type", "cli-1", order.larger, "--keep-disk"]).await;
    assert_eq!(json(&["server", "describe", "cli-1"]).await["server_type"]["name"], order.larger);

    firewalls_by_cli(&run, &json).await;
    floating_ips_by_cli(&run, &json).await;
    networks_by_cli(&run, &json).await;
    if order.reverse_dns {
        names_by_cli(&run, &json).await;
    }

    run(&["server", "poweroff", "cli-1"]).await;
    assert_eq!(json(&["server", "describe", "cli-1"]).await["status"], "off");
    primary_ips_by_cli(&run, &json).await;
    run(&["server", "poweron", "cli-1"]).await;
    run(&["server", "add-label", "cli-1", "tier=web"]).await;
    run(&["server", "update", "cli-1", "--name", "cli-2"]).await;
    let server = json(&["server", "describe", "cli-2"]).await;
    assert_eq!(server["labels"], json!({"made-by": "cli", "tier": "web"}));

    run(&["server", "delete", "cli-2"]).await;
    run(&["ssh-key", "delete", "cli"]).await;
    // The client does not wait for the end of a delete, and what is being deleted is listed.
    // Older versions print an empty list as null.
    until("the server to be gone", DEADLINE, async || {
        let list = json(&["server", "list"]).await;
        if list == json!([]) || list.is_null() { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
}

/// A firewall for the server, changed and removed again.
async fn firewalls_by_cli(run: &impl AsyncFn(&[&str]) -> String, json: &impl AsyncFn(&[&str]) -> Value) {
    run(&["firewall", "create", "--name", "cli"]).await;
    let rule = ["--direction", "in", "--protocol", "tcp", "--port", "22", "--source-ips", "0.0.0.0/0"];
    run(&[&["firewall", "add-rule", "cli"][..], &rule, &["--description", "ssh"]].concat()).await;
    run(&["firewall", "apply-to-resource", "cli", "--type", "server", "--server", "cli-1"]).await;
    let firewall = json(&["firewall", "describe", "cli"]).await;
    assert_eq!(firewall["rules"][0]["port"], "22");
    assert_eq!(firewall["applied_to"][0]["type"], "server");
    let server = json(&["server", "describe", "cli-1"]).await;
    assert_eq!(server["public_net"]["firewalls"][0]["id"], firewall["id"]);
    run(&[&["firewall", "delete-rule", "cli"][..], &rule, &["--description", "ssh"]].concat()).await;
    run(&["firewall", "remove-from-resource", "cli", "--type", "server", "--server", "cli-1"]).await;
    run(&["firewall", "delete", "cli"]).await;
    assert!(json(&["firewall", "list"]).await.as_array().is_none_or(Vec::is_empty));
}

/// A further address for the server, which runs.
async fn floating_ips_by_cli(run: &impl AsyncFn(&[&str]) -> String, json: &impl AsyncFn(&[&str]) -> Value) {
    let server = json(&["server", "describe", "cli-1"]).await;
    let home = server["datacenter"]["location"]["name"].as_str().expect("a name").to_owned();
    run(&["floating-ip", "create", "--name", "cli", "--type", "ipv4", "--home-location", &home]).await;
    run(&["floating-ip", "update", "cli", "--name", "cli-ip", "--description", "by the CLI"]).await;
    run(&["floating-ip", "assign", "cli-ip", "cli-1"]).await;
    let described = json(&["floating-ip", "describe", "cli-ip"]).await;
    assert_eq!((&described["server"], &described["description"]), (&server["id"], &json!("by the CLI")));
    let server = json(&["server", "describe", "cli-1"]).await;
    assert_eq!(server["public_net"]["floating_ips"], json!([described["id"]]));
    run(&["floating-ip", "unassign", "cli-ip"]).await;
    run(&["floating-ip", "enable-protection", "cli-ip", "delete"]).await;
    run(&["floating-ip", "disable-protection", "cli-ip", "delete"]).await;
    run(&["floating-ip", "delete", "cli-ip"]).await;
    assert!(json(&["floating-ip", "list"]).await.as_array().is_none_or(Vec::is_empty));
}

/// Another address for the server, which is off, and its own one back.
async fn primary_ips_by_cli(run: &impl AsyncFn(&[&str]) -> String, json: &impl AsyncFn(&[&str]) -> Value) {
    let server = json(&["server", "describe", "cli-1"]).await;
    let own = server["public_net"]["ipv4"]["id"].to_string();
    let datacenter = server["datacenter"]["name"].as_str().expect("a name").to_owned();
    run(&["primary-ip", "create", "--name", "cli", "--type", "ipv4", "--datacenter", &datacenter]).await;
    run(&["primary-ip", "update", "cli", "--name", "cli-ip"]).await;
    run(&["primary-ip", "enable-protection", "cli-ip"]).await;
    run(&["primary-ip", "unassign", &own]).await;
    let id = server["id"].to_string();
    run(&["primary-ip", "assign", "cli-ip", "--server", &id]).await;
    let described = json(&["primary-ip", "describe", "cli-ip"]).await;
    assert_eq!(
        (&described["assignee_id"], &described["protection"]["delete"]),
        (&server["id"], &json!(true))
    );
    assert_eq!(json(&["primary-ip", "list"]).await.as_array().map(Vec::len), Some(2));
    run(&["primary-ip", "unassign", "cli-ip"]).await;
    run(&["primary-ip", "assign", &own, "--server", &id]).await;
    run(&["primary-ip", "disable-protection", "cli-ip"]).await;
    run(&["primary-ip", "delete", "cli-ip"]).await;
    assert_eq!(json(&["server", "describe", "cli-1"]).await["public_net"]["ipv4"]["id"].to_string(), own);
}

/// Names for the addresses that a server, a primary and a floating IP have.
async fn names_by_cli(run: &impl AsyncFn(&[&str]) -> String, json: &impl AsyncFn(&[&str]) -> Value) {
    let named = async |of: &str, what: &str, ip: &str, name: &str| {
        run(&[of, "set-rdns", what, "--ip", ip, "--hostname", name]).await;
    };
    let server = json(&["server", "describe", "cli-1"]).await;
    let ip = server["public_net"]["ipv4"]["ip"].as_str().expect("an address").to_owned();
    run(&["server", "set-rdns", "cli-1", "--hostname", "server.example.com"]).await;
    let server = json(&["server", "describe", "cli-1"]).await;
    assert_eq!(server["public_net"]["ipv4"]["dns_ptr"], "server.example.com");
    let primary = server["public_net"]["ipv4"]["id"].to_string();
    named("primary-ip", &primary, &ip, "primary.example.com").await;
    let described = json(&["primary-ip", "describe", &primary]).await;
    assert_eq!(described["dns_ptr"], json!([{"ip": ip, "dns_ptr": "primary.example.com"}]));

    let home = server["datacenter"]["location"]["name"].as_str().expect("a name").to_owned();
    run(&["floating-ip", "create", "--name", "named", "--type", "ipv4", "--home-location", &home]).await;
    let described = json(&["floating-ip", "describe", "named"]).await;
    let ip = described["ip"].as_str().expect("an address").to_owned();
    named("floating-ip", "named", &ip, "floating.example.com").await;
    let described = json(&["floating-ip", "describe", "named"]).await;
    assert_eq!(described["dns_ptr"], json!([{"ip": ip, "dns_ptr": "floating.example.com"}]));
    run(&["floating-ip", "delete", "named"]).await;
}

/// A private network with the server in it, changed and deleted again.
async fn networks_by_cli(run: &impl AsyncFn(&[&str]) -> String, json: &impl AsyncFn(&[&str]) -> Value) {
    run(&["network", "create", "--name", "cli", "--ip-range", "10.0.0.0/16"]).await;
    let subnet = ["--type", "cloud", "--network-zone", "local", "--ip-range", "10.0.1.0/24"];
    run(&[&["network", "add-subnet", "cli"][..], &subnet].concat()).await;
    run(&["server", "attach-to-network", "cli-1", "--network", "cli", "--ip", "10.0.1.5"]).await;
    let network = json(&["network", "describe", "cli"]).await;
    let server = json(&["server", "describe", "cli-1"]).await;
    assert_eq!(network["subnets"][0]["gateway"], "10.0.0.1");
    assert_eq!(network["servers"].as_array().map(Vec::len), Some(1));
    assert_eq!(server["private_net"][0]["ip"], "10.0.1.5");
    assert!(run(&["server", "describe", "cli-1"]).await.contains("10.0.1.5"), "in words too");
    run(&["server", "change-alias-ips", "cli-1", "--network", "cli", "--alias-ips", "10.0.1.6,10.0.1.7"])
        .await;
    let server = json(&["server", "describe", "cli-1"]).await;
    assert_eq!(server["private_net"][0]["alias_ips"], json!(["10.0.1.6", "10.0.1.7"]));
    let route = ["--destination", "10.100.0.0/16", "--gateway", "10.0.1.5"];
    run(&[&["network", "add-route", "cli"][..], &route].concat()).await;
    run(&["network", "change-ip-range", "cli", "--ip-range", "10.0.0.0/12"]).await;
    let network = json(&["network", "describe", "cli"]).await;
    assert_eq!(
        (&network["ip_range"], &network["routes"][0]["gateway"]),
        (&json!("10.0.0.0/12"), &json!("10.0.1.5"))
    );
    run(&[&["network", "remove-route", "cli"][..], &route].concat()).await;
    run(&["network", "enable-protection", "cli", "delete"]).await;
    run(&["network", "disable-protection", "cli", "delete"]).await;
    run(&["network", "add-label", "cli", "made-by=cli"]).await;
    run(&["network", "update", "cli", "--name", "cli-2"]).await;
    run(&["server", "detach-from-network", "cli-1", "--network", "cli-2"]).await;
    run(&["network", "remove-subnet", "cli-2", "--ip-range", "10.0.1.0/24"]).await;
    run(&["network", "delete", "cli-2"]).await;
    assert!(json(&["network", "list"]).await.as_array().is_none_or(Vec::is_empty));
}

/// hcloud-python of every interpreter that has it: Debian's, and those that `BERTH_TEST_PYTHONS` names. Returns what
/// they saw.
///
/// # Panics
/// When a script fails, or no interpreter has the library.
pub async fn hcloud_python(order: &Order<'_>) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/hcloud_python.py");
    let more = std::env::var("BERTH_TEST_PYTHONS").unwrap_or_default();
    let mut seen = Vec::new();
    for python in std::iter::once("/usr/bin/python3").chain(more.split(':').filter(|path| !path.is_empty())) {
        let mut command = Command::new(python);
        command.arg(&script);
        command.args([order.public_key, order.plan, order.image]);
        command.args(order.reverse_dns.then_some("reverse-dns"));
        let text = output(with_endpoint(&mut command, order.api)).await;
        seen.push(
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{python} prints JSON: {e}\n{text}")),
        );
    }
    seen
}

fn hcloud(api: &Api, home: &Path) -> Command {
    let mut command = Command::new(PathBuf::from("hcloud"));
    with_endpoint(&mut command, api).env("HOME", home).env("XDG_CONFIG_HOME", home);
    command
}

fn with_endpoint<'a>(command: &'a mut Command, api: &Api) -> &'a mut Command {
    command.env("HCLOUD_ENDPOINT", format!("{}/v1", api.base())).env("HCLOUD_TOKEN", api.token())
}

async fn output(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).output().await.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {}\n{out}{err}", command.as_std(), output.status);
    out.into_owned()
}
