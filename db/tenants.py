"""Tenants, the owners of jobs. While authentication is off everything belongs to the tenant `default`."""

DEFAULT_TENANT_NO = 1
"""The tenant `default`, made by the first migration."""
