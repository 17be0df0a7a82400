-- The smallest correct spend: exactly the rows that credits.services.spend writes, in the same
-- order and under the same lock. pgbench -M prepared; :first and :accounts say which accounts.
\set account random(:first, :first + :accounts - 1)
\set key random(1, 9000000000000000)
BEGIN;
SELECT subscription_credits AS subscription, promotional_credits AS promotional,
    bulk_credits AS bulk, owed, sequence, chain_head AS head
    FROM credits_account WHERE id = :account FOR NO KEY UPDATE \gset
SELECT id AS lot, remaining FROM credits_creditlot
    WHERE account_id = :account AND remaining > 0 AND (expires_at IS NULL OR expires_at > now())
    ORDER BY expires_at NULLS LAST, id LIMIT 1 \gset
\set next :sequence + 1
\set id :account * 4294967296 + :next
\set left :remaining - 1
\set after :bulk - 1
INSERT INTO credits_hold (id, account_id, amount, captured, state, deadline, reference,
    idempotency_key, arguments_hash, created_at, settled_at)
    VALUES (:id, :account, 1, 1, 'captured', NULL, 'benchmark', (:key)::bigint::text,
    '73cafd6b5e34bb5a7ad8d4e0c1b5a9e5b3c1c9a37bd8a4c9c6a0ad7d1b2a3c4d', now(), now());
UPDATE credits_creditlot SET remaining = :left WHERE id = :lot;
INSERT INTO credits_ledgerentry (id, account_id, sequence, kind, pool, lot_id, hold_id, amount,
    balance_after, owed_after, reference, actor, note, created_at, previous_hash, hash)
    VALUES (:id, :account, :next, 'hold', 'bulk', :lot, :id, -1, :after, :owed, 'benchmark',
    'system', '', now(), :head,
    encode(sha256(convert_to((:head)::text || (:next)::bigint::text, 'UTF8')), 'hex'))
    RETURNING hash AS new_head \gset
UPDATE credits_account SET subscription_credits = :subscription, promotional_credits = :promotional,
    bulk_credits = :after, owed = :owed, sequence = :next, chain_head = :new_head
    WHERE id = :account;
END;
