-- Passkeys (WebAuthn): keys that a person's devices hold, beside the password or in its place.

-- By what devices know a person: random, so that it tells nothing, and one for all passkeys of theirs.
create table passkey_handles (
    user_id bigint primary key references users on delete cascade,
    handle  uuid not null default gen_random_uuid() constraint passkey_handles_handle_key unique
);

create table passkeys (
    id            bigint generated always as identity primary key,
    user_id       bigint not null references users on delete cascade,
    name          text not null,
    credential_id bytea not null constraint passkeys_credential_id_key unique,
    credential    jsonb not null,                      -- public key and counter, as webauthn-rs writes them: nothing secret
    created_at    timestamptz not null default now(),
    last_used_at  timestamptz
);
create index passkeys_user on passkeys (user_id);
create trigger audited after insert or delete or update of name on passkeys
    for each row execute function audited('passkey', 'credential,credential_id', 'last_used_at');

-- What a device was asked to sign. It is good once and for minutes, and only for who asked: a session that adds a passkey,
-- a sign-in that waits for its second factor, or a browser at the sign-in page.
create table passkey_challenges (
    holder     bytea not null,                         -- sha256 of the cookie of who asked
    purpose    text not null constraint passkey_challenges_purpose check (purpose in ('add', 'factor', 'sign_in')),
    user_id    bigint references users on delete cascade, -- whose passkey it is to be; null: anybody's
    state      jsonb not null,
    source     inet,
    expires_at timestamptz not null,
    primary key (holder, purpose)
);
create index passkey_challenges_source on passkey_challenges (source, expires_at) where purpose = 'sign_in';
create index passkey_challenges_user on passkey_challenges (user_id);
