//! What an answer means.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::TSigVerifier;
use hickory_proto::rr::rdata::tsig::TsigError;

use super::Fault;

/// Reads the answer to the message `id`. Done is only what is said so under the key.
pub(super) fn read(bytes: &[u8], id: u16, verifier: &mut TSigVerifier) -> Result<(), Fault> {
    let unusable = |why: &str| Err(Fault::Unanswered(why.into()));
    let Ok(answer) = Message::from_vec(bytes) else { return unusable("its answer is no DNS message") };
    if answer.id != id {
        return unusable("its answer is to another question");
    }
    if answer.message_type != MessageType::Response || answer.op_code != OpCode::Update {
        return unusable("what it sent is no answer to an update");
    }
    let signature = answer.signature().map(|record| &record.data);
    match answer.response_code {
        ResponseCode::NoError => {
            // The library reckons with these two; no honest server is in 1970.
            if signature.is_none_or(|signature| signature.time < u64::from(signature.fudge)) {
                return unusable("its answer is not signed");
            }
            let checked = verifier.verify(bytes);
            checked.map(drop).or_else(|e| unusable(&format!("the signature of its answer is wrong ({e})")))
        }
        ResponseCode::ServFail => unusable("it says that it failed (SERVFAIL); its log says why"),
        code => Err(Fault::Refused(refusal(code, signature.and_then(|signature| signature.error)))),
    }
}

/// Why it will not, and who can mend it.
fn refusal(code: ResponseCode, tsig: Option<TsigError>) -> String {
    match (code, tsig) {
        (_, Some(TsigError::BadKey)) => {
            "it does not know the key (BADKEY): name and algorithm must be as in its configuration".into()
        }
        (_, Some(TsigError::BadSig | TsigError::BadTrunc)) => {
            "it does not accept the signature (BADSIG): the key's secret must be as in its configuration"
                .into()
        }
        (_, Some(TsigError::BadTime)) => {
            "its clock and ours are more than 5 minutes apart (BADTIME): set them right".into()
        }
        (ResponseCode::NotAuth, _) => {
            "it is not the primary server of the zone (NOTAUTH): give the zone's primary server".into()
        }
        (ResponseCode::NotZone, _) => "the address is not in its zone (NOTZONE): give the right zones".into(),
        (ResponseCode::Refused, _) => {
            "it does not let this key change the zone (REFUSED): allow the key to update PTR records".into()
        }
        (ResponseCode::NotImp, _) => "it knows no updates (NOTIMP): give a server that takes RFC 2136".into(),
        (other, _) => format!("it refuses the update ({other})"),
    }
}
