-- What the operators' pages need.

-- When somebody signed in last: sessions are forgotten when they end, the trail remembers.
create index audit_signed_in on audit (target_id, at) where event = 'session.started';
