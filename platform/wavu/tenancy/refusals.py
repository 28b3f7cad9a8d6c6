from __future__ import annotations

from wavu.errors import N_, Kind, Refused


class BadSlug(Refused):
    message = N_("Use 3 to 40 small letters, digits and single hyphens, starting with a letter; some names are kept.")


class NameTaken(Refused):
    kind = Kind.CONFLICT
    message = N_("%(name)s is taken. Choose another.")


class TenantSuspended(Refused):
    kind = Kind.FORBIDDEN
    message = N_("This service is suspended.")


class AlreadySuspended(Refused):
    kind = Kind.CONFLICT
    message = N_("%(name)s was suspended already. The reason stays: %(reason)s")


class AlreadyOpen(Refused):
    kind = Kind.CONFLICT
    message = N_("%(name)s was open already.")
