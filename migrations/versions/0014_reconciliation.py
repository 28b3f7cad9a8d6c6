"""Reconciliation: Safaricom's statements, what people said of differences, and days closed under a chain of seals"""

from alembic import op

from migrations.rls import append_only, protect

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _statements()
    _proof()
    _decisions()
    _days()
    _seals()
    _closed_days_stay()
    _ways_to_a_day()


def _statements() -> None:
    op.execute("""
        CREATE TABLE statement (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            environment text NOT NULL,
            shortcode_group text NOT NULL,
            digest bytea NOT NULL,
            file_name text NOT NULL,
            covers_from timestamptz NOT NULL,
            covers_until timestamptz NOT NULL,
            row_count bigint NOT NULL,
            new_count bigint NOT NULL,
            skipped_count bigint NOT NULL,
            imported_by text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_statement PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_statement_digest UNIQUE (tenant_id, environment, shortcode_group, digest),
            CONSTRAINT ck_statement_period CHECK (covers_until > covers_from)
        );
        CREATE TABLE statement_row (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            statement_id uuid NOT NULL,
            environment text NOT NULL,
            shortcode_group text NOT NULL,
            receipt text NOT NULL CONSTRAINT ck_statement_row_receipt CHECK (receipt ~ '^[A-Z0-9]{10}$'),
            kind text NOT NULL CONSTRAINT ck_statement_row_kind CHECK (kind IN
                ('payment', 'charge', 'reversal', 'transfer', 'payout', 'other')),
            amount_cents bigint NOT NULL CONSTRAINT ck_statement_row_amount CHECK (amount_cents <> 0),
            completed_at timestamptz NOT NULL,
            details text NOT NULL,
            other_party text NOT NULL,
            account_reference text NOT NULL,
            linked_receipt text,
            balance_cents bigint,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_statement_row PRIMARY KEY (tenant_id, id),
            -- A payment and the charge for it share a receipt.
            CONSTRAINT uq_statement_row_receipt UNIQUE (tenant_id, environment, shortcode_group, receipt, kind),
            -- The file's own row is written when all of it was read.
            CONSTRAINT fk_statement_row_statement FOREIGN KEY (tenant_id, statement_id)
                REFERENCES statement (tenant_id, id) DEFERRABLE INITIALLY DEFERRED
        );
        CREATE INDEX ix_statement_row_completed ON statement_row (tenant_id, completed_at);
        CREATE INDEX ix_statement_row_linked ON statement_row (tenant_id, linked_receipt)
            WHERE linked_receipt IS NOT NULL;

        -- Which line of the book a row of a statement was booked by, for what no receipt of ours stands for.
        CREATE TABLE booked_row (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            statement_row_id uuid NOT NULL,
            transaction_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_booked_row PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_booked_row_statement_row UNIQUE (tenant_id, statement_row_id),
            CONSTRAINT fk_booked_row_statement_row FOREIGN KEY (tenant_id, statement_row_id)
                REFERENCES statement_row (tenant_id, id),
            CONSTRAINT fk_booked_row_transaction FOREIGN KEY (tenant_id, transaction_id)
                REFERENCES ledger_transaction (tenant_id, id)
        );
    """)
    for table in ("statement", "statement_row", "booked_row"):
        protect(table, grant="SELECT, INSERT")
        append_only(table)


def _proof() -> None:
    op.execute("""
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE inbound_event DROP CONSTRAINT ck_inbound_event_kind;
        -- squawk-ignore constraint-missing-not-valid
        ALTER TABLE inbound_event ADD CONSTRAINT ck_inbound_event_kind CHECK (
            (kind = 'stk' AND intent_id IS NOT NULL)
            OR (kind IN ('c2b', 'pull', 'statement') AND mpesa_account_id IS NOT NULL));
    """)


def _decisions() -> None:
    op.execute("""
        CREATE TABLE difference_decision (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            day date NOT NULL,
            kind text NOT NULL,
            subject text NOT NULL,
            amount_cents bigint NOT NULL,
            decision text NOT NULL CONSTRAINT ck_difference_decision_decision
                CHECK (decision IN ('accepted', 'case_opened', 'case_resolved')),
            note text NOT NULL,
            actor text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_difference_decision PRIMARY KEY (tenant_id, id)
        );
        CREATE INDEX ix_difference_decision_subject ON difference_decision (tenant_id, kind, subject, id);
        CREATE INDEX ix_difference_decision_day ON difference_decision (tenant_id, day, id);
    """)
    protect("difference_decision", grant="SELECT, INSERT")
    append_only("difference_decision")


def _days() -> None:
    op.execute("""
        -- What the last look at a day found: so that a list of days need not match each of them anew.
        CREATE TABLE day_check (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            day date NOT NULL,
            totals jsonb NOT NULL,
            open_count bigint NOT NULL,
            open_cents bigint NOT NULL,
            checked_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_day_check PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_day_check_tenant_id_day UNIQUE (tenant_id, day)
        );
        CREATE TABLE day_close (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            sequence bigint NOT NULL,
            day date NOT NULL,
            starts_at timestamptz NOT NULL,
            ends_at timestamptz NOT NULL,
            closed_by text NOT NULL,
            totals jsonb NOT NULL,
            differences jsonb NOT NULL,
            posting_count bigint NOT NULL,
            last_posting_id uuid,
            postings_digest bytea NOT NULL,
            seal bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_day_close PRIMARY KEY (tenant_id, id),
            CONSTRAINT uq_day_close_tenant_id_day UNIQUE (tenant_id, day),
            CONSTRAINT uq_day_close_tenant_id_sequence UNIQUE (tenant_id, sequence),
            CONSTRAINT ck_day_close_period CHECK (ends_at > starts_at)
        );
        CREATE INDEX ix_day_close_ends ON day_close (tenant_id, ends_at);
    """)
    protect("day_check", grant="SELECT, INSERT, UPDATE")
    protect("day_close", grant="SELECT, INSERT")
    append_only("day_close")


def _seals() -> None:
    op.execute("""
        CREATE FUNCTION app.micros(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE
        SET search_path = pg_catalog AS $$ SELECT (extract(epoch FROM at) * 1000000)::bigint $$;

        -- What was posted in a period, as one digest over the digests of each posting with its legs, in their order.
        CREATE FUNCTION app.postings_between(
            since timestamptz, until timestamptz, OUT posting_count bigint, OUT last_posting_id uuid, OUT digest bytea)
        LANGUAGE sql STABLE SET search_path = pg_catalog, public AS $$
            SELECT count(*), (array_agg(id ORDER BY id DESC))[1],
                sha256(coalesce(string_agg(line, ''::bytea ORDER BY id), ''::bytea))
            FROM (
                SELECT t.id, sha256(convert_to(concat_ws('|', t.id, t.key, t.kind, coalesce(t.reverses_id::text, '-'),
                    app.micros(t.created_at), t.facts, (
                        SELECT string_agg(concat_ws(':', e.id, a.code, e.currency, e.amount_cents), ',' ORDER BY e.id)
                        FROM public.ledger_entry e JOIN public.ledger_account a
                            ON a.tenant_id = e.tenant_id AND a.id = e.account_id
                        WHERE e.tenant_id = t.tenant_id AND e.transaction_id = t.id)), 'UTF8')) AS line
                FROM public.ledger_transaction t
                WHERE t.tenant_id = app.tenant_id() AND t.created_at >= since AND t.created_at < until) posted
        $$;

        CREATE FUNCTION app.day_digest(previous bytea, c public.day_close) RETURNS bytea LANGUAGE sql STABLE
        SET search_path = pg_catalog AS $$
            SELECT sha256(previous || convert_to(concat_ws('|', c.sequence, c.day - date '2000-01-01',
                app.micros(c.starts_at), app.micros(c.ends_at), c.closed_by, c.totals, c.differences, c.posting_count,
                coalesce(c.last_posting_id::text, '-'), encode(c.postings_digest, 'hex'), app.micros(c.created_at)),
                'UTF8'))
        $$;

        -- The seal is the database's own: nobody brings one along.
        CREATE FUNCTION app.day_seal() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        DECLARE last_sequence bigint; last_seal bytea;
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtextextended('day_close ' || NEW.tenant_id, 23));
            SELECT sequence, seal INTO last_sequence, last_seal FROM public.day_close
                WHERE tenant_id = NEW.tenant_id ORDER BY sequence DESC LIMIT 1;
            NEW.sequence := coalesce(last_sequence, 0) + 1;
            SELECT p.posting_count, p.last_posting_id, p.digest
                INTO NEW.posting_count, NEW.last_posting_id, NEW.postings_digest
                FROM app.postings_between(NEW.starts_at, NEW.ends_at) p;
            NEW.seal := app.day_digest(coalesce(last_seal, ''::bytea), NEW);
            RETURN NEW;
        END $$;
        CREATE TRIGGER seal BEFORE INSERT ON day_close FOR EACH ROW EXECUTE FUNCTION app.day_seal();

        -- Whether a close still says what it said, follows the one before it, and its postings are what they were.
        CREATE FUNCTION app.seal_holds(wanted bigint) RETURNS boolean LANGUAGE sql STABLE
        SET search_path = pg_catalog, public AS $$
            SELECT coalesce((
                SELECT c.seal = app.day_digest(coalesce((SELECT p.seal FROM public.day_close p
                        WHERE p.tenant_id = c.tenant_id AND p.sequence = wanted - 1), ''::bytea), c)
                    AND (wanted = 1 OR EXISTS (SELECT FROM public.day_close p
                        WHERE p.tenant_id = c.tenant_id AND p.sequence = wanted - 1))
                    AND (c.posting_count, c.postings_digest) IS NOT DISTINCT FROM (
                        SELECT (p.posting_count, p.digest) FROM app.postings_between(c.starts_at, c.ends_at) p)
                FROM public.day_close c WHERE c.tenant_id = app.tenant_id() AND c.sequence = wanted), false)
        $$;
    """)


def _closed_days_stay() -> None:
    op.execute("""
        -- What is posted after a day was closed happens when it is posted: a closed day takes no more.
        CREATE FUNCTION app.not_into_a_closed_day() RETURNS trigger LANGUAGE plpgsql
        SET search_path = pg_catalog AS $$
        BEGIN
            IF EXISTS (SELECT FROM public.day_close WHERE tenant_id = NEW.tenant_id AND ends_at > NEW.created_at
                AND starts_at <= NEW.created_at)
            THEN
                NEW.created_at := clock_timestamp();
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER not_into_a_closed_day BEFORE INSERT ON ledger_transaction
            FOR EACH ROW EXECUTE FUNCTION app.not_into_a_closed_day();
    """)


def _ways_to_a_day() -> None:
    op.execute("""
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_ledger_transaction_created ON ledger_transaction (tenant_id, created_at);
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_provider_receipt_moved ON provider_receipt
            (tenant_id, (CASE WHEN paid_at IS NULL THEN created_at ELSE paid_at END), id);
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_purchase_bought ON purchase (tenant_id, bought_at, id) WHERE bought_at IS NOT NULL;
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_entitlement_created ON entitlement (tenant_id, created_at);
    """)
