//! Tests in a real browser are written for Node (`tests/browser`); here they are run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A run of these test files, which the caller tells what they need. Installs what the lockfile names if it is not there.
///
/// # Panics
/// When that fails.
#[must_use]
pub fn tests(files: &[&str]) -> Command {
    let mut node = installed();
    node.args(["--test", "--test-reporter=spec", "--test-concurrency=1"]).args(files);
    node
}

/// A run of this file, which is no test by itself.
///
/// # Panics
/// When what it needs cannot be installed.
#[must_use]
pub fn script(file: &str) -> Command {
    let mut node = installed();
    node.arg(file);
    node
}

fn installed() -> Command {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/browser"));
    let (wanted, there) = (dir.join("package-lock.json"), dir.join("node_modules/.package-lock.json"));
    let written = |file: &PathBuf| std::fs::metadata(file).and_then(|m| m.modified()).ok();
    // Tests are processes of their own: whoever comes first installs, and the others wait for that.
    let turn = std::fs::File::open(&wanted).expect("the lockfile of the browser's tests");
    turn.lock().expect("a lock on it");
    if written(&there) < written(&wanted) {
        let mut npm = Command::new("npm");
        run(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&dir));
    }
    drop(turn);
    let mut node = Command::new("node");
    node.current_dir(dir);
    node
}

/// Runs a command to its good end, and shows what it says.
///
/// # Panics
/// When it fails.
pub fn run(command: &mut Command) {
    let out = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let told = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    println!("{told}");
    assert!(out.status.success(), "{command:?} failed:\n{told}");
}
