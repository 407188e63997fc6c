"""`daybreak serve`: the dashboard and the API of this home."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.cli import arguments, faces
from daybreak.cli.arguments import ArgumentWrong, Json
from daybreak.errors import HostError, UsageError

if TYPE_CHECKING:
    from daybreak.web.desk import Desk

EXAMPLES = (
    "Examples:  daybreak serve    daybreak serve --port 0 --json    "
    "daybreak serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem"
)


class BindRefused(UsageError):
    """Elsewhere than on loopback the server is not without TLS."""

    code = "U330"


class PortTaken(HostError):
    """The address cannot be listened at."""

    code = "H330"


class CertificateWrong(UsageError):
    """A certificate or its key cannot be used."""

    code = "U331"


Host = Annotated[str | None, typer.Option("--host", help="Where to listen.", show_default="as [web] says, or loopback")]
Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        metavar="N",
        help="0 for any that is free.",
        parser=arguments.whole(0, 65_535),
        show_default="as [web] says, or 8420",
    ),
]
File = Annotated[Path | None, typer.Option(parser=arguments.path, metavar="FILE", show_default=False)]


def serve(
    host: Host = None,
    port: Port = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="Certificate, PEM.", parser=arguments.path, metavar="FILE")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", help="Its key, PEM.", parser=arguments.path, metavar="FILE")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen elsewhere than on loopback although there is no TLS.")
    ] = False,
    no_login_link: Annotated[
        bool, typer.Option("--no-login-link", help="Print no link that signs a browser in; tokens alone do.")
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the link in a browser.")] = False,
    unix: Annotated[
        Path | None,
        typer.Option("--unix", help="Listen on a unix socket instead.", parser=arguments.path, metavar="FILE"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve the dashboard and the API until Ctrl-C, beside a night or without one. Everybody who asks needs a token
    (`daybreak token mint --api look,answer`); a person on this machine has the link that is printed."""
    from daybreak import home
    from daybreak.home import acting, alerting, notifying
    from daybreak.policy import rootkey
    from daybreak.web import desk as desks

    if (tls_cert is None) != (tls_key is None):
        raise ArgumentWrong("TLS needs a certificate and its key", hint="give --tls-cert and --tls-key")
    with home.opened(through=acting.through) as opened:
        rule = opened.settings.web
        desk = desks.make(opened, rootkey.load_public(opened.places.keys))
        desk.secure = tls_cert is not None
        where = host or rule.host
        if unix is None:
            desk.public = not _is_loopback(where)
            _refuse_bare(desk, where, insecure=insecure)
            listening = _listen(where, rule.port if port is None else port)
        else:
            listening = _listen_unix(unix)
        own = socket.gethostname() if where in ("0.0.0.0", "::") else _bracketed(where)  # as `_address` tells it
        desk.hosts = frozenset((*(name.lower() for name in rule.hosts), own.lower()))
        with listening, notifying.beside(opened), alerting.beside(opened):
            _serve(desk, listening, tls_cert, tls_key, link=not no_login_link, show=open_browser, as_json=as_json)


def _serve(
    desk: Desk,
    listening: socket.socket,
    certificate: Path | None,
    key: Path | None,
    *,
    link: bool,
    show: bool,
    as_json: bool,
) -> None:
    import ssl

    from daybreak.web import server

    try:
        serving = server.make(desk, certificate=certificate, key=key)
        serving.config.load()
    except (OSError, ssl.SSLError) as error:
        raise CertificateWrong(
            f"the certificate cannot be used: {error}", hint="both files are PEM; do they fit?"
        ) from None
    address = _address(desk, listening)
    login = f"{address}/login?once={desk.sessions.link()}" if link and address.startswith("http") else ""
    if as_json:
        faces.result_json({"address": address, "login": login, "pid": os.getpid(), "tls": desk.secure})
    else:
        faces.result(f"serving {address}")
        if login:
            faces.result(f"  open this once, within ten minutes: {login}")
        if desk.public:
            kind = "with TLS" if desk.secure else "WITHOUT TLS: whoever is on the way can read tokens"
            faces.say(f"reachable from other machines, {kind}")
        faces.say("Ctrl-C ends it")
    if show and login:
        import webbrowser

        webbrowser.open(login)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has ended everything by then
        serving.run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refuse_bare(desk: Desk, host: str, *, insecure: bool) -> None:
    """Raises BindRefused."""
    if desk.public and not desk.secure and not insecure:
        raise BindRefused(
            f"{host} can be reached from other machines, and there is no TLS",
            hint="give --tls-cert and --tls-key, or listen on 127.0.0.1 and use a tunnel; --insecure does it anyway",
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _listen(host: str, port: int) -> socket.socket:
    """Raises PortTaken."""
    plain = host.strip("[]")
    try:
        [(family, kind, proto, _, place), *_] = socket.getaddrinfo(plain, port, type=socket.SOCK_STREAM)
        listening = socket.socket(family, kind, proto)
    except (OSError, UnicodeError) as error:
        raise PortTaken(f"there is no address {host[:200]!a}: {error}", hint="name one of this machine's") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(256)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise PortTaken(
            f"{_bracketed(plain)}:{port} cannot be listened at: {error.strerror or error}",
            hint="is `daybreak serve` running already? --port 0 takes any that is free",
        ) from None
    return listening


def _listen_unix(path: Path) -> socket.socket:
    """Only this user may connect. Raises PortTaken."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        listening.listen(256)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise PortTaken(
            f"{path} cannot be listened at: {error.strerror or error}", hint="if nobody uses it any more, remove it"
        ) from None
    return listening


def _address(desk: Desk, listening: socket.socket) -> str:
    if listening.family == socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, _bracketed(host))
    return f"{'https' if desk.secure else 'http'}://{shown}:{port}"
