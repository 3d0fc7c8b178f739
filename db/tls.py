"""The encryption of a connection and the certificates that it trusts: libpq's `ssl…` parameters as a TLS context."""

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db.connection_info import ConnectionInfo, Host
from domain.postgres_url import WrongConnectionString

FOLDER = ".postgresql"
"""In the home folder: `root.crt`, `root.crl`, `postgresql.crt` and `postgresql.key`, where none are named."""


class _Context(ssl.SSLContext):
    """A context that names and verifies a host, independent of the address in use."""

    host_name = ""

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return super().wrap_bio(*arguments, **{**options, "server_hostname": self.host_name})


def tls_ladder(info: ConnectionInfo, host: Host) -> Sequence[ssl.SSLContext | None]:
    """Return the TLS contexts to try in turn at an address; None is without TLS. Raises WrongConnectionString.

    Reads the named certificates each time, so that renewed ones apply to the next connection.
    """
    parameters = info.parameters
    mode = parameters.get("sslmode") or ("verify-full" if parameters.get("sslrootcert") == "system" else "prefer")
    if host.is_socket or mode == "disable":
        return [None]
    context = _context(parameters, mode, host.name)
    match mode:
        case "allow":
            return [None, context]
        case "prefer":
            return [context, None]
        case _:
            return [context]


def _context(parameters: Mapping[str, str], mode: str, host_name: str) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.host_name = host_name
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    _set_versions(context, parameters)
    if mode in {"require", "verify-ca", "verify-full"}:
        _trust(context, parameters, mode)
    if parameters.get("sslcertmode") != "disable":
        _show_certificate(context, parameters)
    return context


def _set_versions(context: ssl.SSLContext, parameters: Mapping[str, str]) -> None:
    lowest = parameters.get("ssl_min_protocol_version") or "TLSv1.2"
    context.minimum_version = ssl.TLSVersion[lowest.replace(".", "_")]
    if highest := parameters.get("ssl_max_protocol_version"):
        context.maximum_version = ssl.TLSVersion[highest.replace(".", "_")]


def _trust(context: ssl.SSLContext, parameters: Mapping[str, str], mode: str) -> None:
    """Verify the server's certificate; `require` does so only if there is a root certificate."""
    root = parameters.get("sslrootcert") or ""
    if root == "system":
        context.load_default_certs()
    elif root:
        _load(lambda: context.load_verify_locations(cafile=root), "sslrootcert", root)
    elif (default := _default("root.crt")).exists():
        _load(lambda: context.load_verify_locations(cafile=default), "sslrootcert", default)
    elif mode == "require":
        return
    else:
        raise WrongConnectionString(
            f"sslmode={mode} needs a root certificate and there is none at {default}: set sslrootcert to one, "
            "or to system for those of this machine."
        )
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = mode == "verify-full"
    _load_revocations(context, parameters)


def _load_revocations(context: ssl.SSLContext, parameters: Mapping[str, str]) -> None:
    file, folder = parameters.get("sslcrl"), parameters.get("sslcrldir")
    if file:
        _load(lambda: context.load_verify_locations(cafile=file), "sslcrl", file)
    if folder:
        _load(lambda: context.load_verify_locations(capath=folder), "sslcrldir", folder)
    if not file and not folder and (default := _default("root.crl")).exists():
        file = str(default)
        _load(lambda: context.load_verify_locations(cafile=default), "sslcrl", default)
    if file or folder:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _show_certificate(context: ssl.SSLContext, parameters: Mapping[str, str]) -> None:
    """Load the client certificate, for a server that asks for it."""
    certificate = parameters.get("sslcert") or _existing("postgresql.crt")
    if not certificate:
        return
    key = parameters.get("sslkey") or _existing("postgresql.key")
    password = parameters.get("sslpassword", "")
    _load(lambda: context.load_cert_chain(certificate, key, lambda: password), "sslcert or sslkey", certificate)


def _load(load: Any, name: str, path: object) -> None:
    try:
        load()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
        raise WrongConnectionString(
            f"{name} names {path}, which can't be used ({reason}): set it to a file in PEM that this user may read."
        ) from error


def _default(name: str) -> Path:
    try:
        return Path.home() / FOLDER / name
    except RuntimeError:
        return Path(FOLDER) / name


def _existing(name: str) -> str:
    path = _default(name)
    return str(path) if path.exists() else ""
