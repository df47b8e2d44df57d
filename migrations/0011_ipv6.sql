-- Public IPv6. A pool is a prefix of /32 to /64, and what a project holds of it is a /64, which is one row of `addresses`
-- like a single IPv4 address. There may be billions of them, so rows are made a few hundred at a time, when none is free.
alter table pools
    add column made bigint not null default 0,         -- so many /64 of the prefix have a row; IPv4: not used
    add constraint pools_made check (made >= 0),
    add constraint pools_family check (family(cidr) = 4 or (kind = 'routed' and masklen(cidr) between 32 and 64));

alter table addresses add constraint addresses_size
    check (masklen(ip) = case family(ip) when 4 then 32 else 64 end);

-- One primary IP of each family a VPS.
drop index addresses_vps_key;
create unique index addresses_vps_key on addresses (vps_id, family(ip)) where primary_ip_id is not null;
