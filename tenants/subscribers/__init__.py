"""End customers and their devices. Promise: a device or a number of one tenant means nothing to another."""

from tenants.subscribers.models import AccountNumber, Device, Subscriber
from tenants.subscribers.numbers import (
    Owner,
    by_account_number,
    by_numbers,
    is_account_number,
    number_for,
)
from tenants.subscribers.people import (
    add_line,
    bind_device,
    by_ids,
    by_phone,
    by_username,
    find,
    find_line,
    get,
    normalise_mac,
    owners_of,
)

__all__ = [
    "AccountNumber",
    "Device",
    "Owner",
    "Subscriber",
    "add_line",
    "bind_device",
    "by_account_number",
    "by_ids",
    "by_numbers",
    "by_phone",
    "by_username",
    "find",
    "find_line",
    "get",
    "is_account_number",
    "normalise_mac",
    "number_for",
    "owners_of",
]
