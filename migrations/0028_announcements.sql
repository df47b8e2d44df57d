-- What operators tell everybody, or those who have servers in one location: shown on their pages from one moment to another.
create table announcements (
    id          bigint generated always as identity primary key,
    title       text not null,
    text        text not null,
    kind        text not null constraint announcements_kind check (kind in ('info', 'warning', 'maintenance')),
    location_id bigint references locations on delete cascade,  -- null: everywhere
    from_at     timestamptz not null,
    until_at    timestamptz not null,
    created_at  timestamptz not null default now(),
    constraint announcements_order check (until_at > from_at)
);
create index announcements_until on announcements (until_at);
create trigger audited after insert or update or delete on announcements
    for each row execute function audited('announcement', '', '');

-- Who has read one and wants to see it no more. No change that anybody would look for, so the trail has none of it.
create table announcement_dismissals (
    announcement_id bigint not null references announcements on delete cascade,
    user_id         bigint not null references users on delete cascade,
    primary key (announcement_id, user_id)
);
