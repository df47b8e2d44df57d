-- The life of a VPS beyond on and off: whether it stands still, what happens when it ends by itself, and when its turn is
-- after its host has booted.
alter table vps
    -- desired
    add column frozen          boolean not null default false,  -- every power command ends it
    add column restart_policy  text not null default 'on-failure'
                               check (restart_policy in ('always', 'on-failure', 'never')),
    add column autostart_order integer not null default 0,      -- smaller ones are started first
    -- observed
    add column observed_frozen boolean not null default false;
