"""The whole choreography on one page: which jobs each event starts, on which queue, and every job there is.

A job is `name: function`. A plain function runs in one transaction of its tenant, with its effects and its mark in
the outbox committed together: exactly once. A generator function yields the one call to the outside, which runs
without a transaction; what it returns comes back into the generator in a second one: at least once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenants import airtel, checkout, mpesa, payments, payouts
from tenants.airtel import AirtelChangeTold
from tenants.mpesa import (
    InitiatorFaultFound,
    InitiatorPasswordAges,
    InitiatorSet,
    MpesaAccountAdded,
    MpesaChangeTold,
    MpesaFaultFound,
    MpesaFellSilent,
    ResultArrived,
    StatusAnswered,
)
from tenants.payments import CallbackArrived, PaymentReported, StkAsked, UssdAsked
from tenants.payouts import PayoutApproved, PayoutLimitRaised
from wavu.accounts import CredentialChanged, PasswordResetAsked, PasswordResetMade, PersonInvited
from wavu.events import Reaction, react
from wavu.outbox import Queue
from wavu.tenancy import TenantResumed, TenantSuspendedByStaff
from workers import bookkeeping, housekeeping, outreach, provisioning, settlement

Job = Callable[[dict[str, Any]], Any]

JOBS: dict[str, Job] = {
    "send_stk": payments.send_stk,
    "query_stk": settlement.query_stk,
    "settle_callback": settlement.settle_callback,
    "send_payout": payouts.send_payout,
    "send_waiting": payouts.send_waiting,
    "ask_payout": payouts.ask_payout,
    "ask_status": mpesa.send_status,
    "ask_balance": mpesa.send_balance,
    "make_code_to_pay": mpesa.make_code_to_pay,
    "send_standing_order": checkout.send_standing_order,
    "settle_standing_order": settlement.settle_standing_order,
    "ask_balances": settlement.ask_balances,
    "settle_result": settlement.settle_result,
    "settle_report": settlement.settle_report,
    "settle_status": settlement.settle_status,
    "look_for_claim": settlement.look_for_claim,
    "register_hooks": mpesa.register_hooks,
    "check_mpesa": mpesa.setup.check_mpesa,
    "apply_mpesa_change": mpesa.changes.apply_mpesa_change,
    "look_after_wallets": settlement.look_after_wallets,
    "renew_package": settlement.renew_package,
    "expire_promo": settlement.expire_promo,
    "check_airtel": airtel.setup.check_airtel,
    "apply_airtel_change": airtel.changes.apply_airtel_change,
    "look_for_silence": settlement.look_for_silence,
    "notice_silence": settlement.notice_silence,
    "pull_since_last": settlement.pull_since_last,
    "pull_two_days": settlement.pull_two_days,
    "pull_payments": payments.pull_payments,
    "end_expired_sessions": provisioning.end_expired_sessions,
    "end_sessions": provisioning.end_sessions,
    "disconnect_session": provisioning.disconnect_session,
    "send_invitation": outreach.send_invitation,
    "make_password_reset": outreach.make_password_reset,
    "send_password_reset": outreach.send_password_reset,
    "tell_credential_changed": outreach.tell_credential_changed,
    "tell_owners_suspended": outreach.tell_owners_suspended,
    "tell_owners_resumed": outreach.tell_owners_resumed,
    "tell_owners_mpesa_fault": outreach.tell_owners_mpesa_fault,
    "tell_owners_initiator_set": outreach.tell_owners_initiator_set,
    "tell_owners_initiator_fault": outreach.tell_owners_initiator_fault,
    "tell_owners_initiator_ages": outreach.tell_owners_initiator_ages,
    "tell_owners_payout_limit": outreach.tell_owners_payout_limit,
    "tell_owners_mpesa_silent": outreach.tell_owners_mpesa_silent,
    "tell_mpesa_change": outreach.tell_mpesa_change,
    "tell_mpesa_contact": outreach.tell_mpesa_contact,
    "tell_airtel_change": outreach.tell_airtel_change,
    "tell_airtel_contact": outreach.tell_airtel_contact,
    "tell_owner": outreach.tell_owner,
    "close_days": bookkeeping.close_days,
    "close_days_of": bookkeeping.close_days_of,
    "close_day": bookkeeping.close_day,
    "check_day": bookkeeping.check_day,
    "forget_old_sessions": housekeeping.forget_old_sessions,
    "forget_old_keys": housekeeping.forget_old_keys,
}


def install() -> None:
    """Declares every event's reactions. Called once, by create_app."""
    react(StkAsked, Reaction("send_stk", Queue.DARAJA))
    react(UssdAsked, Reaction("send_stk", Queue.AIRTEL))
    react(CallbackArrived, Reaction("settle_callback", Queue.SETTLEMENT))
    react(PaymentReported, Reaction("settle_report", Queue.SETTLEMENT))
    react(MpesaAccountAdded, Reaction("register_hooks", Queue.DARAJA))
    react(MpesaFaultFound, Reaction("tell_owners_mpesa_fault", Queue.MESSAGES))
    react(
        InitiatorSet,
        Reaction("send_waiting", Queue.BULK),
        Reaction("tell_owners_initiator_set", Queue.MESSAGES),
    )
    react(InitiatorFaultFound, Reaction("tell_owners_initiator_fault", Queue.MESSAGES))
    react(InitiatorPasswordAges, Reaction("tell_owners_initiator_ages", Queue.MESSAGES))
    react(ResultArrived, Reaction("settle_result", Queue.SETTLEMENT))
    react(StatusAnswered, Reaction("settle_status", Queue.SETTLEMENT))
    react(PayoutApproved, Reaction("send_payout", Queue.DARAJA))
    react(PayoutLimitRaised, Reaction("tell_owners_payout_limit", Queue.MESSAGES))
    react(MpesaFellSilent, Reaction("tell_owners_mpesa_silent", Queue.MESSAGES))
    react(MpesaChangeTold, Reaction("tell_mpesa_change", Queue.MESSAGES))
    react(AirtelChangeTold, Reaction("tell_airtel_change", Queue.MESSAGES))
    react(PersonInvited, Reaction("send_invitation", Queue.MESSAGES))
    react(PasswordResetAsked, Reaction("make_password_reset", Queue.MESSAGES))
    react(PasswordResetMade, Reaction("send_password_reset", Queue.MESSAGES))
    react(CredentialChanged, Reaction("tell_credential_changed", Queue.MESSAGES))
    react(TenantSuspendedByStaff, Reaction("tell_owners_suspended", Queue.MESSAGES))
    react(TenantResumed, Reaction("tell_owners_resumed", Queue.MESSAGES))
