-- What the operators' pages need.

-- When somebody signed in last: sessions are forgotten when they end, the trail remembers.
create index audit_signed_in on audit (target_id, at) where event = 'session.started';

-- What is in trouble is found without a look at what went well.
create index actions_trouble on actions (id) where status <> 'success';

alter table hosts
    add column cordon_reason   text,                   -- for other operators
    add column cert_until      timestamptz,            -- null: the certificate is older than this column
    add column next_cert_until timestamptz,
    add constraint hosts_cordon_reason check (cordoned or cordon_reason is null);

-- An operator who looks at a tenant's pages in their stead: a note on the operator's own session, which ends with it, and
-- by itself after a short time. It holds only while the one is an operator and the other is not.
alter table sessions
    add column acting_for    bigint references users on delete set null,
    add column acting_until  timestamptz,
    add column acting_reason text,
    add constraint sessions_acting check (acting_for is null or num_nulls(acting_until, acting_reason) = 0);
create index sessions_acting_until on sessions (acting_until) where acting_until is not null;

-- Writes begin and end to the trail, in whatever way it ends.
create function audited_acting() returns trigger language plpgsql as $$
declare
    context jsonb := nullif(current_setting('berth.actor', true), '')::jsonb;
    was     bigint := old.acting_for;
    is_now  bigint;
    until   timestamptz;
begin
    if tg_op = 'UPDATE' then
        is_now := new.acting_for;
        until := new.acting_until;
        if was is not distinct from is_now and old.acting_until is not distinct from until then return null; end if;
    end if;
    insert into audit (actor_kind, actor_id, actor, source, request, correlation_id, event, target_id, target, after)
    select coalesce(context ->> 'kind', 'system'), (context ->> 'id')::bigint, coalesce(context ->> 'name', ''),
           (context ->> 'source')::inet, coalesce(context ->> 'request', ''), coalesce(context ->> 'correlation_id', ''),
           e.event, e.target, coalesce((select email from users where id = e.target), ''), e.detail
    from (values (1, 'acting.ended', was, jsonb_build_object('operator', (select email from users where id = old.user_id))),
                 (2, 'acting.started', is_now,
                  jsonb_build_object('operator', (select email from users where id = old.user_id), 'until', until,
                                     'reason', case when tg_op = 'UPDATE' then new.acting_reason end))) as e(n, event, target, detail)
    where e.target is not null order by e.n;
    return null;
end $$;
create trigger audited_acting after update of acting_for, acting_until or delete on sessions
    for each row when (old.acting_for is not null) execute function audited_acting();
create trigger audited_acting_begun after update of acting_for, acting_until on sessions
    for each row when (old.acting_for is null and new.acting_for is not null) execute function audited_acting();
