"""How often a phone was asked for money, by whichever ISP"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX ix_payment_intent_phone_everywhere ON payment_intent (phone, created_at);

        -- Two counts over all tenants, and nothing else: a phone belongs to a person, not to an ISP.
        CREATE FUNCTION app.prompts_to(asked text, at timestamptz, OUT in_ten_minutes bigint, OUT in_a_day bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
            SELECT count(*) FILTER (WHERE created_at > at - interval '10 minutes'), count(*)
            FROM public.payment_intent WHERE phone = asked AND created_at > at - interval '24 hours'
        $$;
        GRANT SELECT (phone, created_at) ON payment_intent TO wavu_resolver;
        CREATE POLICY resolver ON payment_intent FOR SELECT TO wavu_resolver USING (true);
        ALTER FUNCTION app.prompts_to(text, timestamptz) OWNER TO wavu_resolver;
        REVOKE ALL ON FUNCTION app.prompts_to(text, timestamptz) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION app.prompts_to(text, timestamptz) TO wavu_app;
    """)
