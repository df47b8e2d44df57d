-- The inventory. Desired state lives in `vps`; what agents saw lives beside it in the observed_* columns and is never
-- mixed with what was asked. Names of constraints are part of the code: errors are translated by constraint name.
-- Money is in `numeric`, sizes are in bytes unless a name says otherwise, all times are timestamptz.

-- Things that exist once for a whole installation: CA key and certificate, cookie key, currency …
create table settings (
    key   text primary key,
    value jsonb not null
);

create table users (
    id            bigint generated always as identity primary key,
    email         text not null,
    name          text not null default '',
    password_hash text not null,                       -- argon2id, PHC string
    operator      boolean not null default false,
    created_at    timestamptz not null default now()
);
create unique index users_email_key on users (lower(email));

-- Browser sessions. Only the hash of the cookie is kept.
create table sessions (
    token_hash bytea primary key,                      -- sha256
    user_id    bigint not null references users on delete cascade,
    created_at timestamptz not null default now(),
    seen_at    timestamptz not null default now(),
    expires_at timestamptz not null,
    user_agent text not null default ''
);

create table projects (
    id         bigint generated always as identity primary key,
    name       text not null,
    created_at timestamptz not null default now(),
    constraint projects_name_key unique (name)
);

create table memberships (
    project_id bigint not null references projects on delete cascade,
    user_id    bigint not null references users on delete cascade,
    primary key (project_id, user_id)
);

-- API tokens: 64 characters, shown once, kept as sha256. project_id null = operators' API.
create table tokens (
    id           bigint generated always as identity primary key,
    project_id   bigint references projects on delete cascade,
    name         text not null,
    token_hash   bytea not null,
    writable     boolean not null,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz,
    constraint tokens_hash_key unique (token_hash)
);

create table ssh_keys (
    id          bigint generated always as identity primary key,
    project_id  bigint not null references projects on delete cascade,
    name        text not null,
    public_key  text not null,
    fingerprint text not null,                         -- MD5 with colons, as hcloud shows it
    labels      jsonb not null default '{}',
    created_at  timestamptz not null default now(),
    constraint ssh_keys_name_key unique (project_id, name),
    constraint ssh_keys_fingerprint_key unique (project_id, fingerprint)
);

create table locations (
    id           bigint generated always as identity primary key,
    name         text not null,
    description  text not null default '',
    country      text not null default '',
    city         text not null default '',
    latitude     double precision not null default 0,
    longitude    double precision not null default 0,
    network_zone text not null default 'local',
    constraint locations_name_key unique (name)
);

create table datacenters (
    id          bigint generated always as identity primary key,
    location_id bigint not null references locations,
    name        text not null,
    description text not null default '',
    constraint datacenters_name_key unique (name)
);

-- Plans; the hcloud API calls them server types.
create table plans (
    id                  bigint generated always as identity primary key,
    name                text not null,
    description         text not null default '',
    architecture        text not null default 'x86' check (architecture in ('x86', 'arm')),
    cpu_milli           bigint not null check (cpu_milli > 0),
    memory_bytes        bigint not null check (memory_bytes > 0),
    disk_bytes          bigint not null check (disk_bytes > 0),
    swap_bytes          bigint not null default 0 check (swap_bytes >= 0),
    pids                bigint not null default 4096 check (pids > 0),
    bandwidth_mbit      bigint not null default 0 check (bandwidth_mbit >= 0),
    included_traffic    bigint not null default 0 check (included_traffic >= 0),
    price_hourly        numeric(20, 10) not null default 0 check (price_hourly >= 0),   -- net
    price_monthly       numeric(20, 10) not null default 0 check (price_monthly >= 0),  -- net
    retired_at          timestamptz,                   -- not offered any more; existing VPSes keep it
    created_at          timestamptz not null default now(),
    constraint plans_name_key unique (name)
);

create table images (
    id          bigint generated always as identity primary key,
    name        text not null,                         -- 'debian-12'
    description text not null default '',
    os_flavor   text not null default 'unknown',       -- hcloud: debian, ubuntu, …, unknown
    os_version  text,
    architecture text not null default 'x86' check (architecture in ('x86', 'arm')),
    sha256      text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes  bigint not null,                       -- of the archive
    disk_bytes  bigint not null default 0,             -- unpacked
    format      text not null check (format in ('tar', 'tar_gz', 'tar_xz', 'tar_zst')),
    cloud_init  boolean not null default false,
    retired_at  timestamptz,
    created_at  timestamptz not null default now()
);
create unique index images_name_key on images (name) where retired_at is null;

-- A host. `seq` rises with each change of what the host should hold (fleet watch); allocated_* are the sums over its
-- live VPSes, changed in the same transaction as the VPS row, and can never pass capacity × overcommit (check in the
-- update, not here: capacity may shrink below what is sold).
create table hosts (
    id                  bigint generated always as identity primary key,
    name                text not null,
    datacenter_id       bigint not null references datacenters,
    seq                 bigint not null default 1,
    cordoned            boolean not null default false,
    cert_fingerprint    text,                          -- hex sha256 of the only client certificate that is accepted
    next_cert_fingerprint text,                        -- the renewed one: takes its place when it is used for the first time
    revoked_at          timestamptz,
    enrolled_at         timestamptz,
    agent_version       text not null default '',
    agent_started_us    bigint not null default 0,     -- order of reports: (agent_started_us, report_seq)
    report_seq          bigint not null default 0,
    last_report_at      timestamptz,
    capacity_cpu_milli  bigint not null default 0,
    capacity_memory     bigint not null default 0,
    capacity_disk       bigint not null default 0,
    cpu_overcommit      double precision not null default 4 check (cpu_overcommit >= 1),
    allocated_cpu_milli bigint not null default 0 check (allocated_cpu_milli >= 0),
    allocated_memory    bigint not null default 0 check (allocated_memory >= 0),
    allocated_disk      bigint not null default 0 check (allocated_disk >= 0),
    vps_count           bigint not null default 0 check (vps_count >= 0),
    facts               jsonb not null default '{}',
    metrics             jsonb not null default '{}',   -- the last HostMetrics
    images              jsonb not null default '[]',   -- digests of templates that stand ready
    orphans             jsonb not null default '[]',   -- ids of VPSes that it has and that are not ours to run there
    sampled_at          timestamptz,                   -- the last report that went into the samples
    created_at          timestamptz not null default now(),
    constraint hosts_name_key unique (name)
);
create unique index hosts_cert on hosts (cert_fingerprint);
create unique index hosts_next_cert on hosts (next_cert_fingerprint);

create table enrol_tokens (
    token_hash bytea primary key,
    key_sha256 bytea,                                  -- of the public key that used it: the same may ask again
    host_id    bigint not null references hosts on delete cascade,
    expires_at timestamptz not null,
    used_at    timestamptz,
    created_at timestamptz not null default now()
);

-- Address pools. Every usable address of a pool is a row of `addresses`, so that handing one out is a row lock and
-- giving one out twice is impossible. A pool is at most a /16.
create table pools (
    id          bigint generated always as identity primary key,
    name        text not null,
    location_id bigint not null references locations,
    cidr        cidr not null,
    kind        text not null check (kind in ('nat', 'routed')),
    created_at  timestamptz not null default now(),
    constraint pools_name_key unique (name),
    constraint pools_cidr_overlap exclude using gist (cidr inet_ops with &&)
);

-- A rented server. Rows stay after deletion (deleted_at), because an id is never reused and a host that comes back
-- after a year must still be given the tombstone.
create table vps (
    id                  bigint generated always as identity primary key,
    uuid                uuid not null,
    project_id          bigint not null references projects,
    name                text not null,
    labels              jsonb not null default '{}',
    host_id             bigint not null references hosts,
    plan_id             bigint not null references plans,
    image_id            bigint not null references images,
    -- the limits that were sold, copied from the plan at creation: a later change of a plan changes no VPS
    cpu_milli           bigint not null,
    memory_bytes        bigint not null,
    swap_bytes          bigint not null,
    disk_bytes          bigint not null,
    pids                bigint not null,
    bandwidth_mbit      bigint not null,
    -- desired
    generation          bigint not null default 1,
    host_seq            bigint not null,               -- hosts.seq when this row's desired state changed last
    power               text not null check (power in ('running', 'stopped')),
    boot_epoch          bigint not null default 0,
    stop_timeout_s      integer not null default 0 check (stop_timeout_s >= 0),  -- 0 = hard
    mac                 text not null,
    ssh_keys            jsonb not null default '[]',
    root_password_hash  text,
    password_epoch      bigint not null default 0,
    user_data           text,
    protect_delete      boolean not null default false,
    deleting_at         timestamptz,                   -- tombstone asked for
    deleted_at          timestamptz,                   -- the host confirmed that nothing is left
    -- observed
    observed_generation     bigint not null default 0,
    observed_state          text not null default 'unknown',
    observed_boot_epoch     bigint not null default 0,
    observed_password_epoch bigint not null default 0,
    observed_started_at     timestamptz,
    observed_exit           jsonb,
    observed_fault          jsonb,
    observed_metrics        jsonb,
    observed_at             timestamptz,
    created_at          timestamptz not null default now()
);
-- A name is free again as soon as its VPS is gone.
create unique index vps_name_key on vps (project_id, lower(name)) where deleted_at is null;
create index vps_host_seq on vps (host_id, host_seq);
create index vps_project on vps (project_id) where deleted_at is null;

create table addresses (
    ip      inet primary key,
    pool_id bigint not null references pools on delete cascade,
    vps_id  bigint references vps,
    constraint addresses_vps_key unique (vps_id)
);
create index addresses_free on addresses (pool_id, ip) where vps_id is null;

-- What was asked and how it went. An action of a VPS is done when the host has observed `generation` (and what the
-- command waits for), or has failed it.
create table actions (
    id            bigint generated always as identity primary key,
    project_id    bigint not null references projects on delete cascade,
    command       text not null,                       -- create_server, delete_server, start_server, …
    status        text not null default 'running' check (status in ('running', 'success', 'error')),
    progress      integer not null default 0 check (progress between 0 and 100),
    vps_id        bigint references vps,
    image_id      bigint references images,
    generation    bigint not null default 0,
    boot_epoch    bigint not null default 0,           -- boot epoch that a start/reboot waits for
    password_epoch bigint not null default 0,
    error_code    text,
    error_message text,
    started_at    timestamptz not null default now(),
    finished_at   timestamptz
);
create index actions_project on actions (project_id, id);
create index actions_vps on actions (vps_id, id);
create index actions_running on actions (vps_id) where status = 'running';

-- Answers to POST requests that carried an Idempotency-Key, written in the transaction of the effect. Holds what was
-- made, not the answer itself: the answer may have shown a password, and that is kept nowhere.
create table idempotency (
    project_id   bigint not null references projects on delete cascade,
    key          text not null,
    request_hash bytea not null,                       -- sha256 of the request's body
    vps_id       bigint not null references vps,
    action_id    bigint not null references actions on delete cascade,
    created_at   timestamptz not null default now(),
    primary key (project_id, key)
);

-- Metrics, a bounded window: one partition a day, made ahead and dropped behind by a background task.
create table vps_samples (
    vps_id          bigint not null,
    at              timestamptz not null,
    cpu_usec        bigint not null,
    memory_bytes    bigint not null,
    swap_bytes      bigint not null,
    pids            bigint not null,
    disk_used_bytes bigint not null,
    disk_read_bytes bigint not null,
    disk_write_bytes bigint not null,
    disk_read_ops   bigint not null,
    disk_write_ops  bigint not null,
    net_in_bytes    bigint not null,
    net_out_bytes   bigint not null,
    net_in_packets  bigint not null,
    net_out_packets bigint not null,
    primary key (vps_id, at)
) partition by range (at);

create table host_samples (
    host_id      bigint not null,
    at           timestamptz not null,
    cpu_busy     double precision not null,
    load1        double precision not null,
    memory_used_bytes bigint not null,
    disk_used_bytes   bigint not null,
    primary key (host_id, at)
) partition by range (at);
-- Rows that fall outside every daily partition still land somewhere.
create table vps_samples_default partition of vps_samples default;
create table host_samples_default partition of host_samples default;
