use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::TSigResponseContext;
use hickory_proto::rr::rdata::tsig::TsigError;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const NOW: u64 = 1_790_000_000;

fn name_server(server: SocketAddr, secret: &[u8]) -> NameServer {
    let zones = vec![Zone::parse("zones", "2.0.192.in-addr.arpa").unwrap()];
    NameServer::new(server, zones, 3600, ("berth", Algorithm::HmacSha256, secret.to_vec())).unwrap()
}

fn mine() -> NameServer {
    name_server(([127, 0, 0, 1], 53).into(), &[7; 32])
}

fn ip() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

/// What a server with this key would answer.
fn answered(key: &NameServer, question: &[u8], code: ResponseCode, error: Option<TsigError>) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let mut answer = Message::response(question.id, OpCode::Update);
    answer.metadata.response_code = code;
    let mac = question.signature().unwrap().data.mac.clone();
    let context = TSigResponseContext::new(question.id, NOW, key.key.clone(), mac, error);
    let signature = context.sign(&answer.to_vec().unwrap()).unwrap();
    answer.set_signature(signature);
    answer.to_vec().unwrap()
}

#[test]
fn a_message_says_the_zone_the_end_of_the_old_and_the_new() {
    let (id, bytes, _) = mine().message(ip(), Some("www.example.com"), NOW).unwrap();
    let message = Message::from_vec(&bytes).unwrap();
    assert_eq!((message.id, message.op_code), (id, OpCode::Update));
    assert_eq!(message.queries[0].name().to_ascii(), "2.0.192.in-addr.arpa.");
    assert_eq!(message.queries[0].query_type(), RecordType::SOA);
    let [none, new] = &message.authorities[..] else { panic!("{message:?}") };
    assert_eq!(
        (none.name.to_ascii().as_str(), none.dns_class, none.ttl),
        ("7.2.0.192.in-addr.arpa.", DNSClass::ANY, 0)
    );
    assert_eq!((&new.name, new.dns_class, new.ttl), (&none.name, DNSClass::IN, 3600));
    let RData::PTR(target) = &new.data else { panic!("{new:?}") };
    assert_eq!(target.0.to_ascii(), "www.example.com.");
    assert_eq!(message.signature().unwrap().name.to_ascii(), "berth.");

    let (_, bytes, _) = mine().message(ip(), None, NOW).unwrap();
    assert_eq!(Message::from_vec(&bytes).unwrap().authorities.len(), 1, "only the end of the old");
    assert!(mine().message("198.51.100.1".parse().unwrap(), None, NOW).is_err(), "in no zone");
}

#[test]
fn only_what_is_signed_is_done() {
    let read = |answer: &dyn Fn(&[u8]) -> Vec<u8>| {
        let (id, question, mut verifier) = mine().message(ip(), None, NOW).unwrap();
        answer::read(&answer(&question), id, &mut verifier)
    };
    assert_eq!(read(&|q| answered(&mine(), q, ResponseCode::NoError, None)), Ok(()));
    let stranger = name_server(mine().server, &[8; 32]);
    let unanswered = |result: Result<(), Fault>, why: &str| match result {
        Err(Fault::Unanswered(text)) => assert!(text.contains(why), "{text}"),
        other => panic!("{why}: {other:?}"),
    };
    unanswered(read(&|q| answered(&stranger, q, ResponseCode::NoError, None)), "signature");
    unanswered(read(&|q| q.to_vec()), "no answer to an update");
    unanswered(read(&|_| vec![0xff; 40]), "");
    unanswered(read(&|q| answered(&mine(), q, ResponseCode::ServFail, None)), "SERVFAIL");
    unanswered(
        read(&|q| {
            let id = Message::from_vec(q).unwrap().id;
            Message::response(id, OpCode::Update).to_vec().unwrap()
        }),
        "not signed",
    );
    unanswered(
        read(&|q| {
            let id = Message::from_vec(q).unwrap().id;
            Message::response(id.wrapping_add(1), OpCode::Update).to_vec().unwrap()
        }),
        "another question",
    );
}

#[test]
fn a_refusal_says_what_to_do() {
    let refused = |code, tsig: Option<TsigError>| {
        let (id, question, mut verifier) = mine().message(ip(), None, NOW).unwrap();
        let question = Message::from_vec(&question).unwrap();
        let mut answer = Message::response(question.id, OpCode::Update);
        answer.metadata.response_code = code;
        if let Some(tsig) = tsig {
            let mut signature = question.signature.clone().unwrap();
            signature.data.mac.clear();
            signature.data.error = Some(tsig);
            answer.set_signature(signature);
        }
        match answer::read(&answer.to_vec().unwrap(), id, &mut verifier) {
            Err(Fault::Refused(text)) => text,
            other => panic!("{other:?}"),
        }
    };
    for (code, tsig, says) in [
        (ResponseCode::NotAuth, Some(TsigError::BadKey), "BADKEY"),
        (ResponseCode::NotAuth, Some(TsigError::BadSig), "BADSIG"),
        (ResponseCode::NotAuth, Some(TsigError::BadTime), "BADTIME"),
        (ResponseCode::NotAuth, None, "NOTAUTH"),
        (ResponseCode::NotZone, None, "NOTZONE"),
        (ResponseCode::Refused, None, "REFUSED"),
        (ResponseCode::NotImp, None, "NOTIMP"),
        (ResponseCode::FormErr, None, "refuses"),
    ] {
        let text = refused(code, tsig);
        assert!(text.contains(says), "{text}");
    }
}

proptest! {
    #[test]
    fn garbage_is_never_done(tail in prop::collection::vec(any::<u8>(), 0..600), keep in 0_usize..80) {
        let (id, question, mut verifier) = mine().message(ip(), Some("a.example"), NOW).unwrap();
        let mut bytes = answered(&mine(), &question, ResponseCode::NoError, None);
        let whole = bytes.clone();
        bytes.truncate(keep);
        bytes.extend(tail);
        prop_assume!(bytes != whole);
        prop_assert!(answer::read(&bytes, id, &mut verifier).is_err());
    }
}

/// Servers that do not behave: each does its worst with one connection.
#[tokio::test]
async fn no_server_is_waited_for_without_end() {
    let worst: [(&[u8], &str); 4] = [
        (b"", "broke off"),
        (b"\0\x05hello", "no DNS message"),
        (b"\xff\xff only some of it", "broke off"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "broke off"),
    ];
    for (bytes, why) in worst {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let behave = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            stream.read_exact(&mut vec![0; length.into()]).await.unwrap();
            stream.write_all(bytes).await.unwrap();
        };
        let client = name_server(server, &[7; 32]);
        let (written, ()) = tokio::join!(client.write(ip(), None), behave);
        match written {
            Err(Fault::Unanswered(text)) => assert!(text.contains(why), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = name_server(nobody, &[7; 32]).write(ip(), None).await;
    assert!(matches!(refused, Err(Fault::Unanswered(text)) if text.contains("no connection")));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = exchange::exchange(listener.local_addr().unwrap(), b"anything", Duration::from_millis(100));
    let (heard, _held) = tokio::join!(asked, listener.accept());
    assert_eq!(heard, Err("no answer within 0 s".to_owned()));
}
