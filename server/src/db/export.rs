//! What is kept about a person, for that person.
//!
//! No secrets are among it: hashes of passwords and tokens, the secret of a second factor and the public keys of passkeys say
//! nothing to whom they belong.

use futures_util::{Stream, TryStreamExt as _, stream};
use serde_json::Value;
use sqlx::PgPool;

use super::audit::Entry;
use crate::error::{Error, Result};
use crate::ids::UserId;

/// Rows of the trail that are read at a time.
const BATCH: i64 = 500;

/// Everything but the trail.
pub async fn person(db: &PgPool, user: UserId) -> Result<Value> {
    let all = sqlx::query_scalar!(
        r#"select jsonb_build_object(
             'exported_at', now(),
             'profile', jsonb_build_object('id', u.id, 'email', u.email, 'name', u.name, 'operator', u.operator,
                                           'created_at', u.created_at, 'email_verified_at', u.email_verified_at),
             'second_factor', (select jsonb_build_object('on_since', f.confirmed_at, 'recovery_codes_left',
                                      (select count(*) from recovery_codes c where c.user_id = u.id))
                               from second_factors f where f.user_id = u.id and f.confirmed_at is not null),
             'passkeys', (select coalesce(jsonb_agg(jsonb_build_object('name', k.name, 'created_at', k.created_at,
                                   'last_used_at', k.last_used_at) order by k.id), '[]') from passkeys k where k.user_id = u.id),
             'linked', (select coalesce(jsonb_agg(jsonb_build_object('issuer', i.issuer, 'subject', i.subject, 'email', i.email,
                                 'created_at', i.created_at, 'last_used_at', i.last_used_at) order by i.id), '[]')
                        from identities i where i.user_id = u.id),
             'memberships', (select coalesce(jsonb_agg(jsonb_build_object('project', p.id, 'name', p.name, 'role', m.role,
                                      'since', m.created_at) order by p.id), '[]')
                             from memberships m join projects p on p.id = m.project_id where m.user_id = u.id),
             'grants', (select coalesce(jsonb_agg(jsonb_build_object('project', g.project_id, 'server', g.vps_id, 'level', g.level,
                                 'since', g.created_at) order by g.id), '[]') from grants g where g.user_id = u.id),
             'sessions', (select coalesce(jsonb_agg(jsonb_build_object('browser', s.user_agent, 'source', host(s.source),
                                   'created_at', s.created_at, 'seen_at', s.seen_at, 'expires_at', s.expires_at)
                                   order by s.created_at), '[]') from sessions s where s.user_id = u.id),
             'tokens', (select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'project', t.project_id, 'name', t.name,
                                 'created_at', t.created_at, 'last_used_at', t.last_used_at) order by t.id), '[]')
                        from tokens t where t.id in (select a.target_id from audit a where a.actor_kind = 'user'
                                                       and a.actor_id = u.id and a.event = 'token.created')),
             'invitations_sent', (select coalesce(jsonb_agg(jsonb_build_object('project', i.project_id, 'email', i.email,
                                           'role', i.role, 'server', i.vps_id, 'level', i.level, 'created_at', i.created_at, 'expires_at', i.expires_at)
                                           order by i.id), '[]') from invitations i where i.invited_by = u.id),
             'invitations_received', (select coalesce(jsonb_agg(jsonb_build_object('project', i.project_id, 'role', i.role,
                                               'server', i.vps_id, 'level', i.level,
                                               'created_at', i.created_at, 'expires_at', i.expires_at) order by i.id), '[]')
                                      from invitations i where lower(i.email) = lower(u.email)),
             'mail_waiting', (select coalesce(jsonb_agg(jsonb_build_object('subject', m.subject, 'created_at', m.created_at)
                                       order by m.id), '[]') from mails m where lower(m.recipient) = lower(u.email)),
             'announcements_dismissed', (select coalesce(jsonb_agg(d.announcement_id order by d.announcement_id), '[]')
                                         from announcement_dismissals d where d.user_id = u.id)) as "all!"
           from users u where u.id = $1"#,
        user.0
    );
    all.fetch_optional(db).await?.ok_or(Error::NotFound("user"))
}

/// The trail, oldest first, as far as the person acted or was acted upon.
pub fn trail(db: &PgPool, user: UserId) -> impl Stream<Item = sqlx::Result<Vec<Entry>>> + Send + use<> {
    let db = db.clone();
    stream::try_unfold(0, move |after| {
        let db = db.clone();
        async move {
            let rows = sqlx::query_as!(
                Entry,
                r#"select id, at, project_id, actor_kind, actor_id, actor, host(source) as source, request, correlation_id,
                          event, target_id, target, before, after, seq, seal
                   from audit
                   where id > $1 and (actor_kind = 'user' and actor_id = $2
                                      or target_id = $2 and (event like 'user.%' or event like 'session.%')
                                      or event = 'session.refused' and lower(target) = (select lower(email) from users where id = $2))
                   order by id limit $3"#,
                after,
                user.0,
                BATCH
            );
            let rows = rows.fetch_all(&db).await?;
            let last = rows.last().map(|row| row.id);
            Ok(last.map(|last| (rows, last)))
        }
    })
}

/// All of it as one text of JSON, which grows as it is read: what [`person`] says, and `audit` with the trail.
///
/// # Errors
/// When there is no such person.
pub async fn document(
    db: &PgPool,
    user: UserId,
) -> Result<impl Stream<Item = sqlx::Result<String>> + Send + use<>> {
    let mut head = person(db, user).await?.to_string();
    head.pop(); // the brace that ends it
    let head = stream::iter([Ok(format!("{head},\"audit\":["))]);
    let mut first = true;
    let entries = trail(db, user).map_ok(move |rows| {
        let mut text = String::new();
        for row in rows {
            text.push_str(if first { "\n" } else { ",\n" });
            text.push_str(&row.line());
            first = false;
        }
        text
    });
    Ok(futures_util::StreamExt::chain(
        futures_util::StreamExt::chain(head, entries),
        stream::iter([Ok("]}\n".to_owned())]),
    ))
}
