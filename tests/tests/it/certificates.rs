//! The real agent's side of enrolment: what it believes, keeps and renews.

use berth_agent::enrol::{self, EnrolError};
use berth_agent::link::{Link, LinkError};
use berth_proto::EnrolToken;
use berth_tests::world::World;

async fn token(w: &World, host: &str) -> EnrolToken {
    w.control.host(host).await.1.parse().expect("an enrolment token")
}

#[tokio::test]
async fn a_host_believes_only_the_ca_that_its_token_names() {
    let w = World::builder().hosts(0).start().await;
    let good = token(&w, "careful").await;
    let dir = tempfile::tempdir().expect("a directory");
    let other = EnrolToken { ca_sha256: "ab".repeat(32), ..good.clone() };
    let refused = enrol::enrol(dir.path(), &other).await.expect_err("another CA");
    assert!(matches!(refused, EnrolError::Link(LinkError::Unreachable(_))), "{refused}");
    assert_eq!(enrol::load(dir.path()).expect("readable"), None);

    let identity = enrol::enrol(dir.path(), &good).await.expect("the token was not used up by that");
    assert_eq!(enrol::load(dir.path()).expect("readable"), Some(identity));
    let used_up = enrol::enrol(dir.path(), &good).await.expect_err("another key with a token that was used");
    assert!(matches!(used_up, EnrolError::Link(LinkError::Refused(_))), "{used_up}");
    w.finish().await;
}

#[tokio::test]
async fn a_renewed_certificate_takes_over_when_it_is_used() {
    let w = World::builder().hosts(0).start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let first = enrol::enrol(dir.path(), &token(&w, "old").await).await.expect("enrolled");
    let link = Link::new(&first).expect("a line");
    let watch = async |link: &Link| link.watch(0, std::time::Duration::ZERO, "").await.map(|w| w.full);
    assert!(watch(&link).await.expect("enrolled"));

    // An answer that was lost: the certificate that asked goes on.
    enrol::renew(dir.path(), &link).await.expect("renewed");
    assert!(watch(&link).await.expect("the old one is good until the new one is used"));

    let second = enrol::renew(dir.path(), &link).await.expect("renewed");
    assert_eq!(enrol::load(dir.path()).expect("readable").as_ref(), Some(&second));
    assert_eq!(second.host_id, first.host_id);
    assert_ne!((&second.key_pem, &second.certificate_pem), (&first.key_pem, &first.certificate_pem));
    link.change(&second).expect("usable");
    assert!(watch(&link).await.expect("the new one is good"));
    let stale = Link::new(&first).expect("a line");
    let refused = watch(&stale).await.expect_err("the old one ended with the first use of the new one");
    assert!(matches!(refused, LinkError::Refused(_)), "{refused}");
    w.finish().await;
}
