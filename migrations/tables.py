"""Imports every model, so that the metadata is whole."""

from tenants.access import models as _access
from tenants.catalog import models as _catalog
from tenants.checkout import models as _checkout
from tenants.ledger import models as _ledger
from tenants.network import models as _network
from tenants.payments import models as _payments
from tenants.payouts import models as _payouts
from tenants.reconciliation import models as _reconciliation
from tenants.subscribers import models as _subscribers
from wavu import audit as _audit
from wavu import outbox as _outbox
from wavu import vault as _vault
from wavu.accounts import models as _accounts
from wavu.db import Base
from wavu.tenancy import models as _tenancy

__all__ = ["metadata"]

metadata = Base.metadata
del (
    _access,
    _accounts,
    _audit,
    _catalog,
    _checkout,
    _ledger,
    _network,
    _outbox,
    _payments,
    _payouts,
    _reconciliation,
    _subscribers,
    _tenancy,
    _vault,
)
