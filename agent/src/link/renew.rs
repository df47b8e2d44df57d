//! Gets the next certificate before this one ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::Link;
use crate::backoff;
use crate::enrol;

/// How often the certificate's age is looked at.
const LOOK: Duration = Duration::from_secs(3600);

/// Runs until the agent ends.
pub(crate) async fn run(link: Arc<Link>, state_dir: PathBuf) {
    let mut failures = 0;
    loop {
        match enrol::should_renew(&link.certificate_pem(), Utc::now().timestamp()) {
            Ok(false) => failures = 0,
            Ok(true) => match renew(&link, &state_dir).await {
                Ok(()) => {
                    failures = 0;
                    tracing::info!("the certificate was renewed");
                }
                Err(error) => {
                    failures += 1;
                    tracing::error!(%error, "the certificate cannot be renewed");
                }
            },
            Err(error) => tracing::error!(%error, "the certificate cannot be judged"),
        }
        let again = backoff::doubled(Duration::from_secs(60), LOOK, failures, rand::random());
        tokio::time::sleep(if failures > 0 { again } else { LOOK }).await;
    }
}

async fn renew(link: &Link, state_dir: &std::path::Path) -> Result<(), enrol::EnrolError> {
    let identity = enrol::renew(state_dir, link).await?;
    Ok(link.change(&identity)?)
}
