//! Keeps bounded what would grow: metric partitions are made ahead and dropped behind, ended sessions, spent
//! enrolment tokens and old events of guests are removed. Running it twice at once, or not for a week, does no harm: samples of a day without
//! a partition land in the default one.

use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, PgPool};

/// Days of samples that are kept. Sums are made of them within minutes, or after an upgrade within hours.
const KEEP_DAYS: u64 = 30;

/// Days of sums of samples that are kept: graphs of 31 days can be asked for.
const KEEP_SUMS_DAYS: u64 = 32;

/// Days for which partitions are made ahead.
const AHEAD_DAYS: u64 = 3;

/// The tables with daily partitions, and for how many days each keeps its rows.
const TABLES: [(&str, u64); 3] =
    [("vps_samples", KEEP_DAYS), ("host_samples", KEEP_DAYS), ("vps_sums_5m", KEEP_SUMS_DAYS)];

/// Does all of it once; returns what was done.
pub(super) async fn run(db: &PgPool, today: NaiveDate) -> sqlx::Result<String> {
    let dropped = drop_old(db, today).await?;
    for (table, keep) in TABLES {
        drop_stale(db, &format!("{table}_default"), keep).await?;
        for ahead in 1..=AHEAD_DAYS {
            make_partition(db, table, today + Days::new(ahead)).await?;
        }
    }
    drop_stale(db, "vps_sums_1h", KEEP_SUMS_DAYS).await?;
    let sessions =
        sqlx::query("delete from sessions where expires_at < now()").execute(db).await?.rows_affected();
    crate::db::acting::lapse(db).await?;
    let tokens = "delete from enrol_tokens where expires_at < now() - interval '1 day'";
    let tokens = sqlx::query(tokens).execute(db).await?.rows_affected();
    crate::db::vps::forget_old_keys(db).await?;
    sqlx::query("delete from mail_links where expires_at < now()").execute(db).await?;
    sqlx::query("delete from sign_in_steps where expires_at < now()").execute(db).await?;
    crate::db::passkeys::forget(db).await?;
    crate::db::identities::forget(db).await?;
    sqlx::query("delete from invitations where expires_at < now()").execute(db).await?;
    crate::db::console::forget(db).await?;
    crate::db::streams::forget(db).await?;
    let holders = crate::db::addresses::forget(db).await?;
    crate::db::traffic::forget(db).await?;
    let events = crate::db::events::forget(db).await?;
    crate::db::networks::forget_deleted(db).await?;
    crate::db::feed::forget(db).await?;
    Ok(format!(
        "dropped {dropped} partitions, {sessions} sessions, {tokens} enrolment tokens, {events} events, {holders} holders of addresses"
    ))
}

/// A partition for a day to come. Only days ahead: the default partition may already hold rows of today.
async fn make_partition(db: &PgPool, table: &str, day: NaiveDate) -> sqlx::Result<()> {
    let sql = format!(
        "create table if not exists {} partition of {table} for values from ('{day}') to ('{}')",
        partition_name(table, day),
        day + Days::new(1)
    );
    match sqlx::query(AssertSqlSafe(sql)).execute(db).await {
        // another replica was quicker
        Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("42P07" | "23505" | "42P17")) => {
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// Rows of a table that are too old; daily partitions are dropped whole instead.
async fn drop_stale(db: &PgPool, table: &str, keep: u64) -> sqlx::Result<()> {
    let sql = format!("delete from {table} where at < now() - make_interval(days => $1)");
    let keep = i32::try_from(keep).unwrap_or(i32::MAX);
    sqlx::query(AssertSqlSafe(sql)).bind(keep).execute(db).await?;
    Ok(())
}

async fn drop_old(db: &PgPool, today: NaiveDate) -> sqlx::Result<usize> {
    let parents: Vec<String> = TABLES.iter().map(|(table, _)| (*table).to_owned()).collect();
    let partitions: Vec<(String, String)> = sqlx::query_as(
        "select p.relname::text, c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid \
         join pg_class p on p.oid = i.inhparent where p.relname = any($1)",
    )
    .bind(parents)
    .fetch_all(db)
    .await?;
    let old: Vec<_> = partitions
        .into_iter()
        .filter(|(parent, name)| {
            let keep = TABLES.iter().find(|(table, _)| table == parent).map_or(KEEP_DAYS, |(_, keep)| *keep);
            day_of(parent, name).is_some_and(|day| day + Days::new(keep) < today)
        })
        .collect();
    for (_, name) in &old {
        sqlx::query(AssertSqlSafe(format!("drop table if exists {name}"))).execute(db).await?;
    }
    Ok(old.len())
}

fn partition_name(table: &str, day: NaiveDate) -> String {
    format!("{table}_{}", day.format("%Y%m%d"))
}

/// The day of a partition that we made; none for any other table, the default partition included.
fn day_of(table: &str, partition: &str) -> Option<NaiveDate> {
    let day = partition.strip_prefix(table)?.strip_prefix('_')?;
    NaiveDate::parse_from_str(day, "%Y%m%d").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_partitions_can_be_read_back() {
        let day = NaiveDate::from_ymd_opt(2026, 2, 9).unwrap();
        let name = partition_name("vps_samples", day);
        assert_eq!(name, "vps_samples_20260209");
        assert_eq!(day_of("vps_samples", &name), Some(day));
    }

    #[test]
    fn only_our_daily_partitions_are_ever_dropped() {
        for other in
            ["vps_samples_default", "vps_samples", "vps", "vps_samples_20261399", "host_samples_20260209"]
        {
            assert_eq!(day_of("vps_samples", other), None, "{other}");
        }
    }
}
