-- Private networks of a project, in the hcloud API's sense. A network is a range of private addresses; its subnets say
-- which of them servers get. On hosts a network is known by its vni, a number of 24 bits that goes before every packet of
-- it on the wire: two projects with the same addresses never meet. Whoever changes a network or who is in it holds the
-- network's row, after the project's and before any host's.

-- Small numbers are left to what an operator may run beside us.
create sequence network_vnis as integer minvalue 1048576 maxvalue 16777214 cycle;

create table networks (
    id             bigint generated always as identity primary key,
    project_id     bigint not null references projects on delete cascade,
    name           text not null,
    labels         jsonb not null default '{}',
    ip_range       cidr not null,
    subnets        jsonb not null default '[]',        -- domain::network::Subnet, by range
    routes         jsonb not null default '[]',        -- domain::network::Route, by destination
    vni            integer not null,
    protect_delete boolean not null default false,
    expose_routes  boolean not null default false,     -- kept for clients; there are no vSwitches
    created_at     timestamptz not null default now(),
    -- Deleted for the tenant. The row, and with it the vni, goes when no host has anything of it any more.
    deleted_at     timestamptz,
    constraint networks_vni_key unique (vni)
);
create unique index networks_name_key on networks (project_id, name) where deleted_at is null;

-- Who is in which network. A VPS that is taken out stays, on its way, until its host has observed that generation:
-- neither its addresses nor the network's vni may be given to others while packets still come and go.
create table vps_networks (
    vps_id             bigint not null references vps,
    network_id         bigint not null references networks,
    mac                text not null,
    joined_at          timestamptz not null default now(),
    leaving_generation bigint,
    primary key (vps_id, network_id)
);
create index vps_networks_network on vps_networks (network_id);
create index vps_networks_leaving on vps_networks (vps_id) where leaving_generation is not null;

-- The addresses of a network that somebody has: each once.
create table network_addresses (
    network_id         bigint not null references networks on delete cascade,
    ip                 inet not null,
    vps_id             bigint not null,
    alias              boolean not null,
    leaving_generation bigint,                         -- as above
    constraint network_addresses_key primary key (network_id, ip),
    foreign key (vps_id, network_id) references vps_networks on delete cascade
);
create index network_addresses_vps on network_addresses (vps_id, network_id);
create index network_addresses_leaving on network_addresses (vps_id) where leaving_generation is not null;

alter table actions add column network_id bigint references networks on delete set null;
create index actions_network on actions (network_id, id) where network_id is not null;

-- Whether packets of private networks pass between two hosts, by what they said of themselves (berth_proto::HostFacts).
create function hosts_reach(a jsonb, b jsonb) returns boolean language sql immutable as $$
    select coalesce((strpos(a ->> 'underlay', ':') > 0) = (strpos(b ->> 'underlay', ':') > 0), false)
           and not coalesce(a -> 'missing' @> '[{"feature": "vxlan"}]', false)
           and not coalesce(b -> 'missing' @> '[{"feature": "vxlan"}]', false)
$$;
