"""Tenants: whose a job is. While authentication is off everything belongs to one."""

DEFAULT_TENANT_NO = 1
"""The tenant `default`, made by the first migration."""
