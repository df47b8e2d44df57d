-- An operator suspends a project: its servers stand still and its people may only look. Nothing is deleted, and what was
-- desired of each server stays in its row, so that lifting the suspension brings all of it back.
alter table projects
    add column suspended_at     timestamptz,
    add column suspended_reason text,
    add constraint projects_suspended_reason check ((suspended_at is null) = (suspended_reason is null));
-- Copied to the servers, since hosts are told of these alone.
alter table vps add column suspended boolean not null default false;
