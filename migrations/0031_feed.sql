-- What a project's programs hear of: one list, written by triggers in the transaction of what happened, numbered
-- afterwards in the order in which it was seen. The number is the cursor of streams and webhooks: a row never appears
-- behind one that was read already, though a transaction may commit after one that began later.
create table feed (
    id         bigint generated always as identity primary key,
    at         timestamptz not null default clock_timestamp(),
    project_id bigint not null,                        -- no reference: what is said last is that it is gone
    kind       text not null,                          -- 'server.created', 'action.success', 'guest.oom_kill'
    target_id  bigint,
    target     text not null default '',               -- its name
    body       jsonb not null default '{}',
    seq        bigint,                                 -- rises
    constraint feed_seq_key unique (seq)
);
create index feed_unnumbered on feed (id) where seq is null;
create index feed_project on feed (project_id, seq);
create index feed_at on feed (at);

-- The last number that was given: it goes on when everything before it is forgotten.
create table feed_head (
    one  boolean primary key default true check (one),
    last bigint  not null default 0
);
insert into feed_head default values;

create function feed_of_audit() returns trigger language plpgsql as $$
begin
    insert into feed (at, project_id, kind, target_id, target, body)
    values (new.at, new.project_id, new.event, new.target_id, new.target,
            jsonb_build_object('actor', jsonb_build_object('kind', new.actor_kind, 'id', new.actor_id, 'name', new.actor),
                               'correlation_id', new.correlation_id, 'before', new.before, 'after', new.after));
    return null;
end $$;
create trigger feed after insert on audit for each row when (new.project_id is not null) execute function feed_of_audit();

create function feed_of_action() returns trigger language plpgsql as $$
begin
    insert into feed (project_id, kind, target_id, target, body)
    values (new.project_id, 'action.' || case new.status when 'running' then 'started' else new.status end, new.id, new.command,
            jsonb_build_object('command', new.command, 'server_id', new.vps_id, 'error',
                case when new.error_code is not null
                     then jsonb_build_object('code', new.error_code, 'message', new.error_message) end));
    return null;
end $$;
create trigger feed_new after insert on actions for each row execute function feed_of_action();
create trigger feed after update of status on actions for each row when (old.status <> new.status) execute function feed_of_action();

create function feed_of_guest() returns trigger language plpgsql as $$
begin
    insert into feed (at, project_id, kind, target_id, target, body)
    select new.at, project_id, 'guest.' || new.kind, id, name, new.detail from vps where id = new.vps_id;
    return null;
end $$;
create trigger feed after insert on vps_events for each row execute function feed_of_guest();

-- Where a project's news are posted to. What is to be delivered is what is behind `cursor`, so nothing is written twice
-- and nothing is lost; deliveries are kept as a log.
create table webhooks (
    id         bigint generated always as identity primary key,
    project_id bigint not null references projects on delete cascade,
    name       text not null,
    url        text not null,
    secret     text not null,                          -- as it signs; it cannot be kept as a hash
    kinds      text[] not null default '{}',           -- 'server', 'action.error'; none: everything
    enabled    boolean not null default true,
    cursor     bigint not null default 0,              -- the feed's number up to which all was delivered or given up
    tries      integer not null default 0,             -- of what comes next
    next_at    timestamptz not null default now(),
    failing_since timestamptz,
    created_at timestamptz not null default now(),
    constraint webhooks_name_key unique (project_id, name)
);
create index webhooks_due on webhooks (next_at) where enabled;
create trigger audited_new after insert or delete on webhooks
    for each row execute function audited('webhook', 'secret', 'cursor,tries,next_at,failing_since');
create trigger audited after update of name, url, secret, kinds, enabled on webhooks
    for each row execute function audited('webhook', 'secret', 'cursor,tries,next_at,failing_since');

create table webhook_deliveries (
    id         bigint generated always as identity primary key,
    webhook_id bigint not null references webhooks on delete cascade,
    seq        bigint not null,                        -- in the feed; 0 for a test
    kind       text not null,
    at         timestamptz not null default now(),
    took_ms    integer not null,
    status     integer,                                -- of the answer; none: there was none
    error      text                                    -- why it does not count as delivered
);
create index webhook_deliveries_newest on webhook_deliveries (webhook_id, id desc);
