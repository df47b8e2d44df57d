-- Reverse DNS: which name an address leads to. What is wanted is here; a background task brings each pool's name server to
-- it (RFC 2136), now or whenever it answers again.
create table pool_name_servers (
    pool_id       bigint primary key references pools on delete cascade,
    server        text not null,                       -- address:port of the zones' primary server
    zones         text[] not null,                     -- without the last dot; together they hold the whole pool
    key_name      text not null,
    key_algorithm text not null constraint pool_name_servers_algorithm
                  check (key_algorithm in ('hmac-sha256', 'hmac-sha512')),
    key_secret    bytea not null,                      -- never told to anybody
    default_name  text,                                -- a template; null: what nobody has named has no name
    ttl_s         bigint not null constraint pool_name_servers_ttl check (ttl_s between 1 and 604800),
    failures      integer not null default 0,          -- tries in a row that were not answered
    next_at       timestamptz not null default now(),  -- when it is tried again
    error         text,                                -- why the last try failed
    error_at      timestamptz
);

-- An address without a row has no name that we wrote, and is to have none.
create table reverse_names (
    ip         inet primary key,                       -- a single address
    address    inet not null references addresses on delete cascade,  -- what it is part of: itself, or an IPv6 network
    chosen     text,                                   -- by the tenant; null: the pool's default
    version    bigint not null default 1,              -- rises whenever something else may be wanted
    written    bigint not null default 0,              -- the version that the name server has taken
    failures   integer not null default 0,             -- refusals in a row
    next_at    timestamptz not null default now(),     -- when it is tried again
    error      text,                                   -- why it was refused
    constraint reverse_names_single check (masklen(ip) = case family(ip) when 4 then 32 else 128 end),
    constraint reverse_names_inside check (ip <<= address)
);
create index reverse_names_address on reverse_names (address);
create index reverse_names_due on reverse_names (next_at) where written < version;

-- The address whose name an action has changed; it runs until the name server has taken that.
alter table actions add column reverse_ip inet;
create index actions_reverse on actions (reverse_ip) where status = 'running' and reverse_ip is not null;
