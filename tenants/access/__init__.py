"""Who may be online. Promises: the entitlement is the truth that RADIUS reads; what cannot be decided is not answered,
and never accepted; accounting is written before it is acknowledged, and its counters only grow; a package that waits
behind another begins by itself, whole, when that one ends or is used up.
"""

from tenants.access.accounting import record
from tenants.access.class_token import ClassToken, open_class, seal_class
from tenants.access.codes import make_login_code
from tenants.access.endings import (
    ASK_AGAIN,
    Ending,
    close_session,
    disconnect_of,
    sessions_to_end,
    tenants_with_sessions_to_end,
)
from tenants.access.entitlements import current, ends_at, entitlement_of, grant, used_up
from tenants.access.gate import Code, Packet, is_sound, read
from tenants.access.models import AccessSession, Entitlement, LoginCode
from tenants.access.orders import Answer, Order
from tenants.access.policy import Grant, Refusal, authorize, has_room
from tenants.access.replies import accept, acknowledge, alive, reject
from tenants.access.requests import (
    AccessRequest,
    AccountingUpdate,
    Chap,
    Service,
    Status,
    read_accounting,
    read_request,
)

__all__ = [
    "ASK_AGAIN",
    "AccessRequest",
    "AccessSession",
    "AccountingUpdate",
    "Answer",
    "Chap",
    "ClassToken",
    "Code",
    "Ending",
    "Entitlement",
    "Grant",
    "LoginCode",
    "Order",
    "Packet",
    "Refusal",
    "Service",
    "Status",
    "accept",
    "acknowledge",
    "alive",
    "authorize",
    "close_session",
    "current",
    "disconnect_of",
    "ends_at",
    "entitlement_of",
    "grant",
    "has_room",
    "is_sound",
    "make_login_code",
    "open_class",
    "read",
    "read_accounting",
    "read_request",
    "record",
    "reject",
    "seal_class",
    "sessions_to_end",
    "tenants_with_sessions_to_end",
    "used_up",
]
