-- Signing in by a provider of the operator's (OpenID Connect).

-- Who a person is there. The subject is the provider's own and never given to another; the address is only for showing.
create table identities (
    id           bigint generated always as identity primary key,
    user_id      bigint not null references users on delete cascade,
    issuer       text not null,
    subject      text not null,
    email        text not null,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz,
    constraint identities_subject_key unique (issuer, subject),
    constraint identities_user_key unique (user_id, issuer)
);
create trigger audited after insert or update or delete on identities
    for each row execute function audited('identity', '', 'last_used_at');

-- Who came by a provider has no password before they choose one.
alter table users add column has_password boolean not null default true;

-- Browsers that were sent to the provider: good once, for minutes, and only for the browser that has the cookie.
create table provider_steps (
    holder     bytea primary key,                      -- sha256 of the cookie
    state      bytea not null,                         -- sha256 of what the provider is to send back
    nonce      text not null,                          -- what its token is to hold
    verifier   text not null,                          -- of PKCE
    user_id    bigint references users on delete cascade, -- who wants a link; null: a sign-in
    session    bytea,                                  -- and their session
    next       text not null,
    source     inet,
    expires_at timestamptz not null
);
create index provider_steps_source on provider_steps (source, expires_at);
create index provider_steps_user on provider_steps (user_id);
