-- What passes to and from VPSes: how much of it, and what may not.

-- The first day of the month of traffic that a moment belongs to. The day on which months begin is the setting
-- `traffic_reset_day`, 1 to 28; times are UTC.
create function traffic_period(moment timestamptz) returns date language sql stable as $$
    select (date_trunc('month', moment at time zone 'UTC' - make_interval(days => day - 1))
            + make_interval(days => day - 1))::date
    from (select coalesce((select (value #>> '{}')::integer from settings where key = 'traffic_reset_day'), 1)) s(day)
$$;

-- How far each pair of a host's counters was taken in (berth_proto::TrafficCount). Hosts tell the same and older counts
-- again: what is more than this is new, and it is added to `traffic` in the same statement.
create table traffic_epochs (
    vps_id      bigint not null references vps,
    epoch       text not null,
    in_bytes    bigint not null,
    in_packets  bigint not null,
    out_bytes   bigint not null,
    out_packets bigint not null,
    primary key (vps_id, epoch)
);

-- Traffic by month, as the VPS sees it. Stays when the VPS is deleted: its project has used it.
create table traffic (
    vps_id      bigint not null references vps,
    period      date not null,                         -- first day
    project_id  bigint not null references projects on delete cascade,
    in_bytes    bigint not null,
    in_packets  bigint not null,
    out_bytes   bigint not null,
    out_packets bigint not null,
    primary key (vps_id, period)
);
create index traffic_project on traffic (project_id, period);
