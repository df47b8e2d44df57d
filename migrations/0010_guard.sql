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

-- What follows when more has gone out in a month than a plan includes, and ports that its VPSes reach nobody at. Unlike
-- the rest of a plan these are the operator's policy, and hold for VPSes that are there when they change.
alter table plans
    add column over_traffic  text not null default 'nothing' check (over_traffic in ('nothing', 'throttle', 'suspend')),
    add column throttle_mbit bigint not null default 10 check (throttle_mbit > 0),
    add column blocked_ports jsonb not null default '[]';  -- berth_proto::BlockedPort

-- Whether what its plans include is one sum for all VPSes of a project.
alter table projects add column traffic_pooled boolean not null default false;

alter table vps
    add column isolated_at           timestamptz,      -- by an operator
    add column isolated_reason       text,
    -- what was found and done about traffic; what the host is told follows from it and from what is desired
    add column traffic_percent       smallint not null default 0 check (traffic_percent in (0, 80, 100)),
    add column traffic_throttle_mbit bigint not null default 0 check (traffic_throttle_mbit >= 0),
    add column traffic_suspended     boolean not null default false,
    add constraint vps_isolated_reason check ((isolated_at is null) = (isolated_reason is null));

-- Whom guests ask for names; empty: whom their host asks.
alter table locations add column resolvers jsonb not null default '[]';

-- berth_proto::FirewallHits of the rules that hold now; null where nothing is known of them.
alter table vps add column observed_hits jsonb;
