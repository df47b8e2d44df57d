-- Whether packets of private networks between hosts of a location, and between them and others, are encrypted by
-- WireGuard. A host's key is in what it says of itself (berth_proto::HostFacts).
alter table locations add column encrypted boolean not null default false;

-- Whether a host's location encrypts.
create function host_encrypts(h hosts) returns boolean language sql stable as $$
    select l.encrypted from datacenters d join locations l on l.id = d.location_id where d.id = h.datacenter_id
$$;

-- Whether a host can have VPSes in private networks, as far as its location is concerned.
create function host_joins(h hosts) returns boolean language sql stable as $$
    select h.facts ->> 'wireguard' is not null or not host_encrypts(h)
$$;

-- Whether two hosts can have VPSes in one private network.
create function hosts_meet(a hosts, b hosts) returns boolean language sql stable as $$
    select hosts_reach(a.facts, b.facts)
           and ((a.facts ->> 'wireguard' is not null and b.facts ->> 'wireguard' is not null)
                or not (host_encrypts(a) or host_encrypts(b)))
$$;
