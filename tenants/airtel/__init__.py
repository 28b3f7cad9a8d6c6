"""The door to Airtel Money Africa: each tenant's account, its access tokens, and every call to the Open API.

Promises: a tenant's credentials are sealed and never shown again; one token per account, shared by all processes;
whatever Airtel says, or does not say, is a value and never an exception; silence is unknown and never failed.
docs/airtel.md has the facts, their sources, and what is inferred.
"""

from tenants.airtel import changes, setup
from tenants.airtel.accounts import (
    FIXES,
    active_account,
    add_account,
    by_token,
    callback_url,
    find_account,
    get_account,
    list_accounts,
    note_callback,
)
from tenants.airtel.events import AirtelChangeTold
from tenants.airtel.models import AirtelAccount
from tenants.airtel.prompts import UssdPush
from tenants.airtel.refusals import NotReady

# Airtel Money as one of the gateways that payments take money through.
GATEWAY = UssdPush()

__all__ = [
    "FIXES",
    "GATEWAY",
    "AirtelAccount",
    "AirtelChangeTold",
    "NotReady",
    "UssdPush",
    "active_account",
    "add_account",
    "by_token",
    "callback_url",
    "changes",
    "find_account",
    "get_account",
    "list_accounts",
    "note_callback",
    "setup",
]
