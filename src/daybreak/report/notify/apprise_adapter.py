"""The one module that knows apprise: an address becomes a client, and a message goes out once.

What apprise logs names addresses, so it goes nowhere; of its warnings only a status is read. It keeps nothing on disk,
follows no redirection, loads no plug-ins from folders, and tries nothing again.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from daybreak.report.notify.view import AT_ONCE
from daybreak.report.notify.wording import Message

with warnings.catch_warnings():  # its clients use modules of Python that are on their way out
    warnings.simplefilter("ignore")
    import apprise
    from apprise.exception import AppriseException

    apprise.Apprise.instantiate("json://localhost")  # loads all clients

CONNECT_S = 5.0
READ_S = 10.0
_STATUS = re.compile(r"error\s?[=:]\s?([1-5][0-9]{2})\b")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
_KNOWN = ("notify_url", "webhook_url", "api_url", "base_url")
"""Where clients keep the address of a service that has one for all."""
_BELOW = ("urllib3.connectionpool", "requests", "urllib3.util.retry")
_MAIL_PORTS = {"ssl": 465, "starttls": 587}


class NotAnAddress(Exception):
    """apprise makes nothing of it."""


class Went(Exception):
    """The message did not go. `status` is that of the answer, where there was one that told it."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


class Client:
    """One address, for one message."""

    def __init__(self, url: str) -> None:
        """Raises NotAnAddress; nothing of the address is in it."""
        asset = apprise.AppriseAsset(
            app_id="Daybreak",
            app_desc="Daybreak",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            async_mode=False,
            secure_logging=True,
            storage_mode=apprise.PersistentStoreMode.MEMORY,
            http_redirects=False,
            plugin_paths=[],
        )
        with _quiet():
            try:
                made: Any = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
            except (AppriseException, TypeError, ValueError):
                made = None
        if made is None or not isinstance(made, apprise.NotifyBase):
            raise NotAnAddress
        made.socket_connect_timeout = min(made.socket_connect_timeout or CONNECT_S, CONNECT_S)
        made.socket_read_timeout = READ_S
        made.redirects = False  # whatever the address asks for: it may hold credentials for its host alone
        made.overflow_mode = apprise.OverflowMode.TRUNCATE
        self._made: Any = made

    @property
    def hosts(self) -> list[str]:
        """`name:port` of whom it speaks to; none where the client speaks to no network, or does not say to whom."""
        made: Any = self._made
        if smtp := getattr(made, "smtp_host", None):
            mode = getattr(made.secure_mode, "value", made.secure_mode) if made.secure else ""
            return _named(str(smtp), made.port or _MAIL_PORTS.get(str(mode), 25))
        if getattr(made, "mode", None) == "cloud" and isinstance(known := getattr(made, "cloud_notify_url", 0), str):
            return _of_url(known)
        for name in _KNOWN:
            known = getattr(type(made), name, None)
            if isinstance(known, str) and known.startswith("http") and (found := _of_url(known)):
                return found
        host = getattr(made, "host", None)
        return _named(str(host), made.port or (443 if made.secure else 80)) if host else []

    def send(self, message: Message) -> None:
        """Once; blocks. Raises Went, and whatever a client of apprise raises."""
        room = max(int(self._made.body_maxlen) - len(message.title) - 20, 40)
        body = message.body if len(message.body) <= room else f"{message.body[: room - 1]}…"
        kind = apprise.NotifyType.FAILURE if message.severity >= AT_ONCE else apprise.NotifyType.INFO
        with _quiet() as warnings:
            sent = self._made.notify(
                title=message.title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT
            )
        if not sent:
            told = [found for line in warnings if (found := _STATUS.search(line)) is not None]
            raise Went(int(told[-1][1]) if told else None)


def _of_url(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        return _named(parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443))
    except ValueError:
        return []


def _named(host: str, port: int) -> list[str]:
    if ":" in host:
        return [f"[{host.strip('[]')}]:{port}"]
    return [f"{host}:{port}"] if _HOST.fullmatch(host) else []


class _Ear(logging.Handler):
    """Warnings of one thread, while it sends; of those only."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: dict[int, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        lines = self.heard.get(record.thread or 0)
        if lines is not None and len(lines) < 100:
            lines.append(record.getMessage()[:1000])


_EAR = _Ear()


def _of_others(record: logging.LogRecord) -> bool:
    """Not said by a library below while it sends for us: it would name addresses."""
    return (record.thread or 0) not in _EAR.heard


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """What apprise logs in this thread is heard here and goes nowhere else."""
    told = logging.getLogger("apprise")
    told.propagate = False
    told.setLevel(logging.WARNING)
    if _EAR not in told.handlers:
        told.addHandler(_EAR)
        for name in _BELOW:
            logging.getLogger(name).addFilter(_of_others)
    me = threading.get_ident()
    heard = _EAR.heard[me] = []
    try:
        yield heard
    finally:
        _EAR.heard.pop(me, None)
