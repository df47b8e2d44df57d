//! What went wrong while a guest was being started: the step, the reason, and whether trying again can help.

use std::borrow::Cow;
use std::io;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub(crate) struct Failure {
    /// What was being done, for a person.
    pub(crate) step: Cow<'static, str>,
    /// Whether the image or the machine is at fault, so that the same start will fail again.
    pub(crate) terminal: bool,
    /// Why it failed.
    pub(crate) source: io::Error,
}

impl Failure {
    /// A failure that no system call reported.
    pub(crate) fn refused(step: impl Into<Cow<'static, str>>, why: &str) -> Self {
        Self { step: step.into(), terminal: true, source: io::Error::other(why) }
    }
}

/// Says at which step a result belongs.
pub(crate) trait Step<T> {
    /// Trying again may help.
    fn step(self, step: impl Into<Cow<'static, str>>) -> Result<T, Failure>;
    /// Trying again will not help.
    fn fatal(self, step: impl Into<Cow<'static, str>>) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<Cow<'static, str>>) -> Result<T, Failure> {
        self.map_err(|e| Failure { step: step.into(), terminal: false, source: e.into() })
    }

    fn fatal(self, step: impl Into<Cow<'static, str>>) -> Result<T, Failure> {
        self.map_err(|e| Failure { step: step.into(), terminal: true, source: e.into() })
    }
}
