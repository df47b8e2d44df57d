-- Finer limits: what is asked, what became of it, and what happened to guests.

-- What a plan gives beyond its sizes. 0 is "no such limit" (for the weight: by the cap). The figures of both tables are
-- those of `Limits` in the agents' protocol.
alter table plans
    add column cpu_weight             bigint not null default 0 check (cpu_weight between 0 and 10000),
    add column cpu_guarantee_milli    bigint not null default 0 check (cpu_guarantee_milli >= 0),
    add column memory_high_bytes      bigint not null default 0 check (memory_high_bytes >= 0),
    add column memory_guarantee_bytes bigint not null default 0 check (memory_guarantee_bytes >= 0),
    add column disk_read_bps          bigint not null default 0 check (disk_read_bps >= 0),
    add column disk_write_bps         bigint not null default 0 check (disk_write_bps >= 0),
    add column disk_read_iops         bigint not null default 0 check (disk_read_iops >= 0),
    add column disk_write_iops        bigint not null default 0 check (disk_write_iops >= 0),
    add column inodes                 bigint not null default 0 check (inodes >= 0),
    add column open_files             bigint not null default 0 check (open_files >= 0),
    add constraint plans_cpu_guarantee_within_cap check (cpu_guarantee_milli <= cpu_milli),
    add constraint plans_memory_high_within_max check (memory_high_bytes <= memory_bytes),
    add constraint plans_memory_guarantee_within_max check (memory_guarantee_bytes <= memory_bytes);

-- Copied from the plan at creation and at a change of plan; single ones are changed afterwards.
alter table vps
    add column cpu_weight             bigint not null default 0 check (cpu_weight between 0 and 10000),
    add column cpu_guarantee_milli    bigint not null default 0 check (cpu_guarantee_milli >= 0),
    add column memory_high_bytes      bigint not null default 0 check (memory_high_bytes >= 0),
    add column memory_guarantee_bytes bigint not null default 0 check (memory_guarantee_bytes >= 0),
    add column disk_read_bps          bigint not null default 0 check (disk_read_bps >= 0),
    add column disk_write_bps         bigint not null default 0 check (disk_write_bps >= 0),
    add column disk_read_iops         bigint not null default 0 check (disk_read_iops >= 0),
    add column disk_write_iops        bigint not null default 0 check (disk_write_iops >= 0),
    add column inodes                 bigint not null default 0 check (inodes >= 0),
    add column open_files             bigint not null default 0 check (open_files >= 0),
    add column observed_limits        jsonb,           -- what became of each; null while the host says nothing of it
    add constraint vps_cpu_guarantee_within_cap check (cpu_guarantee_milli <= cpu_milli),
    add constraint vps_memory_high_within_max check (memory_high_bytes <= memory_bytes),
    add constraint vps_memory_guarantee_within_max check (memory_guarantee_bytes <= memory_bytes);

-- Guaranteed CPU is never sold twice, whatever the overcommit: at most capacity_cpu_milli. Guaranteed memory needs no
-- sum of its own: it is a part of a VPS's memory, and memory is not overcommitted.
alter table hosts
    add column allocated_cpu_guarantee_milli bigint not null default 0 check (allocated_cpu_guarantee_milli >= 0);

-- What happened to guests, newest kept. Hosts tell the same events again and again: (boot, seq) says which they are.
-- seq 0 is the start of a guest, -1 its end, others are the host's own numbers. `kind` is not a check, because agents may
-- be newer or older; the program knows which kinds it writes.
create table vps_events (
    id     bigint generated always as identity primary key,
    vps_id bigint not null references vps,
    boot   timestamptz not null,                       -- when the guest that it happened to was started
    seq    bigint not null,
    at     timestamptz not null,
    kind   text not null,                              -- started, stopped, halted, rebooted, crashed, lost, oom_kill, limit_hit
    detail jsonb not null default '{}',                -- by kind: exit; victim and pid; limit and count
    constraint vps_events_key unique (vps_id, boot, seq)
);
create index vps_events_newest on vps_events (vps_id, at desc, id desc);

-- How often limits were hit, over time; counters from the start of the guest like the others.
alter table vps_samples
    add column hit_memory_max         bigint not null default 0,
    add column hit_oom_kills          bigint not null default 0,
    add column hit_pids_max           bigint not null default 0,
    add column hit_cpu_throttled_usec bigint not null default 0;
