-- Tokens that may less than all, for a time, from some networks only. Those of before keep what they may: null is no limit.
alter table tokens
    add column scopes     text[],                      -- 'servers:write', 'audit:read'; null: as `writable` says
    add column expires_at timestamptz,
    add column sources    inet[];                      -- networks
