-- The trail: who changed what, from where, and what it was before. Triggers write it, in the transaction of the change,
-- so no way to a table is forgotten: API, pages, commands and psql alike. Who asks is told by the setting berth.actor of
-- the connection (server/src/audit.rs); without it the change is the system's own.
--
-- Rows are only ever added. A task seals them afterwards, in the order in which they are seen, each seal covering the
-- row and the seal before it: what is changed, removed or put in between later is found (`berth-server admin audit verify`).
create table audit (
    id             bigint generated always as identity primary key,
    at             timestamptz not null default clock_timestamp(),
    project_id     bigint,                             -- no reference: the trail outlives what it is about
    actor_kind     text not null constraint audit_actor_kind
                   check (actor_kind in ('user', 'token', 'operator_token', 'command', 'nobody', 'system')),
    actor_id       bigint,
    actor          text not null default '',           -- the address, the token's name, the operating system's user
    source         inet,                               -- where the request came from
    request        text not null default '',           -- 'POST /v1/servers'
    correlation_id text not null default '',
    event          text not null,                      -- 'server.changed', 'session.refused'
    target_id      bigint,
    target         text not null default '',           -- its name at that time
    before         jsonb,                              -- what differs; of secrets only that they do
    after          jsonb,
    seq            bigint,                             -- place in the chain, from 1 without gaps
    seal           bytea,                              -- SHA-256 of the seal before and of this row
    constraint audit_seq_key unique (seq),
    constraint audit_sealed check ((seq is null) = (seal is null))
);
create index audit_unsealed on audit (id) where seq is null;
create index audit_project on audit (project_id, id desc);
create index audit_correlation on audit (correlation_id) where correlation_id <> '';

create function audit_only_grows() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.seq is null and new.seq is not null
       and to_jsonb(old) - '{seq,seal}'::text[] = to_jsonb(new) - '{seq,seal}'::text[] then
        return new;
    end if;
    raise exception 'the audit trail only grows' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_only_grows before update or delete on audit for each row execute function audit_only_grows();
create trigger audit_is_not_emptied before truncate on audit for each statement execute function audit_only_grows();

-- audited('server', secrets, left out): writes what a change changed. Of the secrets it is told only that they changed;
-- what is left out is what hosts report and what counts up by itself.
create function audited() returns trigger language plpgsql as $$
declare
    kind    text   := tg_argv[0];
    secrets text[] := string_to_array(tg_argv[1], ',');
    ignored text[] := string_to_array(tg_argv[2], ',');
    context jsonb  := nullif(current_setting('berth.actor', true), '')::jsonb;
    o       jsonb  := '{}';
    n       jsonb  := '{}';
    whole   jsonb;
    project bigint;
begin
    if tg_op <> 'INSERT' then o := to_jsonb(old) - ignored; end if;
    if tg_op <> 'DELETE' then n := to_jsonb(new) - ignored; end if;
    whole := o || n;
    project := case kind when 'project' then whole ->> 'id' else whole ->> 'project_id' end;
    if project is null and whole ->> 'network_id' is not null then
        select project_id into project from networks where id = (whole ->> 'network_id')::bigint;
    elsif project is null and whole ->> 'firewall_id' is not null then
        select project_id into project from firewalls where id = (whole ->> 'firewall_id')::bigint;
    end if;
    if kind = 'inside' then -- consoles, programs: whose, is worth telling; what is typed there is not
        whole := whole || jsonb_build_object('id', whole -> 'vps_id', 'name', (select name from vps where id = (whole ->> 'vps_id')::bigint));
        n := jsonb_build_object('opened', case when n -> 'what' <> 'null' then 'program' else 'console' end);
    end if;
    if tg_op = 'UPDATE' then
        select coalesce(jsonb_object_agg(key, value), '{}') into o from jsonb_each(o) where n -> key is distinct from value;
        select coalesce(jsonb_object_agg(key, value), '{}') into n from jsonb_each(n) where (to_jsonb(old) -> key) is distinct from value;
        if o = '{}' and n = '{}' then return null; end if;
    end if;
    select coalesce(jsonb_object_agg(key, case when key = any(secrets) and value <> 'null' then '"…"' else value end), '{}')
      into o from jsonb_each(o);
    select coalesce(jsonb_object_agg(key, case when key = any(secrets) and value <> 'null' then '"…"' else value end), '{}')
      into n from jsonb_each(n);
    insert into audit (project_id, actor_kind, actor_id, actor, source, request, correlation_id, event, target_id, target, before, after)
    values (project,
            coalesce(context ->> 'kind', 'system'), (context ->> 'id')::bigint, coalesce(context ->> 'name', ''),
            (context ->> 'source')::inet, coalesce(context ->> 'request', ''), coalesce(context ->> 'correlation_id', ''),
            kind || case tg_op when 'INSERT' then '.created' when 'UPDATE' then '.changed' else '.deleted' end,
            (whole ->> 'id')::bigint,
            coalesce(whole ->> 'name', whole ->> 'email', whole ->> 'ip', whole ->> 'key', ''),
            case when tg_op = 'INSERT' then null else o end,
            case when tg_op = 'DELETE' then null else n end);
    return null;
end $$;

create trigger audited after insert or update or delete on users
    for each row execute function audited('user', 'password_hash', '');
create trigger audited after insert or update or delete on projects
    for each row execute function audited('project', '', '');
create trigger audited after insert or update or delete on memberships
    for each row execute function audited('member', '', '');
create trigger audited after insert or delete on tokens
    for each row execute function audited('token', 'token_hash', 'last_used_at');
create trigger audited after insert or update or delete on ssh_keys
    for each row execute function audited('ssh_key', '', '');
create trigger audited after insert or update or delete on locations
    for each row execute function audited('location', '', '');
create trigger audited after insert or update or delete on datacenters
    for each row execute function audited('datacenter', '', '');
create trigger audited after insert or update or delete on plans
    for each row execute function audited('plan', '', '');
create trigger audited after insert or update or delete on images
    for each row execute function audited('image', '', '');
create trigger audited after insert or update or delete on pools
    for each row execute function audited('pool', '', '');
create trigger audited after insert or update or delete on firewalls
    for each row execute function audited('firewall', '', '');
create trigger audited after insert or update or delete on firewall_targets
    for each row execute function audited('firewall_target', '', '');
create trigger audited after insert or update or delete on networks
    for each row execute function audited('network', '', '');
create trigger audited after insert or update of leaving_generation or delete on vps_networks
    for each row execute function audited('network_member', '', 'leaving_generation');
create trigger audited after insert or update or delete on primary_ips
    for each row execute function audited('primary_ip', '', '');
create trigger audited after insert or update or delete on floating_ips
    for each row execute function audited('floating_ip', '', '');
create trigger audited after insert or delete or update of server, zones, key_name, key_algorithm, key_secret, default_name, ttl_s on pool_name_servers
    for each row execute function audited('name_server', 'key_secret', 'failures,next_at,error,error_at');
-- Rows that every report of a host changes: only what somebody asked for, and cheaply found.
create trigger audited_new after insert on hosts
    for each row execute function audited('host', 'cert_fingerprint,next_cert_fingerprint', 'facts,metrics,images,orphans');
create trigger audited after delete or update of name, datacenter_id, cordoned, revoked_at, enrolled_at, cpu_overcommit, bgp, public_ipv4, cert_fingerprint on hosts
    for each row execute function audited('host', 'cert_fingerprint,next_cert_fingerprint',
        'seq,next_cert_fingerprint,agent_version,agent_started_us,report_seq,last_report_at,capacity_cpu_milli,capacity_memory,capacity_disk,allocated_cpu_milli,allocated_memory,allocated_disk,allocated_cpu_guarantee_milli,vps_count,facts,metrics,images,orphans,sampled_at');
create trigger audited_new after insert on vps
    for each row execute function audited('server', 'root_password_hash,user_data', 'host_seq,firewall,private_firewall,mac,uuid');
create trigger audited after update on vps
    for each row when (old.generation <> new.generation or old.name <> new.name or old.labels <> new.labels or old.power <> new.power
                       or old.protect_delete <> new.protect_delete or old.restart_policy <> new.restart_policy
                       or old.autostart_order <> new.autostart_order or old.project_id <> new.project_id
                       or old.deleted_at is distinct from new.deleted_at or old.isolated_at is distinct from new.isolated_at)
    execute function audited('server', 'root_password_hash,user_data',
        'generation,host_seq,firewall,private_firewall,observed_private_hits,mac,uuid,stop_timeout_s,announce_epoch,observed_generation,observed_state,observed_boot_epoch,observed_password_epoch,observed_started_at,observed_exit,observed_fault,observed_metrics,observed_at,observed_limits,observed_frozen,observed_hits,observed_routed');
-- Settings that somebody chooses; the others are the installation's own, keys among them.
create trigger audited_new after insert on settings
    for each row when (new.key not in ('fleet_ca', 'agent_url', 'first_start')) execute function audited('setting', '', '');
create trigger audited after update on settings
    for each row when (new.key not in ('fleet_ca', 'agent_url', 'first_start')) execute function audited('setting', '', '');
create trigger audited after insert on console_tickets
    for each row execute function audited('inside', '', '');
