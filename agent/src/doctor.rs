//! What this host has and lacks for VPSes, and what a lack costs.
//!
//! Every check is cheap and changes nothing. Whether a kernel feature that is built as a module would load cannot be
//! known without loading it; a module that lies ready counts as there.

mod kernel;
mod programs;
mod settings;

use berth_proto::MissingFeature;

use crate::linux::LinuxConfig;

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// Short name, for instance `loop`.
    pub feature: &'static str,
    /// Whether it is there.
    pub ok: bool,
    /// What was found, for people.
    pub detail: String,
    /// What a lack costs, in a sentence.
    pub consequence: &'static str,
    /// Whether no VPS can run without it.
    pub fatal: bool,
}

impl Check {
    /// Without it no VPS can run.
    fn needed(feature: &'static str, ok: bool, detail: impl Into<String>, consequence: &'static str) -> Self {
        Self { feature, ok, detail: detail.into(), consequence, fatal: true }
    }

    /// Without it something is worse.
    fn wanted(feature: &'static str, ok: bool, detail: impl Into<String>, consequence: &'static str) -> Self {
        Self { feature, ok, detail: detail.into(), consequence, fatal: false }
    }
}

/// Looks at everything. Cheap; loads no kernel module and changes nothing.
pub async fn examine(config: &LinuxConfig) -> Vec<Check> {
    let config = config.clone();
    let look =
        move || [kernel::checks(&config), programs::checks(&config), settings::checks(&config)].concat();
    // A look never panics on purpose; if it does, that is a finding too.
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| {
        vec![Check::needed(
            "doctor",
            false,
            error.to_string(),
            "the examination itself failed; this is a bug",
        )]
    })
}

/// What the checks found missing, as the control plane is told.
#[must_use]
pub fn missing(checks: &[Check]) -> Vec<MissingFeature> {
    let lacking = checks.iter().filter(|check| !check.ok);
    lacking
        .map(|check| MissingFeature {
            feature: check.feature.to_owned(),
            consequence: check.consequence.to_owned(),
            fatal: check.fatal,
        })
        .collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_lacks_is_reported() {
        let checks = examine(&LinuxConfig::default()).await;
        assert!(checks.len() > 15);
        let missing = missing(&checks);
        assert_eq!(missing.len(), checks.iter().filter(|check| !check.ok).count());
        let names: std::collections::HashSet<_> = checks.iter().map(|check| check.feature).collect();
        assert_eq!(names.len(), checks.len(), "every check has a name of its own");
    }
}
