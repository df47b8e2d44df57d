-- Pools of IPv6 reach hosts in the same ways as those of IPv4, but for NAT.
alter table pools drop constraint pools_family;
alter table pools add constraint pools_family
    check (family(cidr) = 4 or (kind <> 'nat' and masklen(cidr) between 32 and 64));

-- What a host lacks to serve addresses of a pool of this kind and family, by what it says of itself
-- (berth_proto::HostFacts) and by with whom it speaks BGP (berth_proto::Bgp); null: nothing. In db/gateways/serving.rs the
-- words become sentences.
create function host_lacks(facts jsonb, bgp jsonb, kind text, family integer) returns text language sql immutable as $$
    select case
        when family = 6 and coalesce(facts -> 'missing' @> '[{"feature": "ipv6"}]', false) then 'ipv6'
        when kind = 'proxy_arp' and coalesce(facts -> 'missing' @> '[{"feature": "uplink"}]', false) then 'uplink'
        when kind = 'bgp' and coalesce(facts -> 'missing' @> '[{"feature": "bird"}]', false) then 'bird'
        when kind = 'bgp' and not exists (
            select from jsonb_array_elements(coalesce(bgp -> 'neighbours', '[]')) as n
            where (strpos(n ->> 'address', ':') > 0) = (family = 6)) then 'routers'
    end
$$;

-- Whether a location has addresses of a family for a VPS on a host: 'none' (no pool), 'full', 'free', or else what the host
-- lacks for those that are free.
create function supply(facts jsonb, bgp jsonb, location bigint, wanted integer) returns text language sql as $$
    select case
        when count(*) = 0 then 'none'
        when bool_or(free and lack is null) then 'free'
        when bool_or(free) then min(lack) filter (where free)
        else 'full' end
    from (
        select host_lacks(facts, bgp, p.kind, wanted) as lack,
               (wanted = 6 and p.made < greatest((1::bigint << (64 - masklen(p.cidr))) - 1, 1))
               or exists (select from addresses a
                          where a.pool_id = p.id and not a.held
                            and (a.released_at is null or a.released_at
                                 <= clock_timestamp() - make_interval(secs => p.quarantine_s))
                            and not exists (select from address_releases r where r.ip = a.ip)) as free
        from pools p where p.location_id = location and family(p.cidr) = wanted
    ) pool
$$;
