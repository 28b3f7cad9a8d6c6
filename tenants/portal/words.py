"""What happened, in words for a customer: M-Pesa's result codes (build sheet 4.3) and a router's error keys (3.1).

Each says what happened, whether money moved, and what to do. Where we do not know, the words say that we do not.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from wavu.errors import N_


class Words(NamedTuple):
    """`again`: whether trying again with the same package makes sense."""

    title: str
    text: str
    again: bool = True


_BUSY = Words(N_("M-Pesa is busy"), N_("Nothing was charged. Try again in 2 minutes."))
_NO_ANSWER = Words(
    N_("No answer from the phone"),
    N_("Nothing was charged. Unlock the phone and try again. Still nothing: dial *234# to update the SIM menu."),
)
_OURS = Words(
    N_("M-Pesa does not work here right now"),
    N_("Nothing was charged. The fault is on our side, not in your phone. Please tell our team."),
    again=False,
)
_UNKNOWN = Words(
    N_("The payment was not completed"),
    N_(
        "M-Pesa gave a reason that we do not know. Look at your M-Pesa messages before you try again: if money was "
        "taken, do not pay again. We connect you as soon as M-Pesa confirms it."
    ),
)

FAILURES = {
    "1": Words(
        N_("Not enough M-Pesa balance"),
        N_("Nothing was charged. Top up, or choose a smaller package."),
    ),
    "2": Words(
        N_("Below M-Pesa's smallest amount"),
        N_("Nothing was charged. M-Pesa does not take so small an amount: choose another package."),
        again=False,
    ),
    "3": Words(
        N_("Above M-Pesa's largest amount"),
        N_("Nothing was charged. M-Pesa does not take so much in one payment: choose a smaller package."),
        again=False,
    ),
    "4": Words(
        N_("Today's M-Pesa limit is reached"),
        N_("Nothing was charged. Pay from another number, or tomorrow."),
        again=False,
    ),
    **dict.fromkeys(("17", "26", "1025", "9999"), _BUSY),
    "1001": Words(
        N_("Another M-Pesa request is open on this phone"),
        N_("Nothing was charged. Finish the other request, wait a minute, then try again."),
    ),
    "1019": Words(N_("The request expired"), N_("Nothing was charged. The PIN came too late, or not at all.")),
    "1032": Words(N_("You cancelled the request"), N_("Nothing was charged. Try again, or choose another package.")),
    **dict.fromkeys(("1036", "1037"), _NO_ANSWER),
    "2001": Words(
        N_("Wrong PIN"), N_("Nothing was charged. Try again with care: M-Pesa locks the PIN after a few wrong ones.")
    ),
    "8006": Words(
        N_("Your M-Pesa PIN is locked"),
        N_("Nothing was charged. Call Safaricom on 100 to open it, or pay from another number."),
    ),
    "unreachable": Words(
        N_("We could not reach M-Pesa"),
        N_("Nothing was charged, and no request went to your phone. Try again in a minute."),
    ),
    "busy": Words(
        N_("Too many people pay at this moment"),
        N_("Nothing was charged, and no request went to your phone. Try again in a minute."),
    ),
    "down": Words(
        N_("M-Pesa is not answering"),
        N_("Nothing was charged, and no request went to your phone. Try again in a few minutes."),
    ),
    **dict.fromkeys(("config", "8", "21", "2002", "2006", "2028", "SFC_IC0003"), _OURS),
}

_OURS_AT_AIRTEL = Words(
    N_("Airtel Money does not work here right now"),
    N_("Nothing was charged. The fault is on our side, not in your phone. Please tell our team."),
    again=False,
)
_AIRTEL_UNKNOWN = Words(
    N_("The payment was not completed"),
    N_(
        "Airtel Money gave no reason. Look at your Airtel Money messages before you try again: if money was taken, do "
        "not pay again. We connect you as soon as Airtel Money confirms it."
    ),
)
# docs/airtel.md 4.
AIRTEL_FAILURES = {
    "DP00800001002": Words(N_("Wrong PIN"), N_("Nothing was charged. Try again with care.")),
    "DP00800001003": Words(
        N_("Your Airtel Money limit is reached"),
        N_("Nothing was charged. Pay from another number, or tomorrow."),
        again=False,
    ),
    "DP00800001004": Words(
        N_("Below Airtel Money's smallest amount"),
        N_("Nothing was charged. Choose another package."),
        again=False,
    ),
    "DP00800001005": Words(
        N_("No PIN was entered"),
        N_("Nothing was charged. Unlock the phone, check that the number is an Airtel Money line, and try again."),
    ),
    "DP00800001007": Words(
        N_("Not enough Airtel Money balance"),
        N_("Nothing was charged. Top up, or choose a smaller package."),
    ),
    "DP00800001008": Words(
        N_("The request was refused"), N_("Nothing was charged. Try again, or choose another package.")
    ),
    "DP00800001010": Words(
        N_("This number cannot pay with Airtel Money"),
        N_("Nothing was charged. Check the number: it must be a registered Airtel Money line."),
    ),
    **dict.fromkeys(
        ("DP00800001024", "DP00800001029", "TE"),
        Words(N_("The request expired"), N_("Nothing was charged. The PIN came too late, or not at all.")),
    ),
    "unreachable": Words(
        N_("We could not reach Airtel Money"),
        N_("Nothing was charged, and no request went to your phone. Try again in a minute."),
    ),
    "config": _OURS_AT_AIRTEL,
}

NO_REPLY_MPESA = Words(
    N_("M-Pesa has not answered yet"),
    N_(
        "Did you enter your PIN? Then do not pay again: we connect you as soon as M-Pesa confirms, even if this page "
        "is closed. Did nothing come up on your phone? Unlock it and try again."
    ),
)
NO_REPLY_AIRTEL = Words(
    N_("Airtel Money has not answered yet"),
    N_(
        "Did you enter your PIN? Then do not pay again: we connect you as soon as Airtel Money confirms, even if this "
        "page is closed. Did nothing come up on your phone? Unlock it, check that the number is an Airtel Money line, "
        "and try again."
    ),
)
NO_REPLY = {"mpesa": NO_REPLY_MPESA, "airtel": NO_REPLY_AIRTEL}
REVIEW = Words(
    N_("We are looking into this payment"),
    N_("Do not pay again yet. If money was taken it is not lost: our team sees this payment and sorts it out."),
    again=False,
)

SHORT = Words(
    N_("%(here)s has come in"),
    N_(
        "That is not the whole price: %(missing)s is missing. Your money is not lost. Pay what is missing, and you are "
        "connected; or use it for a smaller package."
    ),
)


def failure(code: str | None, provider: str = "mpesa") -> Words:
    """The words for a failed attempt's code."""
    if provider == "airtel":
        return AIRTEL_FAILURES.get(code or "", _AIRTEL_UNKNOWN)
    return FAILURES.get(code or "", _UNKNOWN)


_SERVER_AWAY = N_("The Wi-Fi could not reach our server. Wait a moment, then connect again.")
_ROUTER_BUSY = N_("The Wi-Fi here is full or restarting. Wait a minute, then connect again.")
_NOT_KNOWN = N_(
    "That log-in was not accepted. If you have paid, go back to the page of your payment and connect again."
)
_DEVICES = N_("All devices of this package are online already. Disconnect one of them first.")
_USED_UP = N_("Your package is used up. Choose a package to go on.")
_IN_PROGRESS = N_("The Wi-Fi is still connecting this phone. Wait a few seconds, then try again.")
_DIFFERENT = N_("The Wi-Fi did not let this phone in. Leave the Wi-Fi, join it again and try once more.")

# The keys of errors.txt, and how its stock sentences begin: a router sends one or the other.
_ROUTER = (
    ("radius-timeout", r"radius server is not responding", _SERVER_AWAY),
    ("ippool-empty", r"cannot assign ip address", _ROUTER_BUSY),
    ("shutting-down", r"hotspot service is shutting down", _ROUTER_BUSY),
    ("license-session-limit", r"session limit reached", _ROUTER_BUSY),
    ("user-session-limit", r"no more sessions are allowed for user", _DEVICES),
    ("invalid-username", r"invalid username or password", _NOT_KNOWN),
    ("otp-already-used", r"otp already used", _NOT_KNOWN),
    ("wrong-mac-username", r"invalid username \(.*\): this mac address is not yours", _DIFFERENT),
    ("invalid-mac", r"user .* is not allowed to log in from this mac", _DIFFERENT),
    ("not-logged-in", r"you are not logged in", ""),
    ("uptime-limit", r"user .* has reached uptime limit", _USED_UP),
    ("traffic-limit", r"user .* has reached traffic limit", _USED_UP),
    ("auth-in-progress", r"already authorizing", _IN_PROGRESS),
    ("chap-missing", r"web browser did not send challenge response", _DIFFERENT),
    ("internal-error", r"internal error", _DIFFERENT),
    ("config-error", r"configuration error", _DIFFERENT),
    ("radius-reply", r"radius reply", _DIFFERENT),
)
# A Reply-Message of ours, or at least nothing that could pass for an offer: no address, no number to call or pay.
_QUOTABLE = re.compile(r"(?!.*(\d{5}|\d[\d .-]{6}|://|www\.))[\w .,:;'!?()%+-]{1,160}")


class RouterSays(NamedTuple):
    """`known` are words of ours, to be translated; `quoted` is a server's own message, to be shown as a quotation."""

    known: str | None = None
    quoted: str | None = None


def router_error(err: str) -> RouterSays:
    """What a router's `err` means. It came in an address, so it is shown only where it cannot mislead."""
    text = " ".join(err.split())[:300]
    key = text.lower().removeprefix("e_").replace("_", "-")
    for name, sentence, words in _ROUTER:
        if key == name or re.match(sentence, text.lower()):
            return RouterSays(words or None)
    if not text:
        return RouterSays()
    return RouterSays(quoted=text) if _QUOTABLE.fullmatch(text) else RouterSays(_DIFFERENT)
