//! Telling a name server which name an address leads to: RFC 2136 over TCP, signed with TSIG (RFC 8945).
//!
//! One message a name: "no PTR record here, and then this one", which the name server does whole or not at all. Sent twice
//! it does the same, so a message whose answer was lost is simply sent again. Nothing is asked and nothing is kept: what is
//! wanted is in the database (`db/reverse`), and a background task brings the name server to it (`tasks/reverse`).
//!
//! The name server is not trusted: it has a time to answer in, its answer is read within bounds, and only an answer that
//! is signed with the key counts as done. A refusal counts without a signature too, because a server that does not know
//! the key cannot sign; whoever is on the way could forge one, but could as well cut the wire.

mod answer;
mod exchange;

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigVerifier, TSigner};

use crate::domain::reverse::Zone;

/// How far the clocks of both sides may be apart, seconds; what RFC 8945 recommends.
const FUDGE_S: u16 = 300;

/// How a TSIG key signs.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[schema(as = operators::KeyAlgorithm)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    HmacSha256,
    /// HMAC with SHA-512.
    HmacSha512,
}

impl Algorithm {
    /// The name, as the DNS and the database spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    /// The algorithm of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::HmacSha256, Self::HmacSha512].into_iter().find(|a| a.as_str() == name)
    }
}

/// Where names are written, and with which key.
pub(crate) struct NameServer {
    pub(crate) server: SocketAddr,
    pub(crate) zones: Vec<Zone>,
    pub(crate) ttl_s: u32,
    key: TSigner,
}

/// Why a name was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No usable answer came; the next try may get one.
    Unanswered(String),
    /// The name server will not, and nothing will change that but its operator.
    Refused(String),
}

impl NameServer {
    /// Puts it together.
    ///
    /// # Errors
    /// When the key's name is no name.
    pub(crate) fn new(
        server: SocketAddr,
        zones: Vec<Zone>,
        ttl_s: u32,
        (name, algorithm, secret): (&str, Algorithm, Vec<u8>),
    ) -> anyhow::Result<Self> {
        let algorithm = match algorithm {
            Algorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
            Algorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
        };
        let name = fully(name).context("the name of the key")?;
        let key =
            TSigner::new(secret, algorithm, name, FUDGE_S).map_err(|e| anyhow::anyhow!("the key: {e}"))?;
        Ok(Self { server, zones, ttl_s, key })
    }

    /// Makes an address lead to this name and to no other; without a name, to none.
    pub(crate) async fn write(&self, ip: IpAddr, name: Option<&str>) -> Result<(), Fault> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (id, sent, mut verifier) = self
            .message(ip, name, now)
            .map_err(|e| Fault::Refused(format!("no message can be made of it: {e:#}")))?;
        let received =
            exchange::exchange(self.server, &sent, exchange::WHOLE).await.map_err(Fault::Unanswered)?;
        answer::read(&received, id, &mut verifier)
    }

    /// The message, its id, and what tells its answer from forgeries.
    fn message(
        &self,
        ip: IpAddr,
        name: Option<&str>,
        now: u64,
    ) -> anyhow::Result<(u16, Vec<u8>, TSigVerifier)> {
        let zone =
            Zone::of(&self.zones, ip).with_context(|| format!("{ip} is in none of the pool's zones"))?;
        let mut query = Query::query(fully(zone.name())?, RecordType::SOA);
        query.set_query_class(DNSClass::IN);
        let id = rand::random();
        let mut message = Message::new(id, MessageType::Query, OpCode::Update);
        message.add_query(query);
        let mut owner = Name::from(ip);
        owner.set_fqdn(true);
        let mut none = Record::update0(owner.clone(), 0, RecordType::PTR);
        none.dns_class = DNSClass::ANY;
        message.add_authority(none); // the update section takes this one's place
        if let Some(name) = name {
            message.add_authority(Record::from_rdata(owner, self.ttl_s, RData::PTR(PTR(fully(name)?))));
        }
        let verifier = message.finalize(&self.key, now)?.context("the signature has no counterpart")?;
        Ok((id, message.to_vec()?, verifier))
    }
}

/// A name, taken as complete.
fn fully(name: &str) -> anyhow::Result<Name> {
    let mut name = Name::from_ascii(name)?;
    name.set_fqdn(true);
    Ok(name)
}

#[cfg(test)]
mod tests;
