//! A guest's console, as its viewers have it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use berth_agent::monitor::wire::Request;
use berth_proto::VpsId;

use crate::world::World;

/// One viewer.
pub(crate) struct Console {
    stream: UnixStream,
    /// All that came.
    pub(crate) seen: String,
}

impl Console {
    /// Opens it; the history comes first.
    pub(crate) fn open(world: &World, id: VpsId) -> Self {
        let socket = world.config.run_dir.join(id.to_string()).join("ctl.sock");
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        writeln!(stream, "{}", serde_json::to_string(&Request::Console).unwrap()).unwrap();
        Self { stream, seen: String::new() }
    }

    /// Waits until something has been shown.
    pub(crate) fn until(&mut self, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut bytes = [0; 4096];
        while !self.seen.contains(wanted) {
            assert!(Instant::now() < deadline, "no {wanted:?} on the console: {}", self.seen);
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!("the console closed before {wanted:?}: {}", self.seen),
                Ok(n) => self.seen.push_str(&String::from_utf8_lossy(&bytes[..n])),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Types a line.
    pub(crate) fn enter(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\r").as_bytes()).unwrap();
    }
}
