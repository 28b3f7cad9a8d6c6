"""What the simulators of a rehearsal have in common: time, knobs, a journal, a control API, pages and a process.

Promise: nothing in here knows what is simulated, and nothing in here comes from the product, so that a simulator can be
wrong only about what it simulates. Everything listens on loopback; the clock can be frozen and moved by hand.
"""

from .clock import Clock
from .control import NotPossible, Route, Unknown, blueprint, clock_routes
from .journal import Journal, mask_phones
from .knobs import BadKnob, Check, KnobSet, count, flag, knob, names, number, one_of
from .process import read_when_there, run, say
from .web import Server, application, loopback_address, loopback_names_only, page

__all__ = [
    "BadKnob", "Check", "Clock", "Journal", "KnobSet", "NotPossible", "Route", "Server", "Unknown", "application",
    "blueprint", "clock_routes", "count", "flag", "knob", "loopback_address", "loopback_names_only", "mask_phones",
    "names", "number", "one_of", "page", "read_when_there", "run", "say",
]  # fmt: skip
