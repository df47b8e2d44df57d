-- Rights on single servers, for people who are not in the project, or may less there. What each level may is said in
-- server/src/domain/grants.rs. They end with the server, with the account, and when somebody is taken out of the project.
create table grants (
    id         bigint generated always as identity primary key,
    project_id bigint not null references projects on delete cascade, -- the server's
    vps_id     bigint not null references vps on delete cascade,
    user_id    bigint not null references users on delete cascade,
    level      text not null constraint grants_level check (level in ('view', 'operate', 'manage')),
    created_at timestamptz not null default now(),
    constraint grants_user_key unique (vps_id, user_id)
);
create index grants_of_user on grants (user_id, project_id);
create trigger audited after insert or update or delete on grants
    for each row execute function audited('grant', '', '');

-- An invitation is to a project, as somebody, or to one server of it.
alter table invitations
    alter column role drop not null,
    add column vps_id bigint references vps on delete cascade,
    add column level text constraint invitations_level check (level in ('view', 'operate', 'manage')),
    add constraint invitations_for check ((role is null) = (vps_id is not null) and (level is null) = (vps_id is null));
drop index invitations_email_key;
create unique index invitations_email_key on invitations (project_id, lower(email)) where vps_id is null;
create unique index invitations_server_key on invitations (vps_id, lower(email)) where vps_id is not null;

-- Rows of servers outlive them, since their actions stay readable.
create function grants_end() returns trigger language plpgsql as $$
begin
    delete from grants where vps_id = new.id;
    delete from invitations where vps_id = new.id;
    return null;
end $$;
create trigger grants_end after update of deleted_at on vps for each row
    when (old.deleted_at is null and new.deleted_at is not null) execute function grants_end();
