-- Sums of the samples of VPSes, so that 30 days can be shown without reading a sample every ten seconds.
--
-- A row of five minutes is made of samples when those five minutes are over, a row of an hour of its twelve rows of five
-- minutes. Counters are kept as what they rose by, and gauges as sums beside the number of samples, so rows of any number
-- of spans are added up to what the samples themselves would have given. Who makes them: `server/src/db/sums.rs`.

-- How far a counter rose between two samples. One that fell began anew with a guest: what it shows was used since.
create function risen(new_value bigint, old_value bigint) returns bigint language sql immutable as $$
    select case when new_value >= old_value then new_value - old_value else new_value end
$$;

-- Sums over the samples of one VPS from `since` until before `before`, in buckets of `step` seconds that are counted from
-- `since`. A sample counts for the bucket that it was taken in, with the time since the sample before it; where that is
-- more than `gap` seconds, nothing is known of the time between. The one place that makes sums of samples.
create function sample_sums(of_vps bigint, since timestamptz, before timestamptz, step double precision, gap double precision)
returns table (
    at timestamptz, seconds double precision, samples bigint,
    memory_sum bigint, memory_max bigint, swap_sum bigint, disk_used_sum bigint,
    cpu_usec bigint, disk_read_bytes bigint, disk_write_bytes bigint, disk_read_ops bigint,
    disk_write_ops bigint, net_in_bytes bigint, net_out_bytes bigint, net_in_packets bigint,
    net_out_packets bigint, hit_memory_max bigint, hit_oom_kills bigint, hit_pids_max bigint,
    hit_cpu_throttled_usec bigint, private_in_bytes bigint, private_out_bytes bigint,
    private_in_packets bigint, private_out_packets bigint
) language sql stable as $$
    select date_bin(make_interval(secs => step), p.at, since), sum(p.dt), count(*),
           sum(p.memory_bytes)::bigint, max(p.memory_bytes), sum(p.swap_bytes)::bigint, sum(p.disk_used_bytes)::bigint,
           sum(p.cpu_usec)::bigint, sum(p.disk_read_bytes)::bigint, sum(p.disk_write_bytes)::bigint, sum(p.disk_read_ops)::bigint,
           sum(p.disk_write_ops)::bigint, sum(p.net_in_bytes)::bigint, sum(p.net_out_bytes)::bigint, sum(p.net_in_packets)::bigint,
           sum(p.net_out_packets)::bigint, sum(p.hit_memory_max)::bigint, sum(p.hit_oom_kills)::bigint, sum(p.hit_pids_max)::bigint,
           sum(p.hit_cpu_throttled_usec)::bigint, sum(p.private_in_bytes)::bigint, sum(p.private_out_bytes)::bigint,
           sum(p.private_in_packets)::bigint, sum(p.private_out_packets)::bigint
    from (
        select s.at, extract(epoch from s.at - lag(s.at) over w)::double precision as dt,
               s.memory_bytes, s.swap_bytes, s.disk_used_bytes,
               risen(s.cpu_usec, lag(s.cpu_usec) over w) as cpu_usec,
               risen(s.disk_read_bytes, lag(s.disk_read_bytes) over w) as disk_read_bytes,
               risen(s.disk_write_bytes, lag(s.disk_write_bytes) over w) as disk_write_bytes,
               risen(s.disk_read_ops, lag(s.disk_read_ops) over w) as disk_read_ops,
               risen(s.disk_write_ops, lag(s.disk_write_ops) over w) as disk_write_ops,
               risen(s.net_in_bytes, lag(s.net_in_bytes) over w) as net_in_bytes,
               risen(s.net_out_bytes, lag(s.net_out_bytes) over w) as net_out_bytes,
               risen(s.net_in_packets, lag(s.net_in_packets) over w) as net_in_packets,
               risen(s.net_out_packets, lag(s.net_out_packets) over w) as net_out_packets,
               risen(s.hit_memory_max, lag(s.hit_memory_max) over w) as hit_memory_max,
               risen(s.hit_oom_kills, lag(s.hit_oom_kills) over w) as hit_oom_kills,
               risen(s.hit_pids_max, lag(s.hit_pids_max) over w) as hit_pids_max,
               risen(s.hit_cpu_throttled_usec, lag(s.hit_cpu_throttled_usec) over w) as hit_cpu_throttled_usec,
               risen(s.private_in_bytes, lag(s.private_in_bytes) over w) as private_in_bytes,
               risen(s.private_out_bytes, lag(s.private_out_bytes) over w) as private_out_bytes,
               risen(s.private_in_packets, lag(s.private_in_packets) over w) as private_in_packets,
               risen(s.private_out_packets, lag(s.private_out_packets) over w) as private_out_packets
        from vps_samples s
        where s.vps_id = of_vps and s.at > since - make_interval(secs => gap) and s.at < before
        window w as (order by s.at)
    ) p
    where p.at >= since and p.dt > 0 and p.dt <= gap
    group by 1
$$;

-- One partition a day, made ahead and dropped behind like those of the samples. No sum can be too large for its type: a
-- sample's figures are below 2^53, and there are at most 720 samples in an hour.
create table vps_sums_5m (
    vps_id        bigint not null,
    at            timestamptz not null,                -- begin of the span
    seconds       double precision not null,           -- of it of which something is known
    samples       bigint not null,
    memory_sum    bigint not null,                    -- over the samples, bytes
    memory_max    bigint not null,
    swap_sum      bigint not null,
    disk_used_sum bigint not null,
    cpu_usec               bigint not null,
    disk_read_bytes        bigint not null,
    disk_write_bytes       bigint not null,
    disk_read_ops          bigint not null,
    disk_write_ops         bigint not null,
    net_in_bytes           bigint not null,
    net_out_bytes          bigint not null,
    net_in_packets         bigint not null,
    net_out_packets        bigint not null,
    hit_memory_max         bigint not null,
    hit_oom_kills          bigint not null,
    hit_pids_max           bigint not null,
    hit_cpu_throttled_usec bigint not null,
    private_in_bytes       bigint not null,
    private_out_bytes      bigint not null,
    private_in_packets     bigint not null,
    private_out_packets    bigint not null,
    primary key (vps_id, at)
) partition by range (at);
create table vps_sums_5m_default partition of vps_sums_5m default;
-- Sums of the time before this migration come there; by this they are found when they are old.
create index vps_sums_5m_default_at on vps_sums_5m_default using brin (at);

-- In one piece, since a month of a VPS is read at once: 720 rows. Old ones are deleted by their time.
create table vps_sums_1h (like vps_sums_5m including all);
create index vps_sums_1h_at on vps_sums_1h (at);

-- Up to when there are sums; samples are kept for 30 days, so those that are here already are summed up from there.
create table vps_sums_done (
    one  boolean primary key default true check (one),
    upto timestamptz not null                          -- always a whole five minutes
);
insert into vps_sums_done (upto)
select date_bin('1 hour', case when exists (select from vps_samples) then now() - interval '30 days' else now() end,
                'epoch'::timestamptz);
