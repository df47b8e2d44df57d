-- What an import learns about an image beyond its archive, and a format more.

alter table images drop constraint images_format_check;
alter table images add constraint images_format_check
    check (format in ('tar', 'tar_gz', 'tar_xz', 'tar_zst', 'squashfs'));

-- Name of the signal that asks its init to stop ('SIGPWR'); null: hosts find it out by looking at the init.
alter table images add column stop_signal text;
-- A user that the image has and whom root's keys are for as well.
alter table images add column default_user text;
