"""Who may be online. Promise: what cannot be decided is not answered, and never accepted."""

from tenants.access.gate import Code, Packet, is_sound, read
from tenants.access.policy import Refusal, authorize

__all__ = ["Code", "Packet", "Refusal", "authorize", "is_sound", "read"]
