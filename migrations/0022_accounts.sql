-- Accounts that people make themselves: mail on its way out, and what the links in it are good for.

-- Written in the transaction of what it tells of, and sent by a background task. A row goes when the mail server has taken
-- it; its text holds a link, so it is kept no longer than that.
create table mails (
    id         bigint generated always as identity primary key,
    recipient  text not null,
    subject    text not null,
    body       text not null,
    created_at timestamptz not null default now(),
    tries      integer not null default 0,
    next_at    timestamptz not null default now(),
    error      text                                    -- why the last try failed
);
create index mails_due on mails (next_at);

-- An address is somebody's when a link that was sent there came back. Who was made by an operator is believed.
alter table users add column email_verified_at timestamptz;
update users set email_verified_at = created_at;

create table mail_links (
    token_hash bytea primary key,                      -- sha256
    user_id    bigint not null references users on delete cascade,
    purpose    text not null constraint mail_links_purpose check (purpose in ('verify', 'reset')),
    expires_at timestamptz not null
);
create index mail_links_user on mail_links (user_id, purpose);

-- Names are those of their owners: two tenants may call their projects alike.
alter table projects drop constraint projects_name_key;
create index projects_name on projects (name);

-- Sessions are shown to whom they belong, who ends one by its number.
alter table sessions add column id bigint generated always as identity, add column source inet;
create unique index sessions_id on sessions (id);
create index sessions_user on sessions (user_id);
