-- Firewalls on interfaces in private networks: an option of each firewall, which the hcloud API does not know.
alter table firewalls add column private boolean not null default false;

alter table vps
    add column private_firewall      jsonb,            -- berth_proto::Firewall; null: everything passes
    add column observed_private_hits jsonb;            -- berth_proto::FirewallHits, as observed_hits
