-- What a person may do in a project, and who is asked to come into one. Members of before could do everything.
alter table memberships
    add column role       text not null default 'owner' constraint memberships_role
                          check (role in ('owner', 'admin', 'member', 'read_only')),
    add column created_at timestamptz not null default now();
create index memberships_user on memberships (user_id);

-- Somebody with this address may join, by a link that they were sent. The link's secret is kept as its hash.
create table invitations (
    id         bigint generated always as identity primary key,
    project_id bigint not null references projects on delete cascade,
    email      text not null,
    role       text not null constraint invitations_role check (role in ('owner', 'admin', 'member', 'read_only')),
    token_hash bytea not null,
    invited_by bigint references users on delete set null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint invitations_token_key unique (token_hash)
);
create unique index invitations_email_key on invitations (project_id, lower(email));
create trigger audited after insert or update or delete on invitations
    for each row execute function audited('invitation', 'token_hash', '');
