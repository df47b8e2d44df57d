-- Consoles: who may open one, and the offers by which agents learn that a stream is wanted. Rows of both tables live for
-- seconds; whatever is left of them when its time is over means nothing and is removed by the background task.

-- One opening of one console: made by a request of the API or of the dashboard, used up by the WebSocket. It dies with
-- the token or the session that asked for it.
create table console_tickets (
    token_hash   bytea primary key,                    -- sha256
    vps_id       bigint not null references vps,
    project_id   bigint not null references projects on delete cascade,
    token_id     bigint references tokens on delete cascade,
    session_hash bytea references sessions on delete cascade,
    expires_at   timestamptz not null,
    constraint console_tickets_asker check (num_nonnulls(token_id, session_hash) = 1)
);
create index console_tickets_vps on console_tickets (vps_id);

-- A replica waits for a stream of a host. Told in the host's watch until the stream is opened (which removes the row) or
-- the offer expires. `agent_url` is where the waiting replica is found; null: where the agent calls anyway.
create table stream_offers (
    id         uuid primary key,
    host_id    bigint not null references hosts,
    kind       text not null check (kind in ('console')),
    vps_id     bigint not null references vps,
    agent_url  text,
    told_at    timestamptz,                            -- the answer may be lost, so it is told again after a while
    expires_at timestamptz not null
);
create index stream_offers_host on stream_offers (host_id);
