//! Images that VPSes start from.

use berth_proto::ArchiveFormat;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::error::{Error, Result, broken_constraint};
use crate::ids::ImageId;

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Which image.
    pub id: ImageId,
    /// Short name, for instance `debian-12`.
    pub name: String,
    /// For people.
    pub description: String,
    /// Kind of system, in the hcloud API's words.
    pub os_flavor: String,
    /// Version of the system.
    pub os_version: Option<String>,
    /// `x86` or `arm`.
    pub architecture: String,
    /// SHA-256 of the archive, hex.
    pub sha256: String,
    /// Size of the archive.
    pub size_bytes: i64,
    /// Size when unpacked; 0 when nobody measured it.
    pub disk_bytes: i64,
    /// How the archive is packed, as the wire spells it.
    pub format: String,
    /// Whether cloud-init is inside.
    pub cloud_init: bool,
    /// Name of the signal that asks its init to stop.
    pub stop_signal: Option<String>,
    /// A user that the image has and whom root's keys are for as well.
    pub default_user: Option<String>,
    /// Since when it is not offered any more.
    pub retired_at: Option<DateTime<Utc>>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// What an import found out about a new image.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Short name; an image of the same name is retired.
    pub name: String,
    /// For people.
    pub description: String,
    /// Kind of system, in the hcloud API's words.
    pub os_flavor: String,
    /// Version of the system.
    pub os_version: Option<String>,
    /// SHA-256 of the archive, hex.
    pub sha256: String,
    /// Size of the archive.
    pub size_bytes: i64,
    /// Size when unpacked; 0 when nobody measured it.
    pub disk_bytes: i64,
    /// How the archive is packed.
    pub format: ArchiveFormat,
    /// Whether cloud-init is inside.
    pub cloud_init: bool,
    /// Name of the signal that asks its init to stop.
    pub stop_signal: Option<String>,
    /// A user that the image has and whom root's keys are for as well.
    pub default_user: Option<String>,
}

/// All images, also retired ones, by id.
pub async fn list(db: &PgPool) -> Result<Vec<Image>> {
    let all = sqlx::query_as!(
        Image,
        "select id, name, description, os_flavor, os_version, architecture, sha256, size_bytes, disk_bytes, format,
                cloud_init, stop_signal, default_user, retired_at, created_at from images order by id"
    );
    Ok(all.fetch_all(db).await?)
}

/// The images that are offered, by name.
pub async fn offered(db: &PgPool) -> Result<Vec<Image>> {
    let mut all = list(db).await?;
    all.retain(|i| i.retired_at.is_none());
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Images by id, also retired ones.
pub async fn by_ids(db: &PgPool, ids: &[i64]) -> Result<Vec<Image>> {
    let some = sqlx::query_as!(
        Image,
        "select id, name, description, os_flavor, os_version, architecture, sha256, size_bytes, disk_bytes, format,
                cloud_init, stop_signal, default_user, retired_at, created_at from images where id = any($1) order by id",
        ids
    );
    Ok(some.fetch_all(db).await?)
}

/// The offered image with this id or name.
pub(super) async fn find_offered(db: &PgPool, id: Option<i64>, name: &str) -> Result<Option<Image>> {
    let found = sqlx::query_as!(
        Image,
        "select id, name, description, os_flavor, os_version, architecture, sha256, size_bytes, disk_bytes, format,
                cloud_init, stop_signal, default_user, retired_at, created_at from images
         where retired_at is null and (id = $1 or name = $2) order by id = $1 desc limit 1",
        id,
        name
    );
    Ok(found.fetch_optional(db).await?)
}

/// Offers an image and retires the one that had this name. The same archive under the same name is left as it is.
pub async fn create(db: &PgPool, new: &NewImage) -> Result<Image> {
    let mut tx = db.begin().await?;
    let same = sqlx::query_as!(
        Image,
        "select id, name, description, os_flavor, os_version, architecture, sha256, size_bytes, disk_bytes, format,
                cloud_init, stop_signal, default_user, retired_at, created_at from images
         where name = $1 and retired_at is null for update",
        new.name
    );
    if let Some(old) = same.fetch_optional(&mut *tx).await? {
        if old.sha256 == new.sha256 {
            return Ok(old);
        }
        sqlx::query!("update images set retired_at = now() where id = $1", old.id.0)
            .execute(&mut *tx)
            .await?;
    }
    let made = sqlx::query_as!(
        Image,
        "insert into images (name, description, os_flavor, os_version, sha256, size_bytes, disk_bytes, format,
                             cloud_init, stop_signal, default_user)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         returning id, name, description, os_flavor, os_version, architecture, sha256, size_bytes, disk_bytes,
                   format, cloud_init, stop_signal, default_user, retired_at, created_at",
        new.name,
        new.description,
        new.os_flavor,
        new.os_version,
        new.sha256,
        new.size_bytes,
        new.disk_bytes,
        format_name(new.format),
        new.cloud_init,
        new.stop_signal,
        new.default_user
    );
    let made = made.fetch_one(&mut *tx).await.map_err(|e| match broken_constraint(&e) {
        Some("images_name_key") => {
            Error::Conflict("another import of this image ended just now; try again".into())
        }
        _ => e.into(),
    })?;
    tx.commit().await?;
    Ok(made)
}

/// Stops offering an image; VPSes that have it keep it.
pub async fn retire(db: &PgPool, id: ImageId) -> Result<()> {
    let retired =
        sqlx::query!("update images set retired_at = coalesce(retired_at, now()) where id = $1", id.0);
    match retired.execute(db).await?.rows_affected() {
        0 => Err(Error::NotFound("image")),
        _ => Ok(()),
    }
}

/// A format as the database and the wire spell it.
#[must_use]
pub fn format_name(format: ArchiveFormat) -> &'static str {
    match format {
        ArchiveFormat::Tar => "tar",
        ArchiveFormat::TarGz => "tar_gz",
        ArchiveFormat::TarXz => "tar_xz",
        ArchiveFormat::TarZst => "tar_zst",
        ArchiveFormat::Squashfs => "squashfs",
        ArchiveFormat::Unknown => "unknown",
    }
}
