-- What the operators' pages need.

-- When somebody signed in last: sessions are forgotten when they end, the trail remembers.
create index audit_signed_in on audit (target_id, at) where event = 'session.started';

-- What is in trouble is found without a look at what went well.
create index actions_trouble on actions (id) where status <> 'success';

alter table hosts
    add column cordon_reason   text,                   -- for other operators
    add column cert_until      timestamptz,            -- null: the certificate is older than this column
    add column next_cert_until timestamptz,
    add constraint hosts_cordon_reason check (cordoned or cordon_reason is null);
