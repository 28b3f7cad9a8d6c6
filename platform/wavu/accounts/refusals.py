from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class WrongCredentials(Refused):
    """Said of an unknown address, a wrong password and a person without a place here alike."""

    kind = Kind.UNAUTHENTICATED
    message = N_("That e-mail and password do not match. Check both, or reset your password.")


class WrongPassword(Refused):
    """Said to someone who is signed in and asked for the password once more."""

    kind = Kind.UNAUTHENTICATED
    message = N_("That password is not right.")


class TooManyAttempts(Refused):
    """Said of an address that nobody has, too: it is counted alike."""

    kind = Kind.TOO_MANY
    message = N_("Too many attempts. Wait %(minutes)s minutes and try again, or reset your password.")

    @property
    def retry_after_seconds(self) -> int:
        return int(self.facts["minutes"]) * 60


class WrongCode(Refused):
    kind = Kind.UNAUTHENTICATED
    message = N_("That code is not right. Codes change every 30 seconds; check your phone's clock.")


class AlreadyEnrolled(Refused):
    kind = Kind.CONFLICT
    message = N_("Two-step sign-in is on already. Sign in with a code from your phone.")


class WeakPassword(Refused):
    message = N_("This password is too easy to guess. Use 10 characters or more: three unrelated words work well.")


class LinkExpired(Refused):
    kind = Kind.NOT_FOUND
    message = N_("This link has expired or was used already. Ask for a new one.")


class AlreadyMember(Refused):
    kind = Kind.CONFLICT
    message = N_("%(email)s is already in the team.")


class InvitedTooOften(Refused):
    """Said of one address."""

    kind = Kind.TOO_MANY
    message = N_(
        "%(email)s was sent %(count)s invitations in a day. Ask them to look into their spam folder, or try again "
        "tomorrow."
    )


class TooManyInvitations(Refused):
    """Said of a whole team."""

    kind = Kind.TOO_MANY
    message = N_("Your team sent %(count)s invitations in a day, which is the most it can. Try again tomorrow.")


class LastOwner(Refused):
    kind = Kind.CONFLICT
    message = N_("Someone must stay in charge. Give this role to another person first.")


class UnknownRole(Refused):
    message = N_("Choose a role from the list.")


class SecondFactorRequired(Refused):
    kind = Kind.FORBIDDEN
    message = N_("Platform staff need a second factor; it cannot be turned off.")
