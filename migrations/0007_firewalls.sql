-- Firewalls of a project, in the hcloud API's sense. Who a firewall is applied to is asked for in firewall_targets; what
-- follows for each VPS (its members of vps_firewalls, and the merged rules in vps.firewall that its host is told) is
-- computed in the transaction of whatever changes it. Whoever changes firewalls holds the project's row for update;
-- whoever makes a VPS or changes its labels holds it for share, before any host's row.
create table firewalls (
    id         bigint generated always as identity primary key,
    project_id bigint not null references projects on delete cascade,
    name       text not null,
    labels     jsonb not null default '{}',
    rules      jsonb not null default '[]',            -- domain::firewall::Rule, in the tenant's order
    created_at timestamptz not null default now(),
    constraint firewalls_name_key unique (project_id, name)
);

create table firewall_targets (
    firewall_id bigint not null references firewalls on delete cascade,
    vps_id      bigint references vps,
    selector    text,
    constraint firewall_targets_kind check (num_nonnulls(vps_id, selector) = 1),
    constraint firewall_targets_vps_key unique (firewall_id, vps_id),
    constraint firewall_targets_selector_key unique (firewall_id, selector)
);
create index firewall_targets_vps on firewall_targets (vps_id) where vps_id is not null;

create table vps_firewalls (
    vps_id      bigint not null references vps,
    firewall_id bigint not null references firewalls on delete cascade,
    primary key (vps_id, firewall_id)
);
create index vps_firewalls_firewall on vps_firewalls (firewall_id);

alter table vps add column firewall jsonb;             -- berth_proto::Firewall; null: everything passes

alter table actions add column firewall_id bigint references firewalls on delete set null;
create index actions_firewall on actions (firewall_id, id) where firewall_id is not null;
