//! What operators tell tenants, and who has read it.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::domain::announcement::{Kind, New};
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{LocationId, ProjectId, UserId};

/// Announcements that are shown at a time; more nobody reads.
const MOST_SHOWN: i64 = 10;
/// Announcements that operators see, the newest.
const MOST_LISTED: i64 = 500;

/// Something that is told.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Which one.
    pub id: i64,
    /// In a few words.
    pub title: String,
    /// In more.
    pub text: String,
    /// What sort of news it is.
    pub kind: Kind,
    /// Name of the location that it is about; none: everywhere.
    pub location: Option<String>,
    /// From when it is shown.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
}

struct Row {
    id: i64,
    title: String,
    text: String,
    kind: String,
    location: Option<String>,
    from_at: DateTime<Utc>,
    until_at: DateTime<Utc>,
}

impl TryFrom<Row> for Announcement {
    type Error = Error;

    fn try_from(r: Row) -> Result<Self> {
        let Row { id, title, text, kind, location, from_at: from, until_at: until } = r;
        Ok(Self { id, title, text, kind: Kind::parse(&kind)?, location, from, until })
    }
}

/// Writes one; gives its id.
pub async fn create(db: &PgPool, new: &New, location: Option<LocationId>) -> Result<i64> {
    let id = sqlx::query_scalar!(
        "insert into announcements (title, text, kind, location_id, from_at, until_at)
         values ($1, $2, $3, $4, $5, $6) returning id",
        new.title.as_str(),
        new.text.as_str(),
        new.kind.name(),
        location.map(|location| location.0),
        new.span.from,
        new.span.until
    );
    id.fetch_one(db).await.map_err(|e| match broken_constraint(&e) {
        Some("announcements_location_id_fkey") => Error::NotFound("location"),
        _ => e.into(),
    })
}

/// The newest, for operators, those that are over included.
pub async fn list(db: &PgPool) -> Result<Vec<Announcement>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select a.id, a.title, a.text, a.kind, l.name as "location?", a.from_at, a.until_at
           from announcements a left join locations l on l.id = a.location_id order by a.id desc limit $1"#,
        MOST_LISTED
    );
    rows.fetch_all(db).await?.into_iter().map(Announcement::try_from).collect()
}

/// One of them.
pub async fn get(db: &PgPool, id: i64) -> Result<Announcement> {
    let row = sqlx::query_as!(
        Row,
        r#"select a.id, a.title, a.text, a.kind, l.name as "location?", a.from_at, a.until_at
           from announcements a left join locations l on l.id = a.location_id where a.id = $1"#,
        id
    );
    row.fetch_optional(db).await?.ok_or(Error::NotFound("announcement"))?.try_into()
}

/// Takes one back.
pub async fn delete(db: &PgPool, id: i64) -> Result<()> {
    let gone = sqlx::query!("delete from announcements where id = $1", id);
    match gone.execute(db).await?.rows_affected() {
        0 => Err(Error::NotFound("announcement")),
        _ => Ok(()),
    }
}

/// What is to be shown now to whoever has these projects: what is told to all, and what is about locations that the
/// projects have servers in; for a person without what they have read.
pub async fn current(
    db: &PgPool,
    projects: &[ProjectId],
    reader: Option<UserId>,
) -> Result<Vec<Announcement>> {
    let projects: Vec<i64> = projects.iter().map(|project| project.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select a.id, a.title, a.text, a.kind, l.name as "location?", a.from_at, a.until_at
           from announcements a left join locations l on l.id = a.location_id
           where a.from_at <= now() and a.until_at > now()
             and (a.location_id is null
                  or exists (select from vps v join hosts h on h.id = v.host_id join datacenters d on d.id = h.datacenter_id
                             where v.project_id = any($1) and v.deleted_at is null and d.location_id = a.location_id))
             and not exists (select from announcement_dismissals r where r.announcement_id = a.id and r.user_id = $2)
           order by a.kind <> 'maintenance', a.kind <> 'warning', a.id desc limit $3"#,
        &projects,
        reader.map(|reader| reader.0),
        MOST_SHOWN
    );
    rows.fetch_all(db).await?.into_iter().map(Announcement::try_from).collect()
}

/// Shows one to a person no more.
pub async fn dismiss(db: &PgPool, id: i64, reader: UserId) -> Result<()> {
    let there = sqlx::query_scalar!(
        r#"with read as (insert into announcement_dismissals (announcement_id, user_id)
                         select id, $2 from announcements where id = $1 on conflict do nothing)
           select exists (select from announcements where id = $1) as "there!""#,
        id,
        reader.0
    );
    match there.fetch_one(db).await? {
        true => Ok(()),
        false => Err(Error::NotFound("announcement")),
    }
}
