-- Rows for benchmarks/admin.py: 100 ledger lines for each of :accounts accounts over 90 days, in the
-- order of time, and one account with 50,000 more. Balances and hashes are made up.

CREATE FUNCTION moment(account bigint, sequence bigint) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS
$$ SELECT timestamptz '2026-01-01 00:00Z'
   + ((sequence - 1) * :accounts + account) * (interval '90 days' / (100.0 * :accounts)) $$;

CREATE FUNCTION row_id(account bigint, sequence bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS
$$ SELECT account << 32 | sequence $$;

CREATE FUNCTION work_id(account bigint, sequence bigint) RETURNS text IMMUTABLE LANGUAGE sql AS
$$ SELECT md5(account || '/' || sequence)::uuid::text $$;

INSERT INTO accounts_user (id, password, is_superuser, is_staff, is_active, date_joined, email, timezone)
SELECT a, '', false, false, true, moment(a, 1), 'bench' || a || '@example.com', ''
FROM generate_series(1, :accounts) a;

SELECT setval(pg_get_serial_sequence('accounts_user', 'id'), :accounts);

INSERT INTO credits_account (id, user_id, subscription_credits, promotional_credits, bulk_credits, owed,
  status, stripe_customer_id, sequence, chain_head, created_at)
SELECT a, a, 10, 0, 1000, 0, 'active', 'cus_' || a, 100, md5(a::text), moment(a, 1)
FROM generate_series(1, :accounts) a;

INSERT INTO credits_creditlot (id, account_id, pool, granted, remaining, frozen, clawed_back,
  clawed_back_owed, amount_paid, currency, expires_at, terms, source_key, created_at)
SELECT row_id(a, s), a, pool, 1000, left_over, 0, 0, 0, 900, 'usd', ends, '{"slug": "pro"}', key, moment(a, s)
FROM generate_series(1, :accounts) a,
  LATERAL (VALUES
    (1, 'bulk', 500, NULL::timestamptz, 'checkout:cs_' || a),
    (2, 'subscription', 0, moment(a, 50), 'invoice:in_' || a),
    (80, 'promotional', 10, moment(a, 100), 'code:' || a)
  ) AS lot (s, pool, left_over, ends, key)
WHERE s < 80 OR a % 5 = 0;

INSERT INTO credits_hold (id, account_id, amount, captured, state, reference, idempotency_key,
  arguments_hash, created_at, settled_at)
SELECT row_id(a, s), a, 1, CASE WHEN s % 20 = 19 THEN 0 ELSE 1 END,
  CASE WHEN s % 20 = 19 THEN 'released' ELSE 'captured' END, 'generation:' || work_id(a, s),
  'generation:' || work_id(a, s), md5(s::text), moment(a, s), moment(a, s) + interval '9 s'
FROM generate_series(3, 100) s, generate_series(1, :accounts) a
WHERE s % 20 <> 0 AND s NOT IN (50, 70, 80, 90);

INSERT INTO credits_ledgerentry (id, account_id, sequence, kind, pool, lot_id, hold_id, amount,
  balance_after, owed_after, reference, actor, note, created_at, previous_hash, hash)
SELECT row_id(a, s), a, s,
  CASE WHEN s < 3 OR s = 80 AND a % 5 = 0 THEN 'grant' WHEN s % 20 = 0 THEN 'release'
    WHEN s = 50 THEN 'expire' WHEN s = 70 AND a % 500 = 0 THEN 'adjust'
    WHEN s = 90 AND a % 2000 = 1 THEN 'freeze' ELSE 'hold' END,
  CASE WHEN s > 80 AND a % 50 = 0 THEN 'promotional' WHEN s BETWEEN 2 AND 50 THEN 'subscription' ELSE 'bulk' END,
  CASE WHEN s > 80 AND a % 50 = 0 THEN row_id(a, 80) WHEN s BETWEEN 2 AND 50 THEN row_id(a, 2) ELSE row_id(a, 1) END,
  CASE WHEN s < 3 OR s IN (50, 70, 80, 90) THEN NULL WHEN s % 20 = 0 THEN row_id(a, s - 1) ELSE row_id(a, s) END,
  CASE WHEN s < 3 THEN 1000 WHEN s % 20 = 0 THEN 1 ELSE -1 END, 1000, 0,
  CASE WHEN s = 1 THEN 'checkout:cs_' || a WHEN s = 2 THEN 'invoice:in_' || a
    ELSE 'generation:' || work_id(a, s - CASE WHEN s % 20 = 0 THEN 1 ELSE 0 END) END,
  'customer', '', moment(a, s), repeat('0', 64), repeat('f', 64)
FROM generate_series(1, 100) s, generate_series(1, :accounts) a;

INSERT INTO credits_ledgerentry (id, account_id, sequence, kind, pool, lot_id, amount, balance_after,
  owed_after, reference, actor, note, created_at, previous_hash, hash)
SELECT row_id(1, s), 1, s, 'hold', 'bulk', row_id(1, 1), -1, 1000, 0, 'import:' || s, 'system', '',
  moment(1, 1) + s * interval '2 min', repeat('0', 64), repeat('f', 64)
FROM generate_series(101, 50100) s;

INSERT INTO credits_retailtoken (account_id, state, source_key, generation_reference, amount_paid, currency,
  terms, created_at, settled_at)
SELECT a, CASE WHEN a % 2 = 0 THEN 'used' ELSE 'available' END, 'checkout:cs_single_' || a || ':1',
  CASE WHEN a % 2 = 0 THEN 'generation:' || work_id(a, 0) END, 100, 'usd', '{}', moment(a, 1 + a % 100),
  CASE WHEN a % 2 = 0 THEN moment(a, 100) END
FROM generate_series(1, :accounts) a;

INSERT INTO credits_payment (payment_intent, source_key, amount, refunded, lost)
SELECT 'pi_' || a, 'invoice:in_' || a, 900, CASE WHEN a % 100 = 0 THEN 900 ELSE 0 END, 0
FROM generate_series(1, :accounts) a;

INSERT INTO credits_inboxevent (event_id, type, object_id, api_version, body, created_at, received_at, state,
  attempts, next_attempt_at, account_id, fact_key, reason, applied_at, mirrored_at, mirror_attempts,
  next_mirror_at, mirror_error)
SELECT 'evt_' || (n - 1) * :accounts + a, kind, 'in_' || a, '2026-01-28', '{"object": "event", "x": "' || repeat('x', 1500) || '"}',
  moment(a, n * 30), moment(a, n * 30),
  CASE WHEN a % 10000 = 7 THEN 'waiting' WHEN a % 10000 = 8 THEN 'failed' ELSE fate END, 1,
  CASE WHEN a % 10000 IN (7, 8) THEN moment(a, 100) END, a, 'invoice:in_' || a, '', moment(a, n * 30),
  CASE WHEN a % 5000 <> 9 THEN moment(a, n * 30) END, 1, NULL, CASE WHEN a % 5000 = 9 THEN 'boom' ELSE '' END
FROM (VALUES (1, 'invoice.paid', 'applied'), (2, 'customer.subscription.updated', 'applied'),
  (3, 'charge.succeeded', 'ignored')) AS kinds (n, kind, fate), generate_series(1, :accounts) a;

INSERT INTO credits_notice (account_id, kind, fact_key, context, state, attempts, next_attempt_at, error,
  created_at, sent_at)
SELECT a, kind, 'invoice:in_' || a, '{}', CASE WHEN a % 5000 = 1 THEN 'failed' ELSE 'sent' END, 1, NULL, '',
  moment(a, 2), CASE WHEN a % 5000 <> 1 THEN moment(a, 2) END
FROM (VALUES ('renewal'), ('purchase')) AS kinds (kind), generate_series(1, :accounts) a;

INSERT INTO credits_checkoutstart (id, account_id, click_key, offer, quantity, session_id, url, created_at)
SELECT gen_random_uuid(), a, 'click', 'pack-50', 1, 'cs_' || a, '', moment(a, 1) FROM generate_series(1, :accounts) a;

INSERT INTO credits_staffaction (actor, action, account_id, target, reason_code, reason, before, after, created_at)
SELECT 'staff:bench@example.com', 'account.freeze', a, '', '', 'because', '{}', '{}', moment(a, 50)
FROM generate_series(10, :accounts, 10) a;

INSERT INTO generation_generation (id, account_id, status, prompt, output, operation, price_version, cost, funding,
  hold_id, idempotency_key, request_hash, attempts, run_at, model, input_tokens, output_tokens, error_code,
  created_at, started_at, finished_at)
SELECT work_id(a, s)::uuid, a, CASE WHEN s % 20 = 19 THEN 'failed' ELSE 'succeeded' END, 'A haiku about ledgers.',
  'Lines that never change', 'text', 1, 1, 'credits', row_id(a, s),
  CASE WHEN s = 99 THEN md5('key' || a) END, md5(s::text), 1, moment(a, s), 'local', 9, 20, '',
  moment(a, s), moment(a, s), moment(a, s) + interval '9 s'
FROM generate_series(3, 100) s, generate_series(1, :accounts) a
WHERE s % 4 = 3
