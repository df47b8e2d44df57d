//! The end of an account: the person's row and all that hangs on it goes, and so do projects that were theirs alone.
//!
//! What others depend on holds an account back: servers and addresses, which somebody has to answer for, and people who would
//! be left in a project without an owner. The trail stays as it is.

use sqlx::{PgConnection, PgPool};

use crate::domain::roles::Role;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, UserId};

/// Closes an account; gives the projects that went with it.
///
/// # Errors
/// `conflict` while the person is the only operator, or the only owner of a project that has servers, addresses or other
/// people; then nothing was changed.
pub async fn close(db: &PgPool, user: UserId) -> Result<Vec<ProjectId>> {
    let mut tx = db.begin().await?;
    let alone = alone(&mut tx, user).await?;
    not_the_last_operator(&mut tx, user).await?;
    for project in &alone {
        close_project(&mut tx, *project).await?;
    }
    let gone = sqlx::query_scalar!("delete from users where id = $1 returning email", user.0);
    let email = gone.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound("user"))?;
    sqlx::query!("delete from invitations where lower(email) = lower($1)", email).execute(&mut *tx).await?;
    sqlx::query!("delete from mails where lower(recipient) = lower($1)", email).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(alone)
}

/// Takes the rows of all projects that the person is in, so that nobody comes, goes or makes something there meanwhile; gives
/// those that end with the person.
async fn alone(tx: &mut PgConnection, user: UserId) -> Result<Vec<ProjectId>> {
    let held = sqlx::query!(
        "select id from projects where id in (select project_id from memberships where user_id = $1) order by id for update",
        user.0
    );
    held.fetch_all(&mut *tx).await?;
    let owned = sqlx::query!(
        r#"select p.id, p.name,
                  (select count(*) from vps v where v.project_id = p.id and v.deleted_at is null) as "servers!",
                  (select count(*) from primary_ips i where i.project_id = p.id)
                  + (select count(*) from floating_ips i where i.project_id = p.id) as "addresses!",
                  (select count(*) from memberships o where o.project_id = p.id and o.user_id <> $1) as "others!"
           from projects p join memberships m on m.project_id = p.id and m.user_id = $1 and m.role = $2
           where not exists (select from memberships o where o.project_id = p.id and o.role = $2 and o.user_id <> $1)
           order by p.id"#,
        user.0,
        Role::Owner.name()
    );
    let mut alone = Vec::new();
    for project in owned.fetch_all(&mut *tx).await? {
        let what = match (project.servers, project.addresses, project.others) {
            (0, 0, 0) => {
                alone.push(ProjectId(project.id));
                continue;
            }
            (0, 0, 1) => "has another member".to_owned(),
            (0, 0, others) => format!("has {others} other members"),
            (0, addresses, _) => format!("still has addresses: {addresses}"),
            (servers, ..) => format!("still has servers: {servers}"),
        };
        return Err(Error::Conflict(format!(
            "the project {} has no other owner and {what}; delete what it has and let its people go, or make somebody else an owner first",
            project.name
        )));
    }
    Ok(alone)
}

async fn not_the_last_operator(tx: &mut PgConnection, user: UserId) -> Result<()> {
    let operators = sqlx::query_scalar!("select id from users where operator order by id for update");
    match operators.fetch_all(tx).await?.as_slice() {
        [last] if *last == user.0 => {
            Err(Error::Conflict("this is the only operator: make somebody else one first".into()))
        }
        _ => Ok(()),
    }
}

/// Ends a project without servers, addresses and other people, whose row is held.
async fn close_project(tx: &mut PgConnection, project: ProjectId) -> Result<()> {
    for removed in [
        sqlx::query!("delete from tokens where project_id = $1", project.0),
        sqlx::query!("delete from ssh_keys where project_id = $1", project.0),
        sqlx::query!("delete from invitations where project_id = $1", project.0),
        sqlx::query!("delete from grants where project_id = $1", project.0),
        sqlx::query!("delete from firewalls where project_id = $1", project.0),
        // Their rows go when no host has anything of them any more.
        sqlx::query!(
            "update networks set deleted_at = now() where project_id = $1 and deleted_at is null",
            project.0
        ),
        sqlx::query!("delete from memberships where project_id = $1", project.0),
        sqlx::query!("update projects set closed_at = now() where id = $1", project.0),
    ] {
        removed.execute(&mut *tx).await?;
    }
    Ok(())
}
