"""The fault knobs. Requests obey `gateway` and `token`, the push and its prompt `push`, enquiries `enquiry`, and what
is called back `callback`."""

from __future__ import annotations

from dataclasses import dataclass

from rehearsal.simulation import KnobSet, count, flag, knob, number, one_of

FAULTS = (
    "none", "html_503", "internal_error", "ambiguous_500", "rate_limit", "hang_before_exec", "hang_after_exec",
    "error_after_exec",
)  # fmt: skip


@dataclass(frozen=True)
class Knobs(KnobSet):
    token_ttl: int = knob(180, count(1), "seconds a token lives")
    token_refused: bool = knob(False, flag, "refuse even good credentials")

    gateway_fault: str = knob("none", one_of(*FAULTS), "what goes wrong; the *_after_exec ones execute first")
    gateway_slow: float = knob(0.0, number(), "real seconds before each answer")
    gateway_hang: float = knob(25.0, number(), "real seconds of a hang before the connection is cut; 0 cuts at once")
    gateway_country: str = knob("ok", one_of("ok", "not_allowed", "no_wallet"), "what the application lacks")

    push_seconds: float = knob(60.0, number(), "life of a prompt")
    push_timeout: str = knob("TF", one_of("TF", "TE", "TA"), "status of a prompt that nobody answered")
    push_late_success: float = knob(0.0, number(), "the money moves all the same, seconds after a no; 0 off")

    enquiry_stuck: bool = knob(False, flag, "in progress for ever")
    enquiry_no_id: bool = knob(False, flag, "a success without its airtel_money_id")

    callback_lost: bool = knob(False, flag, "no callback is sent")
    callback_copies: int = knob(1, count(1), "how often each callback is sent")
    callback_delay: float = knob(0.0, number(), "virtual seconds until a callback is sent")
    callback_spaces: bool = knob(False, flag, "the body is written with spaces, and signed as it stands")
