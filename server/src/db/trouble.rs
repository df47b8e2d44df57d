//! What operators should look at: actions that do not end, and those that failed within a day.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::error::Result;

/// Minutes after which an action that has not ended is told. Making a server on a host that has to fetch its image first
/// takes longest, and is over by then.
const STUCK_MINUTES: i32 = 10;

/// An action in trouble.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Which action.
    pub id: i64,
    /// What was asked.
    pub command: String,
    /// Whether it failed; else it does not end.
    pub failed: bool,
    /// Why, as a code.
    pub error_code: Option<String>,
    /// Why, for people.
    pub error_message: Option<String>,
    /// Whose it is.
    pub project_id: i64,
    /// That project's name.
    pub project: String,
    /// Name of the VPS that it is about.
    pub vps: Option<String>,
    /// The host of that VPS.
    pub host_id: Option<i64>,
    /// That host's name.
    pub host: Option<String>,
    /// When it was asked.
    pub started_at: DateTime<Utc>,
}

/// Actions in trouble, those that do not end first; at most so many.
pub async fn actions(db: &PgPool, most: i64) -> Result<Vec<Trouble>> {
    let found = sqlx::query_as!(
        Trouble,
        r#"select a.id, a.command, a.status = 'error' as "failed!", a.error_code, a.error_message, a.project_id,
                  p.name as project, v.name as "vps?", h.id as "host_id?", h.name as "host?", a.started_at
           from actions a join projects p on p.id = a.project_id
                left join vps v on v.id = a.vps_id left join hosts h on h.id = v.host_id
           where a.status <> 'success'
             and (a.status = 'running' and a.started_at < now() - make_interval(mins => $1)
                  or a.status = 'error' and a.finished_at > now() - interval '24 hours')
           order by a.status = 'error', a.id desc limit $2"#,
        STUCK_MINUTES,
        most
    );
    Ok(found.fetch_all(db).await?)
}
