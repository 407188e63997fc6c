"""What a node must know to reach the coordinator's gateway for one attempt. Travels in the attempt's job."""

from __future__ import annotations

import hashlib

import msgspec

SECRET_BYTES = 32
HELLO = b"daybreak relay 1"
"""What a connection begins with; the secret follows."""
HELLO_BYTES = len(HELLO) + SECRET_BYTES
OPEN, FULL, CLOSED = b"+", b"f", b"c"
"""The answer to a right secret: bytes may come; too many connections; the gateway is not there. To a wrong one there
is none."""


class Way(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """JSON by `msgspec.json` or `msgspec.to_builtins`. The secret is in neither `repr` nor `str`.

    It is of use for its attempt only, until the attempt's ticket is closed. It opens no budget: a request needs the
    ticket's token too. Keep it out of arguments of programs, environments and logs."""

    address: str
    """`HOST:PORT`, IPv6 in brackets."""
    fingerprint: str
    """`sha256:` and 64 hexadecimal digits: of the relay's certificate, in its binary form."""
    secret: str
    """64 hexadecimal digits."""

    def __repr__(self) -> str:
        return f"Way(address={self.address!r}, fingerprint={self.fingerprint!r}, secret=…)"


def digest(secret: bytes) -> bytes:
    """What ways are looked up by, so that how long it takes says nothing about secrets."""
    return hashlib.sha256(secret).digest()


def host_and_port(address: str, port: int | None = None) -> tuple[str, int]:
    """Of `HOST:PORT`, or of `HOST` where a port is given for it; IPv6 in brackets. Raises ValueError."""
    host, colon, number = address.rpartition(":")
    if port is not None and (not colon or address.endswith("]")):
        host, number = address, str(port)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("IPv6 is written in brackets")
    if not host or not host.isprintable() or any(letter in host for letter in " /[]@%"):
        raise ValueError("there is no host in it")
    if not (number.isascii() and number.isdigit() and int(number) < 65_536):
        raise ValueError("its port is no number from 0 to 65535")
    return host, int(number)


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
