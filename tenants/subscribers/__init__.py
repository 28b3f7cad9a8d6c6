"""End customers and their devices. Promise: a device or a number of one tenant means nothing to another."""

from tenants.subscribers.models import Device, Subscriber
from tenants.subscribers.people import add_line, bind_device, by_phone, by_username, find_line, normalise_mac, owners_of

__all__ = [
    "Device",
    "Subscriber",
    "add_line",
    "bind_device",
    "by_phone",
    "by_username",
    "find_line",
    "normalise_mac",
    "owners_of",
]
