"""What a portal says of the ways to pay: which there are, which of them is down, and how to pay by hand meanwhile."""

from __future__ import annotations

from typing import Any

from tenants import payments
from tenants.payments import Standing
from tenants.portal.frame import gettext as _
from wavu.errors import N_

# As their owners write them, in every language.
NAMES = {"mpesa": "M-Pesa", "airtel": "Airtel Money"}

_DOWN = N_("%(gateway)s is not answering at this moment.")
_OTHER = N_("You can pay with %(gateway)s instead.")
_BY_HAND = N_(
    "Or pay from your M-Pesa menu to %(account)s: choose a package and press the button, and you see the account "
    "number for it."
)
_AT_A_TILL = N_(
    "M-Pesa is not answering at this moment. Try again in a few minutes, or pay from your M-Pesa menu to %(account)s "
    "and then tell us the code of the message here."
)
_LATER = N_("Try again in a few minutes.")


def notice(now: tuple[Standing, ...]) -> str | None:
    """What a customer must know before they choose: that a gateway does not reach phones, and what does."""
    down = [each for each in now if each.down]
    if not down:
        return None
    first, works = down[0], [each for each in now if not each.down]
    if first.provider == "mpesa" and not works and first.paybill is None:
        return _(_AT_A_TILL, account=first.label)
    says = [_(_DOWN, gateway=NAMES[first.provider])]
    if works:
        says.append(_(_OTHER, gateway=NAMES[works[0].provider]))
    if first.provider == "mpesa" and first.paybill is not None:
        says.append(_(_BY_HAND, account=first.label))
    elif not works:
        says.append(_(_LATER))
    return " ".join(says)


def offered(now: tuple[Standing, ...], chosen: str) -> list[dict[str, Any]]:
    """The choice that a pay form shows; empty where there is none to make."""
    if len(now) < 2:
        return []
    values = {"": _("Automatic")} | {each.provider: NAMES[each.provider] for each in now}
    chosen = chosen if chosen in values else ""
    return [{"value": value, "name": name, "chosen": value == chosen} for value, name in values.items()]


def wish(typed: str) -> str | None:
    """What a pay form's choice asks for; None for what the number says."""
    return typed if typed in NAMES else None


def another(now: tuple[Standing, ...], provider: str) -> str | None:
    """A gateway that works, beside the one that did not."""
    return next((each.provider for each in now if each.provider != provider and not each.down), None)


def is_down(now: tuple[Standing, ...], provider: str, code: str | None) -> bool:
    """Whether an attempt failed because its gateway reaches no phone."""
    return code in {"down", "unreachable", "busy"} or any(each.provider == provider and each.down for each in now)


standings = payments.standings
