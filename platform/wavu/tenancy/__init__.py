"""Tenants: who they are, which of them is asking, and which outside name belongs to whom.

Promises: code outside tenant_scope() reads and writes no tenant's rows; the directory is the only look-up across
tenants and gives out a tenant's id and nothing else.
"""

from wavu.tenancy.directory import Kind as NameKind
from wavu.tenancy.directory import claim, names, release, resolve
from wavu.tenancy.events import TenantResumed, TenantSuspendedByStaff
from wavu.tenancy.models import PLATFORM_ID, DirectoryEntry, Tenant
from wavu.tenancy.refusals import AlreadyOpen, AlreadySuspended, BadSlug, NameTaken, TenantSuspended
from wavu.tenancy.scope import current_tenant_id, tenant_scope, visiting
from wavu.tenancy.tenants import (
    count_by_status,
    create_tenant,
    current_tenant,
    find_isp,
    find_tenant,
    list_tenants,
    payment_troubles,
    read_tenant,
    resume,
    summaries,
    suspend,
)

__all__ = [
    "PLATFORM_ID",
    "AlreadyOpen",
    "AlreadySuspended",
    "BadSlug",
    "DirectoryEntry",
    "NameKind",
    "NameTaken",
    "Tenant",
    "TenantResumed",
    "TenantSuspended",
    "TenantSuspendedByStaff",
    "claim",
    "count_by_status",
    "create_tenant",
    "current_tenant",
    "current_tenant_id",
    "find_isp",
    "find_tenant",
    "list_tenants",
    "names",
    "payment_troubles",
    "read_tenant",
    "release",
    "resolve",
    "resume",
    "summaries",
    "suspend",
    "tenant_scope",
    "visiting",
]
