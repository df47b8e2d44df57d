//! How mail leaves: by the SMTP server that the operator names, and by nothing else. Without one there is no sign-up and no
//! reset of passwords by mail, and pages say so.

use std::time::Duration;

use anyhow::Context as _;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::config::Config;
use crate::db::mails::Mail;

/// How long a mail server may take for one mail.
const PATIENCE: Duration = Duration::from_secs(20);

/// A way out for mail.
#[derive(Clone, Debug)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// What the configuration names; none when it names none.
    ///
    /// # Errors
    /// When the URL or the sender's address is none.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(url) = &config.smtp_url else { return Ok(None) };
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .context("BERTH_SMTP_URL must be smtp://host:port or smtps://user:password@host")?
            .timeout(Some(PATIENCE))
            .build();
        let from = config
            .mail_from
            .parse()
            .context("BERTH_MAIL_FROM must be an address, as Berth <berth@example.com>")?;
        Ok(Some(Self { transport, from }))
    }

    /// Sends a mail; the error is what the mail server said.
    pub(crate) async fn send(&self, mail: &Mail) -> Result<(), String> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(mail.recipient.parse::<Mailbox>().map_err(|e| e.to_string())?)
            .subject(&mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.body.clone())
            .map_err(|e| e.to_string())?;
        self.transport.send(message).await.map(|_| ()).map_err(|e| e.to_string())
    }
}
