-- Quotas: what a project may have at most, set by operators; null is no limit. In the project's own row, because whoever
-- makes something holds that row (for no key update) until the sums were looked at, so that many at once do not pass it.
alter table projects
    add column quota_servers      bigint check (quota_servers >= 0),
    add column quota_cpu_milli    bigint check (quota_cpu_milli >= 0),     -- thousandths of a core, as plans count
    add column quota_memory_bytes bigint check (quota_memory_bytes >= 0),
    add column quota_disk_bytes   bigint check (quota_disk_bytes >= 0),
    add column quota_addresses    bigint check (quota_addresses >= 0),     -- IPv4: primary and floating IPs
    add column quota_prefixes     bigint check (quota_prefixes >= 0);      -- IPv6: /64s of them

-- What a project has. A VPS counts until its host has confirmed that nothing is left of it, as it does on its host; CPU and
-- memory as they are booked there.
create function project_usage(project bigint,
    out servers bigint, out cpu_milli bigint, out memory_bytes bigint, out disk_bytes bigint,
    out addresses bigint, out prefixes bigint) language sql stable as $$
    select v.*, a.* from
        (select count(*), coalesce(sum(greatest(v.cpu_milli, p.cpu_milli)), 0)::bigint,
                coalesce(sum(greatest(v.memory_bytes, p.memory_bytes)), 0)::bigint, coalesce(sum(v.disk_bytes), 0)::bigint
         from vps v join plans p on p.id = v.plan_id where v.project_id = project and v.deleted_at is null) v,
        (select count(*) filter (where family(ip) = 4), count(*) filter (where family(ip) = 6) from (
            select ip from primary_ips i join addresses on primary_ip_id = i.id where i.project_id = project
            union all
            select ip from floating_ips i join addresses on floating_ip_id = i.id where i.project_id = project) held) a
$$;
