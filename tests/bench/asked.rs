//! What Incus's documentation asks of a server that holds many containers ("Server settings for a production setup"):
//! its containers share one range of ids, and with it one allowance of root's. Set while it is measured.

use std::path::Path;

const SETTINGS: [(&str, &str); 5] = [
    ("fs/inotify/max_queued_events", "1048576"),
    ("fs/inotify/max_user_instances", "1048576"),
    ("fs/inotify/max_user_watches", "1048576"),
    ("kernel/keys/maxkeys", "2000"),
    ("kernel/keys/maxbytes", "2000000"),
];

/// The machine's settings as they were; they are so again when this is dropped.
#[derive(Debug)]
pub(crate) struct Asked(Vec<(&'static str, String)>);

impl Asked {
    /// Sets them.
    pub(crate) fn set() -> Self {
        let mut before = Vec::new();
        for (name, wanted) in SETTINGS {
            let file = Path::new("/proc/sys").join(name);
            let was = std::fs::read_to_string(&file).expect("this kernel has the setting");
            std::fs::write(&file, wanted).expect("root may change it");
            before.push((name, was));
        }
        Self(before)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        for (name, was) in &self.0 {
            if let Err(e) = std::fs::write(Path::new("/proc/sys").join(name), was) {
                eprintln!("{name} was {was}: {e}");
            }
        }
    }
}
