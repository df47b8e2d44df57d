//! Things that exist once for a whole installation, as JSON by name.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgPool;

/// The fleet's certificate authority (see `fleet::ca`).
pub const CA: &str = "fleet_ca";
/// Base URL of the agents' listener, as enrolment tokens name it; written by every server that starts.
pub const AGENT_URL: &str = "agent_url";
/// Whether the first start is over (see `first_start`).
pub const FIRST_START: &str = "first_start";

/// Day on which months of traffic begin, 1 to 28; read by the database's function `traffic_period` too.
pub const TRAFFIC_RESET_DAY: &str = "traffic_reset_day";

/// Who may make an account: `open` (anybody, where mail leaves), `invited` (the default) or `off` (operators make them).
pub const SIGN_UP: &str = "sign_up";

/// Quotas of projects that people make themselves.
pub const DEFAULT_QUOTAS: &str = "default_quotas";

/// The value under `key`.
///
/// # Errors
/// When the database fails, or the value is not of this type.
pub async fn get<T: DeserializeOwned>(db: &PgPool, key: &str) -> anyhow::Result<Option<T>> {
    let value =
        sqlx::query_scalar!("select value from settings where key = $1", key).fetch_optional(db).await?;
    Ok(value.map(serde_json::from_value).transpose()?)
}

/// Sets the value under `key`, whatever it was.
///
/// # Errors
/// When the database fails.
pub async fn set(db: &PgPool, key: &str, value: impl Serialize) -> anyhow::Result<()> {
    let value = serde_json::to_value(value)?;
    sqlx::query!(
        "insert into settings (key, value) values ($1, $2) on conflict (key) do update set value = $2",
        key,
        value
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The value under `key`; `value` becomes it when there was none. Replicas that start at the same time agree.
///
/// # Errors
/// When the database fails, or the value is not of this type.
pub async fn get_or_insert<T: Serialize + DeserializeOwned>(
    db: &PgPool,
    key: &str,
    value: T,
) -> anyhow::Result<T> {
    let value = serde_json::to_value(value)?;
    sqlx::query!(
        "insert into settings (key, value) values ($1, $2) on conflict (key) do nothing",
        key,
        value
    )
    .execute(db)
    .await?;
    get(db, key).await?.ok_or_else(|| anyhow::anyhow!("the setting {key} was removed while it was read"))
}
