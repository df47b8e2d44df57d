//! Consoles of simulated guests: they greet, echo keys to every viewer, and say what size they were given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use berth_proto::VpsId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::broadcast::{self, error::RecvError};

/// What a viewer sees first.
#[must_use]
pub fn greeting(id: VpsId) -> String {
    format!("simulated console of {id}\r\n")
}

/// All consoles of a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Consoles(Arc<Mutex<HashMap<VpsId, broadcast::Sender<Vec<u8>>>>>);

impl Consoles {
    /// A viewer of a guest that runs.
    pub(super) fn open(&self, id: VpsId) -> DuplexStream {
        let output = self.output(id);
        let mut shown = output.subscribe();
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (mut keys, mut screen) = tokio::io::split(ours);
        let echo = output.downgrade();
        drop(output);
        tokio::spawn(async move {
            let typed = async {
                let mut bytes = [0; 1024];
                while let Ok(n @ 1..) = keys.read(&mut bytes).await {
                    let Some(all) = echo.upgrade() else { return };
                    let _ = all.send(bytes[..n].to_vec()); // nobody looks: fine
                }
            };
            let seen = async {
                let mut next = greeting(id).into_bytes();
                while screen.write_all(&next).await.is_ok() {
                    next = loop {
                        match shown.recv().await {
                            Ok(bytes) => break bytes,
                            Err(RecvError::Lagged(_)) => {}
                            Err(RecvError::Closed) => return,
                        }
                    };
                }
            };
            tokio::select! { () = typed => {}, () = seen => {} }
        });
        theirs
    }

    /// Something appears on the console.
    pub(super) fn print(&self, id: VpsId, text: &str) {
        let _ = self.output(id).send(text.as_bytes().to_vec()); // nobody looks: fine
    }

    /// The guest has ended: every viewer's stream does.
    pub(super) fn close(&self, id: VpsId) {
        self.0.lock().expect("no code panics while holding this lock").remove(&id);
    }

    fn output(&self, id: VpsId) -> broadcast::Sender<Vec<u8>> {
        let mut all = self.0.lock().expect("no code panics while holding this lock");
        all.entry(id).or_insert_with(|| broadcast::channel(64).0).clone()
    }
}
