//! Guests ask for facts about themselves, and are told about nobody else.

use std::sync::Arc;
use std::time::Duration;

use berth_agent::host::Host;
use berth_agent::metadata::Facts;
use berth_proto::{HostSettings, VpsId, VpsSpec};

use crate::tiny::{STAYS, template};
use crate::world::{self, World};

struct Known(Vec<VpsSpec>);

impl Facts for Known {
    fn spec(&self, id: VpsId) -> Option<VpsSpec> {
        self.0.iter().find(|spec| spec.id == id).cloned()
    }
}

/// Sends this from a guest's network to the service; what comes back until the end.
async fn ask(world: &World, id: VpsId, request: &str) -> String {
    let talk = format!("exec 3<>/dev/tcp/169.254.169.254/80 && printf '{request}' >&3 && timeout 20 cat <&3");
    let pid = world.pid(id).to_string();
    let output = tokio::process::Command::new("nsenter")
        .args(["-t", &pid, "-n", "timeout", "30", "bash", "-c", &talk])
        .output()
        .await
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

async fn get(world: &World, id: VpsId, path: &str) -> String {
    let said = ask(world, id, &format!("GET {path} HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\n\\r\\n")).await;
    let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {said:?}"));
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    body.to_owned()
}

#[test]
fn each_guest_is_told_its_own_facts() {
    world::run(async |world| {
        let settings = HostSettings {
            nat_pools: vec!["10.77.0.0/16".into()],
            region: "north".into(),
            availability_zone: "north-dc1".into(),
            ..HostSettings::default()
        };
        world.host.configure(&settings).await.unwrap();
        let image = template(world, STAYS, |_| {});
        let (mut one, mut two) = (world.spec(&image), world.spec(&image));
        one.hostname = "one".into();
        one.user_data = Some("#!/bin/sh\necho secret of one\n".into());
        two.hostname = "two".into();
        for spec in [&one, &two] {
            world.host.create_disk(spec).await.unwrap();
            world.host.start(spec).await.unwrap();
        }
        let facts: Arc<dyn Facts> = Arc::new(Known(vec![one.clone(), two.clone()]));
        tokio::select! {
            () = world.host.serve_metadata(facts.clone()) => unreachable!("it serves for ever"),
            () = questions(world, &one, &two) => {}
        }
        // another agent, another port
        world.restart_agent().await;
        world.host.configure(&settings).await.unwrap();
        tokio::select! {
            () = world.host.serve_metadata(facts) => unreachable!("it serves for ever"),
            () = async { assert_eq!(eventually(world, two.id, "/hostname").await, "two") } => {}
        }
    });
}

/// The way to the listener is made while it begins to serve.
async fn eventually(world: &World, id: VpsId, path: &str) -> String {
    for _ in 0..300 {
        if ask(world, id, "GET /hostname HTTP/1.1\\r\\n\\r\\n").await.starts_with("HTTP/1.1 200") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    get(world, id, path).await
}

async fn questions(world: &World, one: &VpsSpec, two: &VpsSpec) {
    assert_eq!(eventually(world, one.id, "/hetzner/v1/metadata/hostname").await, "one");
    assert_eq!(get(world, two.id, "/hetzner/v1/metadata/hostname").await, "two");
    assert_eq!(get(world, one.id, "/hetzner/v1/userdata").await, "#!/bin/sh\necho secret of one\n");
    assert_eq!(get(world, two.id, "/hetzner/v1/userdata").await, "");
    let all = get(world, two.id, "/hetzner/v1/metadata").await;
    for line in [
        format!("instance-id: {}\n", two.id),
        format!("public-ipv4: \"{}\"\n", two.net.ipv4.unwrap()),
        "availability-zone: \"north-dc1\"\n".to_owned(),
        "region: \"north\"\n".to_owned(),
        "hostname: \"two\"\n".to_owned(),
    ] {
        assert!(all.contains(&line), "{line}{all}");
    }
    // headers change nothing
    let forged = format!(
        "GET /hostname HTTP/1.1\\r\\nHost: one\\r\\nX-Forwarded-For: {}\\r\\nX-Instance-Id: {}\\r\\n\\r\\n",
        one.net.ipv4.unwrap(),
        one.id
    );
    assert!(ask(world, two.id, &forged).await.ends_with("\r\n\r\ntwo"));
    // one that opens more than its share and says nothing shuts out itself only
    let hog = "for i in $(seq 20); do exec {fd}<>/dev/tcp/169.254.169.254/80; done; read -t 1; cat <&${fd}";
    let pid = world.pid(one.id).to_string();
    let mut hogging = tokio::process::Command::new("nsenter")
        .args(["-t", &pid, "-n", "timeout", "60", "bash", "-c", hog])
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await; // not awaited: whatever it has come to, the other is served
    assert_eq!(get(world, two.id, "/hostname").await, "two");
    hogging.wait().await.unwrap();
    assert_eq!(get(world, one.id, "/hostname").await, "one");
}
