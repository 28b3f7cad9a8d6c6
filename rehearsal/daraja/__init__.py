"""A Safaricom Daraja (M-PESA) of one's own, on loopback, for the rehearsal and the tests.

Promise: what build sheet sections 2-18 and 23 say Daraja does for OAuth, STK push, C2B, Pull Transactions,
Transaction Status, Account Balance, Reversal, B2C, Dynamic QR and the look-up of organisations, this does over real
HTTP, with every fault there behind a knob, and keeps the one book of money that really moved. It shares no code and
no constant with the product, so that a misunderstanding in the client cannot hide here.

    with Simulator(seed=1).serve() as sim:
        sim.add_app("key", "secret", "174379", passkey="...", name="PENDO WIFI")
        sim.script("254712345678", "pay")
        sim.pay("254712345678", "174379", 50, "7001234")
"""

from rehearsal.simulation import BadKnob, Unknown

from .book import Transaction
from .knobs import Knobs
from .products import PRODUCTS
from .simulator import Simulator, require_loopback
from .world import Attempt, Script

__all__ = [
    "PRODUCTS", "Attempt", "BadKnob", "Knobs", "Script", "Simulator", "Transaction", "Unknown", "require_loopback",
]  # fmt: skip
