"""An Airtel Money of one's own, on loopback, for the rehearsal and the tests.

Promise: what docs/airtel.md says Airtel's Open API does for tokens, USSD push and status enquiry in Kenya, this does
over real HTTP, with its faults behind knobs, a phone to answer with, and the one book of money that really moved. It
shares no code and no constant with the product, so that a misunderstanding in the client cannot hide here.

    with AirtelSimulator(seed=1).serve() as airtel:
        airtel.add_app("id", "secret", "700100", name="PENDO WIFI")
        airtel.set_callback("id", "http://127.0.0.1:8000/h/a/…")
        airtel.script("733123456", "pay")
"""

from .knobs import Knobs
from .simulator import AirtelSimulator, Payment

__all__ = ["AirtelSimulator", "Knobs", "Payment"]
