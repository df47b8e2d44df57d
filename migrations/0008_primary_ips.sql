-- Primary and floating IPs: addresses that a project holds, whether or not a VPS has them at the moment. An address belongs
-- to a primary IP (primary_ip_id) or a floating IP (floating_ip_id) and is routed to a VPS (vps_id); one without an owner
-- is free, or rests until its pool's quarantine is over. What was so at any time before is in address_history.
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

create table floating_ips (
    id             bigint generated always as identity primary key,
    project_id     bigint not null references projects,
    name           text not null,                      -- 'floating_ip-<id>' unless the tenant says otherwise
    description    text not null default '',
    labels         jsonb not null default '{}',
    protect_delete boolean not null default false,
    created_at     timestamptz not null default now(),
    constraint floating_ips_name_key unique (project_id, name)
);

alter table addresses add column primary_ip_id bigint references primary_ips;
alter table addresses add column floating_ip_id bigint references floating_ips;
alter table addresses add column held boolean not null
    generated always as (num_nonnulls(primary_ip_id, floating_ip_id) > 0) stored;
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
alter table addresses add constraint addresses_floating_ip_key unique (floating_ip_id);
alter table addresses add constraint addresses_owner
    check (num_nonnulls(primary_ip_id, floating_ip_id) <= 1 and (vps_id is null or primary_ip_id is not null
                                                                                or floating_ip_id is not null));
-- One primary IP a VPS, any number of floating ones.
alter table addresses drop constraint addresses_vps_key;
create unique index addresses_vps_key on addresses (vps_id) where primary_ip_id is not null;
create index addresses_floating on addresses (vps_id) where floating_ip_id is not null;
drop index addresses_free;
create index addresses_free on addresses (pool_id, released_at nulls first, ip) where not held;

-- Who had an address from when until when. Without foreign keys: it outlives pools, primary IPs and VPSes.
create table address_history (
    id            bigint generated always as identity primary key,
    ip            inet not null,
    project_id    bigint not null,
    primary_ip_id bigint,
    floating_ip_id bigint,
    vps_id        bigint,                              -- null: the project held it and no VPS had it
    from_at       timestamptz not null,
    until_at      timestamptz,                         -- null: still
    constraint address_history_owner check (num_nonnulls(primary_ip_id, floating_ip_id) = 1),
    constraint address_history_order check (until_at >= from_at)
);
create index address_history_ip on address_history (ip, from_at);
create unique index address_history_now on address_history (ip) where until_at is null;

insert into address_history (ip, project_id, primary_ip_id, vps_id, from_at)
select a.ip, p.project_id, p.id, a.vps_id, p.created_at from addresses a join primary_ips p on p.id = a.primary_ip_id;

alter table actions add column primary_ip_id bigint references primary_ips on delete set null;
create index actions_primary_ip on actions (primary_ip_id, id) where primary_ip_id is not null;
alter table actions add column floating_ip_id bigint references floating_ips on delete set null;
create index actions_floating_ip on actions (floating_ip_id, id) where floating_ip_id is not null;
create index actions_floating_ip_running on actions (floating_ip_id) where status = 'running';

-- VPSes that had a floating IP and whose hosts have not confirmed yet that they let go of it. Until they have, packets may
-- still reach them: no assigning or unassigning of that address is done, and nobody else gets it.
create table address_releases (
    ip         inet not null references addresses on delete cascade,
    vps_id     bigint not null references vps,
    generation bigint not null,                        -- of the VPS, from which on it does not have the address
    primary key (ip, vps_id)
);
create index address_releases_vps on address_releases (vps_id);
