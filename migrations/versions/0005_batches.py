"""Lost jobs count as failures, and a ledger posting is one statement"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _lost_jobs()
    _ledger_post()


def _lost_jobs() -> None:
    op.execute("""
        GRANT SELECT (failures, first_failed_at) ON outbox TO wavu_relay;
        GRANT UPDATE (failures, first_failed_at, run_at, last_error, state) ON outbox TO wavu_relay;
        DROP POLICY relay_leases ON outbox;
        CREATE POLICY relay_leases ON outbox FOR UPDATE TO wavu_relay
            USING (state = 'ready') WITH CHECK (state IN ('ready', 'dead'));
    """)


def _ledger_post() -> None:
    op.execute("""
        -- One business event in one round trip, with the caller's own rights. What the rules of the tables refuse is
        -- undone and named in the answer, so that the caller's transaction may go on.
        CREATE FUNCTION app.ledger_post(
            posting_id uuid, posting_kind text, posting_key text, posting_currency text, posting_facts jsonb,
            posting_reverses_id uuid, codes text[], floors bigint[], amounts bigint[], account_ids uuid[],
            entry_ids uuid[])
        RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
        DECLARE tenant uuid := app.tenant_id(); refused text;
        BEGIN
            INSERT INTO public.ledger_account (tenant_id, id, code, currency, floor_cents)
                SELECT DISTINCT ON (leg.code) tenant, leg.account_id, leg.code, posting_currency, leg.floor
                FROM unnest(codes, floors, account_ids) AS leg (code, floor, account_id)
                WHERE NOT EXISTS (SELECT FROM public.ledger_account a WHERE a.tenant_id = tenant
                    AND a.code = leg.code AND a.currency = posting_currency)
                ORDER BY leg.code
                ON CONFLICT (tenant_id, code, currency) DO NOTHING;
            INSERT INTO public.ledger_transaction (tenant_id, id, key, kind, reverses_id, facts)
                VALUES (tenant, posting_id, posting_key, posting_kind, posting_reverses_id, posting_facts)
                ON CONFLICT (tenant_id, key) DO NOTHING;
            IF NOT FOUND THEN
                RETURN 'known';
            END IF;
            -- The legs are applied, and their accounts locked, in the order in which they stand.
            INSERT INTO public.ledger_entry (tenant_id, id, transaction_id, account_id, currency, amount_cents)
                SELECT tenant, leg.entry_id, posting_id, a.id, posting_currency, leg.amount
                FROM unnest(codes, amounts, entry_ids) AS leg (code, amount, entry_id)
                JOIN public.ledger_account a ON a.tenant_id = tenant AND a.code = leg.code
                    AND a.currency = posting_currency
                ORDER BY a.id, leg.entry_id;
            RETURN 'posted';
        EXCEPTION WHEN check_violation OR unique_violation THEN
            GET STACKED DIAGNOSTICS refused = CONSTRAINT_NAME;
            IF refused NOT IN ('ck_ledger_account_floor', 'uq_ledger_transaction_tenant_id_reverses_id') THEN
                RAISE;
            END IF;
            RETURN refused;
        END $$;
        REVOKE ALL ON FUNCTION app.ledger_post(uuid, text, text, text, jsonb, uuid, text[], bigint[], bigint[], uuid[],
            uuid[]) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.ledger_post(uuid, text, text, text, jsonb, uuid, text[], bigint[], bigint[],
            uuid[], uuid[]) TO wavu_app;
    """)
