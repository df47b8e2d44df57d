-- The end of an account, and of projects that nobody else had. A project's row stays, since servers of it that are long gone
-- still name it (a host that comes back after a year is told what became of them); a closed one is shown to nobody.
alter table projects add column closed_at timestamptz;

-- What somebody did, and what happened to them: for the export of what is kept about a person.
create index audit_actor on audit (actor_id, id) where actor_kind = 'user';
create index audit_person on audit (target_id, id) where event like 'user.%' or event like 'session.%';
create index audit_refused on audit (lower(target)) where event = 'session.refused';
