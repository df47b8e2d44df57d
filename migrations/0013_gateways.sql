-- How public addresses reach the host that has them: besides NAT, and routes that the network around has, hosts answer
-- for them on their uplinks (proxy ARP) or announce them to routers (BGP).
alter table pools drop constraint pools_kind_check;
alter table pools add constraint pools_kind_check check (kind in ('nat', 'routed', 'proxy_arp', 'bgp'));

-- With whom a host speaks BGP (`Bgp` of the agents' protocol).
alter table hosts add column bgp jsonb;

-- Rises when a VPS's host must tell neighbours again who has its addresses.
alter table vps add column announce_epoch bigint not null default 0;
-- The addresses that lead to a VPS, as its host said beside its last fault.
alter table vps add column observed_routed jsonb;
