-- Traffic of private networks, counted apart from public traffic: it costs nothing and climbs no ladder.
alter table traffic_epochs
    add column private boolean not null default false,
    drop constraint traffic_epochs_pkey,
    add primary key (vps_id, private, epoch);

alter table traffic
    add column private_in_bytes    bigint not null default 0,
    add column private_in_packets  bigint not null default 0,
    add column private_out_bytes   bigint not null default 0,
    add column private_out_packets bigint not null default 0;

alter table vps_samples
    add column private_in_bytes    bigint not null default 0,
    add column private_out_bytes   bigint not null default 0,
    add column private_in_packets  bigint not null default 0,
    add column private_out_packets bigint not null default 0;
