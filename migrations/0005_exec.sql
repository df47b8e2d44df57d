-- Programs that are run in a guest, and files that are fetched and put there: streams as the console's, which know more
-- than which VPS they are of. What is kept here of a program (arguments, environment) lives for seconds, as its row does.

-- What a ticket opens, as JSON of the protocol's `Stream`; null: the console.
alter table console_tickets add column what jsonb;

alter table stream_offers drop constraint stream_offers_kind_check;
alter table stream_offers add constraint stream_offers_kind_check check (kind in ('console', 'other'));
-- What is offered, as above; null for a console.
alter table stream_offers add column what jsonb;
alter table stream_offers add constraint stream_offers_what_check check ((kind = 'console') = (what is null));
