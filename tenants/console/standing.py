"""Standing orders: the switch, and those that customers have asked for."""

from __future__ import annotations

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tenants import checkout, mpesa, subscribers
from tenants.console.blueprint import bp
from wavu import clock
from wavu.errors import N_
from wavu.web.access import needs

_STATES = {
    "asking": (N_("Being asked"), "warn"),
    "prompted": (N_("Waits for the PIN"), "warn"),
    "stands": (N_("Stands"), "ok"),
    "refused": (N_("Not set up"), "bad"),
    "unknown": (N_("Unknown"), "warn"),
}


@bp.get("/money/standing-orders")
@needs("mpesa.see")
def standing_orders() -> ResponseReturnValue:
    orders, now = checkout.list_standing_orders(), clock.now()
    return render_template(
        "console/money/standing_orders.html",
        accounts=mpesa.list_accounts(),
        orders=[(order, _STATES[checkout.standing_order_state(order, now)]) for order in orders],
        owners=subscribers.by_ids(order.subscriber_id for order in orders),
    )


@bp.post("/money/standing-orders/<uuid:account_id>")
@needs("mpesa.manage")
def switch_standing_orders(account_id: UUID) -> ResponseReturnValue:
    """The tenant says that they have Safaricom's contract, or that they have it no more."""
    on = request.form.get("on") == "yes"
    mpesa.switch_standing_orders(mpesa.get_account(account_id), on=on)
    flash(_("Customers can ask for it now.") if on else _("Customers cannot ask for it any more."), "ok")
    return redirect(url_for(".standing_orders"))
