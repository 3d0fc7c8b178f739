"""The address of a run's API: whether it is free, and whether the API answers."""

import http.client
import socket

from domain.addresses import is_loopback
from launcher.errors import PortTakenError
from runtime.errors import SettingError
from runtime.settings import Auth, Settings

_LOOPBACK_BY_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (read, not bound)


def url_of(settings: Settings) -> str:
    """Return the API's URL on this machine."""
    host, port = _address(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_ready(settings: Settings) -> bool:
    """Say whether the API answers that it is ready."""
    host, port = _address(settings)
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def refuse_unsafe_address(settings: Settings) -> None:
    """Raise SettingError if anybody on the network could use the API without a key."""
    if settings.auth is Auth.KEYS or settings.insecure or is_loopback(settings.host):
        return
    raise SettingError(
        f"BREAKWATER_HOST is {settings.host}, where others on the network reach the API, and BREAKWATER_AUTH is off: "
        "set BREAKWATER_AUTH=keys, or BREAKWATER_INSECURE=true if something in front of it lets nobody else in."
    )


def refuse_taken_port(settings: Settings) -> None:
    """Raise PortTakenError if another program listens on the API's address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise SettingError(f"BREAKWATER_HOST is {settings.host}, which is no address of this machine.") from None
    with socket.socket(family, kind, protocol) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(address)
        except OSError as error:
            raise PortTakenError(
                f"Port {settings.port} on {settings.host} can't be used ({error.strerror}): "
                "stop what listens there, or set BREAKWATER_PORT."
            ) from None


def _address(settings: Settings) -> tuple[str, int]:
    return _LOOPBACK_BY_ANY.get(settings.host, settings.host), settings.port
