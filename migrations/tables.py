"""Imports every model, so that the metadata is whole."""

from tenants.network import models as _network
from wavu import audit as _audit
from wavu import outbox as _outbox
from wavu import vault as _vault
from wavu.accounts import models as _accounts
from wavu.db import Base
from wavu.tenancy import models as _tenancy

__all__ = ["metadata"]

metadata = Base.metadata
del _accounts, _audit, _network, _outbox, _tenancy, _vault
