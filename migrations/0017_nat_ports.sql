-- Ports of hosts' own addresses that lead to VPSes with private addresses: a pool of the kind nat may say which ports,
-- and how many in a row a VPS gets of its host.
alter table pools
    add column ports_first   integer,
    add column ports_last    integer,
    add column ports_per_vps integer,
    add constraint pools_ports check (
        num_nonnulls(ports_first, ports_last, ports_per_vps) in (0, 3)
        and (ports_first is null
             or (kind = 'nat' and ports_first >= 1024 and ports_last <= 65535 and ports_per_vps >= 1
                 and ports_first + ports_per_vps - 1 <= ports_last))),
    -- Pools of one location share its hosts, and so their ports.
    add constraint pools_ports_overlap exclude using gist
        (int8range(location_id * 65536 + ports_first, location_id * 65536 + ports_last, '[]') with &&)
        where (ports_first is not null);

-- Who has which ports of a host. They stay with a VPS while it is on that host, whatever becomes of its address, and
-- rest after it for the pool's quarantine: whoever still connects must not meet a stranger.
create table port_ranges (
    id          bigint generated always as identity primary key,
    host_id     bigint not null references hosts on delete cascade,
    pool_id     bigint not null references pools on delete cascade,
    vps_id      bigint references vps,                 -- null: was given back, and rests
    first_port  integer not null,
    last_port   integer not null,
    released_at timestamptz,
    constraint port_ranges_vps_key unique (vps_id),
    constraint port_ranges_owner check ((vps_id is null) = (released_at is not null)),
    constraint port_ranges_overlap exclude using gist
        (int8range(host_id * 65536 + first_port, host_id * 65536 + last_port, '[]') with &&)
);
create index port_ranges_pool on port_ranges (pool_id, host_id);

-- The pools with ports of which a host has some left.
create function pools_with_ports_left(host bigint) returns setof bigint language sql stable as $$
    select p.id from pools p
    where p.ports_first is not null
      and (p.ports_last - p.ports_first + 1) / p.ports_per_vps
          > (select count(*) from port_ranges r
             where r.pool_id = p.id and r.host_id = host
               and (r.vps_id is not null or r.released_at > now() - make_interval(secs => p.quarantine_s)))
$$;

-- IPv4 address by which a host is reached from outside, where it is another than that of its uplink (behind a
-- translation of its provider's, for instance).
alter table hosts add column public_ipv4 inet
    constraint hosts_public_ipv4 check (family(public_ipv4) = 4 and masklen(public_ipv4) = 32);
