"""Money that leaves by M-Pesa: refunds and payouts.

Promises: money is set aside before anything is sent, goes out once, and comes back only on a definite no; what is
unknown is asked about and never sent again; a receipt gives back no more than it brought, to the phone that paid it;
beyond what one person may alone, two must agree.
"""

from tenants.payouts.events import PayoutApproved, PayoutLimitRaised
from tenants.payouts.limits import Limit, limit, needs_second, set_limit
from tenants.payouts.models import Payout, PayoutSetting
from tenants.payouts.outcomes import decide, settle_result
from tenants.payouts.refusals import (
    AlreadyUnderWay,
    MoreThanCameIn,
    NoPayerPhone,
    NotBought,
    NotOpen,
    NotProvenYet,
    OnlyWhole,
    SamePerson,
    TooLittleToSend,
)
from tenants.payouts.requests import (
    Refundable,
    Who,
    approve,
    find_payout,
    list_payouts,
    locked,
    refund_to_wallet,
    refundable,
    request_refund,
    withdraw,
)
from tenants.payouts.sending import UNPROVEN, ask_now, ask_payout, send_again, send_payout, send_waiting

__all__ = [
    "UNPROVEN",
    "AlreadyUnderWay",
    "Limit",
    "MoreThanCameIn",
    "NoPayerPhone",
    "NotBought",
    "NotOpen",
    "NotProvenYet",
    "OnlyWhole",
    "Payout",
    "PayoutApproved",
    "PayoutLimitRaised",
    "PayoutSetting",
    "Refundable",
    "SamePerson",
    "TooLittleToSend",
    "Who",
    "approve",
    "ask_now",
    "ask_payout",
    "decide",
    "find_payout",
    "limit",
    "list_payouts",
    "locked",
    "needs_second",
    "refund_to_wallet",
    "refundable",
    "request_refund",
    "send_again",
    "send_payout",
    "send_waiting",
    "set_limit",
    "settle_result",
    "withdraw",
]
