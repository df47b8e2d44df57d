//! Sends the mail that waits (see [`crate::db::mails`]).

use std::time::Duration;

use super::Tasks;
use crate::app::App;
use crate::db::mails;

pub(super) async fn watch(app: App, tasks: Tasks) {
    let Some(mailer) = app.mailer.clone() else { return };
    let mut timer = tokio::time::interval(Duration::from_secs(1));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let mut sent = 0;
        let outcome = loop {
            match mails::send_next(&app.db, async |mail| mailer.send(mail).await).await {
                Ok(Some(Ok(()))) => sent += 1,
                Ok(Some(Err(e))) => break Err(e),
                Ok(None) => break Ok(format!("sent {sent}")),
                Err(e) => break Err(e.to_string()),
            }
        };
        tasks.ran("mail", outcome);
    }
}
