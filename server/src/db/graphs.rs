//! What lists show of the load: CPU in use now, from the newest two samples of each VPS.

use std::collections::HashMap;

use sqlx::PgPool;

use crate::error::Result;

/// Cores in use by VPS (0.5 is half a core). A VPS without two samples within the last minute and a half is left out, and
/// so is one whose counter fell: its guest was started in between. Whether the caller may see them is decided before.
pub async fn cpu_now(db: &PgPool, vpses: &[i64]) -> Result<HashMap<i64, f64>> {
    let rows = sqlx::query!(
        r#"select w.id as "id!", max(s.cpu_usec) - min(s.cpu_usec) as "usec!",
                  (extract(epoch from max(s.at) - min(s.at)) * 1000000)::bigint as "span!",
                  (array_agg(s.cpu_usec order by s.at desc))[1] >= (array_agg(s.cpu_usec order by s.at))[1] as "rises!"
           from unnest($1::bigint[]) as w(id)
                cross join lateral (
                    select at, cpu_usec from vps_samples
                    where vps_id = w.id and at > now() - interval '90 seconds' order by at desc limit 2
                ) s
           group by w.id having count(*) = 2"#,
        vpses
    );
    let rows = rows.fetch_all(db).await?;
    let risen = rows.into_iter().filter(|r| r.rises && r.span > 0);
    Ok(risen.map(|r| (r.id, r.usec as f64 / r.span as f64)).collect())
}
