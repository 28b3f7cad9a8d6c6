"""What the M-Pesa pages say: how an account fares, and what each step of setting it up found, in plain words."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask_babel import format_decimal, ngettext
from flask_babel import gettext as _

from tenants import payments
from tenants.airtel import AirtelAccount
from tenants.mpesa import MpesaAccount, MpesaCheck, setup
from tenants.payments import Health, PaymentIntent
from wavu.errors import N_

ENVIRONMENTS = {"rehearsal": N_("Rehearsal"), "production": N_("Production"), "sandbox": N_("Sandbox")}

STEPS = {
    "keys": N_("Consumer key and secret"),
    "organisation": N_("Whose number it is"),
    "passkey": N_("Passkey"),
    "urls": N_("Reports of payments made by hand"),
    "pull": N_("Asking for payments afterwards"),
}
_STATES = {
    "waiting": (N_("Being tested"), ""),
    "ok": (N_("Right"), "ok"),
    "wrong": (N_("Wrong"), "bad"),
    "skipped": (N_("Not tested"), "warn"),
    "unknown": (N_("No answer"), "warn"),
}
_CODES = {
    "keys": N_(
        "Safaricom does not know this consumer key and secret. Copy both again from your app in the Daraja portal, and "
        "check the environment: keys of the sandbox do not work in production."
    ),
    "number": N_(
        "Safaricom knows no such number of this kind. Check it, and whether it is a PayBill or a Till. For a Till this "
        "is the number that customers pay to."
    ),
    "no_product": N_("Your app may not look this up, which is no fault. Check the number once more yourself."),
    "passkey": N_(
        "The passkey does not belong to this number. Paste the one from the e-mail that Safaricom sent after go-live."
    ),
    "shortcode": N_(
        "Safaricom does not take prompts for this number. For a Till the store number is asked for, not the till "
        "number; and your app must have gone live with it."
    ),
    "no_express": N_("Your app lacks the product M-Pesa Express. Add it in the Daraja portal, then test again."),
    "no_token": N_("This needs a right consumer key and secret first."),
    "registered_elsewhere": N_(
        "M-Pesa reports payments made by hand to another system. In the Daraja portal open Self Services, then URL "
        "Management, and delete those addresses; two operators of your organisation must approve. Then test again "
        "here. Until then prompts work, and other payments are found by asking afterwards."
    ),
    "no_urls": N_("M-Pesa did not take our addresses. Prompts work; payments made by hand are not reported."),
    "no_pull": N_("Your app may not ask. Have Safaricom add the product Pull Transactions, then test again."),
    "kept": N_("M-Pesa knows these numbers from before: this stays as it is."),
    "down": N_("M-Pesa is not answering. Test again in a few minutes."),
    "busy": N_("Too much is going on at this moment. Test again in a minute."),
    "no_answer": N_("M-Pesa gave no answer. Test again."),
}

_TRIAL = {
    "1": N_("There is not enough money on this phone's M-Pesa."),
    "1032": N_("The request was cancelled on the phone."),
    "1037": N_("The phone did not answer. Unlock it, and try again."),
    "2001": N_("The PIN was wrong."),
    "2028": N_("The store number and the till number do not belong together, or this is a PayBill and not a Till."),
    "down": N_("M-Pesa is not answering. Test again in a few minutes."),
    "config": N_("M-Pesa refuses this account: test its values again."),
}
_TRIAL |= {"2002": _TRIAL["2028"], "SFC_IC0003": _TRIAL["2028"], "1019": _TRIAL["1037"], "1036": _TRIAL["1037"]}


class Fares(NamedTuple):
    """`label` and `tone` for a pill, and sentences."""

    label: str
    tone: str
    says: list[str]


def fares(account: MpesaAccount | AirtelAccount) -> Fares:
    """How an account that takes payments does, from what was paid to it."""
    health = payments.health(account)
    says = _says(health, account.provider)
    if account.fault:
        return Fares(_("Fails"), "bad", says)
    if isinstance(account, MpesaAccount) and account.silent_since:
        return Fares(_("Silent"), "bad", [_("Customers are asked to pay, and no payment is reported."), *says])
    if not health.tried:
        return Fares(_("Not tried yet"), "", says)
    if not health.asked:
        return Fares(_("Quiet"), "", says)
    tone = "ok" if health.paid >= 0.9 * health.asked else "warn" if 2 * health.paid >= health.asked else "bad"
    return Fares({"ok": _("Works"), "warn": _("Troubled"), "bad": _("Fails")}[tone], tone, says)


def _says(health: Health, provider: str) -> list[str]:
    if not health.tried:
        return [_("Nobody has paid to it yet, so nobody knows whether it works.")]
    if not health.asked:
        return [_("No payment was decided in the last hour.")]
    counts = {"paid": health.paid, "asked": health.asked}
    if health.answer_seconds is None:
        first = _("%(paid)s of %(asked)s payments came through in the last hour.", **counts)
    else:
        seconds = format_decimal(round(health.answer_seconds, 1))
        first = _(
            "%(paid)s of %(asked)s payments came through in the last hour; answer in %(seconds)s s.",
            seconds=seconds,
            **counts,
        )
    says = [first]
    if health.declined:
        says.append(
            ngettext(
                "%(num)d more was declined by the customer.",
                "%(num)d more were declined by customers.",
                health.declined,
            )
        )
    if health.lost and provider == "airtel":
        says.append(
            ngettext(
                "%(num)d was not reported by Airtel: we asked for it.",
                "%(num)d were not reported by Airtel: we asked for them.",
                health.lost,
            )
        )
    elif health.lost:
        says.append(
            ngettext(
                "%(num)d was not reported by M-Pesa: we asked for it.",
                "%(num)d were not reported by M-Pesa: we asked for them.",
                health.lost,
            )
        )
    return says


def steps(checks: dict[str, MpesaCheck]) -> list[dict[str, Any]]:
    """A line for each step that was begun."""
    return [_step(checks[name]) for name in setup.STEPS if name in checks]


def _step(check: MpesaCheck) -> dict[str, Any]:
    label, tone = _STATES[check.state]
    text = _(_CODES[check.code]) if check.code else None
    if check.step == "organisation" and check.facts.get("name"):
        text = _("Safaricom says that this number belongs to %(name)s.", name=check.facts["name"])
    if check.step in setup.AFTER and (check.state in {"ok", "skipped"}):
        # Nothing of theirs that could be right or wrong: it works or it does not.
        good = check.state == "ok" or check.code == "kept"
        label, tone = (N_("On"), "ok") if good else (N_("Off"), "warn")
    return {"label": _(STEPS[check.step]), "pill": _(label), "tone": tone, "text": text}


def trial(intent: PaymentIntent | None) -> dict[str, Any] | None:
    """What became of the KES 1: `state` is waiting, paid or failed."""
    if intent is None:
        return None
    if intent.state == "succeeded":
        text = _("KES 1 has arrived, receipt %(receipt)s. It is in this phone's balance here.", receipt=intent.receipt)
        return {"state": "paid", "text": text}
    if intent.state in payments.OPEN:
        text = _("Look at the phone, and approve with the M-Pesa PIN.") if intent.submitted_at else _("Being sent…")
        return {"state": "waiting", "text": text}
    if intent.state == "paid_no_receipt":
        return {"state": "waiting", "text": _("M-Pesa says that it was paid. The receipt is still to come.")}
    told = _TRIAL.get(intent.code or "")
    return {
        "state": "failed",
        "text": _(told) if told else _("It did not work. M-Pesa's code: %(code)s", code=intent.code),
    }
