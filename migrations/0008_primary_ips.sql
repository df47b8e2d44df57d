-- Primary IPs: an address that a project holds, whether or not a VPS has it at the moment. An address belongs to a primary
-- IP (primary_ip_id) and is routed to a VPS (vps_id); one without a primary IP is free, or rests until its pool's
-- quarantine is over. What was so at any time before is in address_history.
create table primary_ips (
    id             bigint generated always as identity primary key,
    project_id     bigint not null references projects,
    name           text not null,                      -- 'primary_ip-<id>' for one that was made with its VPS
    labels         jsonb not null default '{}',
    auto_delete    boolean not null default false,     -- goes with the VPS that has it
    protect_delete boolean not null default false,
    created_at     timestamptz not null default now(),
    constraint primary_ips_name_key unique (project_id, name)
);

alter table addresses add column primary_ip_id bigint references primary_ips;
alter table addresses add column released_at timestamptz;   -- when it was given back last
alter table pools add column quarantine_s bigint not null default 300
    constraint pools_quarantine check (quarantine_s between 0 and 2592000);

-- Those that VPSes have today.
with held as materialized (
    select a.ip, v.project_id, v.created_at, nextval(pg_get_serial_sequence('primary_ips', 'id')) as id
    from addresses a join vps v on v.id = a.vps_id
), made as (
    insert into primary_ips (id, project_id, name, auto_delete, created_at) overriding system value
    select id, project_id, 'primary_ip-' || id, true, created_at from held
)
update addresses a set primary_ip_id = held.id from held where held.ip = a.ip;

alter table addresses add constraint addresses_primary_ip_key unique (primary_ip_id);
alter table addresses add constraint addresses_owner check (vps_id is null or primary_ip_id is not null);
drop index addresses_free;
create index addresses_free on addresses (pool_id, released_at nulls first, ip) where primary_ip_id is null;

-- Who had an address from when until when. Without foreign keys: it outlives pools, primary IPs and VPSes.
create table address_history (
    id            bigint generated always as identity primary key,
    ip            inet not null,
    project_id    bigint not null,
    primary_ip_id bigint not null,
    vps_id        bigint,                              -- null: the project held it and no VPS had it
    from_at       timestamptz not null,
    until_at      timestamptz,                         -- null: still
    constraint address_history_order check (until_at >= from_at)
);
create index address_history_ip on address_history (ip, from_at);
create unique index address_history_now on address_history (ip) where until_at is null;

insert into address_history (ip, project_id, primary_ip_id, vps_id, from_at)
select a.ip, p.project_id, p.id, a.vps_id, p.created_at from addresses a join primary_ips p on p.id = a.primary_ip_id;

alter table actions add column primary_ip_id bigint references primary_ips on delete set null;
create index actions_primary_ip on actions (primary_ip_id, id) where primary_ip_id is not null;
