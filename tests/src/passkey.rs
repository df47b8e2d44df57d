//! A device that keeps one passkey, without a browser: enough of WebAuthn to make one and to show it, honestly or not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

/// A phone, a computer, a security key.
#[derive(Debug)]
pub struct Device {
    key: KeyPair,
    id: Vec<u8>,
    handle: Option<String>,
    /// How often it has signed.
    pub counter: u32,
    /// Whether it looks who holds it.
    pub verifies: bool,
}

impl Default for Device {
    fn default() -> Self {
        let key = KeyPair::generate().expect("a key");
        Self { key, id: rand::random::<[u8; 16]>().to_vec(), handle: None, counter: 0, verifies: true }
    }
}

impl Device {
    /// Makes its passkey, as a page at `origin` asked.
    ///
    /// # Panics
    /// When the options are none.
    pub fn make(&mut self, options: &Value, origin: &str) -> String {
        let asked = &options["publicKey"];
        self.handle = Some(asked["user"]["id"].as_str().expect("whose it is to be").to_owned());
        let client = client("webauthn.create", asked, origin);
        let mut data = self.data(asked["rp"]["id"].as_str().expect("for whom"), ATTESTED);
        data.extend([0; 16]); // of no known make
        data.extend(u16::try_from(self.id.len()).expect("short").to_be_bytes());
        data.extend(&self.id);
        // COSE: EC2, ES256, P-256, x, y.
        let point = self.key.public_key_raw();
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(&point[33..65]);
        // CBOR: {"fmt": "none", "attStmt": {}, "authData": data}
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).expect("below 256"));
        object.extend(data);
        self.say(&json!({"clientDataJSON": text(&client), "attestationObject": text(&object)}))
    }

    /// Shows its passkey, as a page at `origin` asked.
    ///
    /// # Panics
    /// When the options are none.
    pub fn show(&mut self, options: &Value, origin: &str) -> String {
        let asked = &options["publicKey"];
        self.counter += 1;
        let client = client("webauthn.get", asked, origin);
        let data = self.data(asked["rpId"].as_str().expect("for whom"), 0);
        let signed = [&data[..], &Sha256::digest(&client)].concat();
        let signature = self.key.sign(&signed).expect("a signature");
        self.say(&json!({"clientDataJSON": text(&client), "authenticatorData": text(&data),
                         "signature": text(&signature), "userHandle": self.handle}))
    }

    fn data(&self, rp: &str, flags: u8) -> Vec<u8> {
        let flags = flags | PRESENT | if self.verifies { VERIFIED } else { 0 };
        let mut data = Sha256::digest(rp.as_bytes()).to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    fn say(&self, response: &Value) -> String {
        let id = text(&self.id);
        json!({"id": id, "rawId": id, "type": "public-key", "response": response, "extensions": {}})
            .to_string()
    }
}

fn client(kind: &str, asked: &Value, origin: &str) -> Vec<u8> {
    let said = json!({"type": kind, "challenge": asked["challenge"], "origin": origin, "crossOrigin": false});
    said.to_string().into_bytes()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
