"""Names of tenants, as keys, access tokens and the configuration write them."""

from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints

DEFAULT_TENANT = "default"
"""The tenant of everything while authentication is off."""
TENANTS = "a list of names of tenants, at least one; without it, it is every tenant's"
"""The description of a list of tenants in the configuration."""

TenantName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]
Tenants: TypeAlias = Annotated[tuple[TenantName, ...], Field(min_length=1)]
"""The tenants that something of the configuration is for."""
