-- A second factor: a secret that a person's authenticator has too (TOTP, RFC 6238), and codes for when it is lost.
create table second_factors (
    user_id      bigint primary key references users on delete cascade,
    secret       bytea not null,                       -- 20 bytes
    confirmed_at timestamptz,                          -- null: shown, but no code came back yet
    last_step    bigint not null default 0,            -- of the last code that was taken: none is taken twice
    wrong        integer not null default 0,           -- codes that were wrong on wrong_day
    wrong_day    date not null default current_date,
    created_at   timestamptz not null default now()
);
create trigger audited after insert or delete or update of confirmed_at on second_factors
    for each row execute function audited('second_factor', 'secret', 'last_step,wrong,wrong_day');

-- Each is good once, instead of a code.
create table recovery_codes (
    user_id   bigint not null references users on delete cascade,
    code_hash bytea not null,                          -- sha256
    primary key (user_id, code_hash)
);

-- Somebody gave the right password and is asked for a code. It lives for minutes and bears few tries.
create table sign_in_steps (
    token_hash bytea primary key,                      -- sha256
    user_id    bigint not null references users on delete cascade,
    wrong      integer not null default 0,
    expires_at timestamptz not null
);
create index sign_in_steps_user on sign_in_steps (user_id);
