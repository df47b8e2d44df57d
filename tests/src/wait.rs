//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How often a condition is looked at. A condition that is true already costs nothing.
const POLL: Duration = Duration::from_millis(20);

/// Asks `look` until it gives a value and returns that.
///
/// # Panics
/// When `deadline` passes; the message says what was waited for, and `look`'s last word about it.
pub async fn until<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(last) if start.elapsed() > deadline => {
                panic!("waited {deadline:?} for {what}; at last: {last}")
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// As [`until`], for conditions that are looked at without waiting.
///
/// # Panics
/// When `deadline` passes.
pub fn until_blocking<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(last) if start.elapsed() > deadline => {
                panic!("waited {deadline:?} for {what}; at last: {last}")
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
