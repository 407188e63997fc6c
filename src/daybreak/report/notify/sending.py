"""One message to one channel: its address is found, the door is asked, and the client gets a limited time.

No error names an address: they name the channel.
"""

from __future__ import annotations

import os
import queue
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from daybreak import settings as config
from daybreak.errors import DeliveryError, UsageError
from daybreak.policy.failure import Failure, classify
from daybreak.policy.refusal import NotAllowed
from daybreak.report.notify.wording import Message, clean
from daybreak.settings import Channel

if TYPE_CHECKING:
    from daybreak.report.notify.apprise_adapter import Client

SEND_S = 30.0
"""For one message, whatever the other side does."""
LOOK_S = 0.2
"""How often it is looked whether there is still so much time."""


class ChannelUnknown(UsageError):
    """The settings name no such channel."""

    code = "U290"


class NotifyMissing(UsageError):
    """Messages cannot be sent, because apprise is not installed."""

    code = "U291"


class AddressUnusable(UsageError):
    """What a channel's address is named by holds none that can be used."""

    code = "U292"


class MessageUnsent(DeliveryError):
    """A channel's server did not take a message. `status_code` says how, where there was an answer that told it."""

    code = "D290"

    def __init__(self, message: str, *, hint: str, status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status_code = status


class MessageSlow(MessageUnsent):
    """A channel's server took too long over a message. Whether it took it is not known."""

    code = "D291"


class May(Protocol):
    """The door (`asking.Asking.may`)."""

    def __call__(self, channel: str, hosts: Sequence[str]) -> None: ...


def classified(error: BaseException, now: datetime) -> Failure:
    """As `policy.failure.classify`; what was not answered, and what is not there yet (a variable, a file, apprise), is
    waited out like an outage: nobody has to send it again by hand."""
    if isinstance(error, MessageUnsent) and error.status_code is None:
        return Failure("outage", error.message[:500], passes=True)
    if isinstance(error, NotAllowed):
        return Failure("permanent", f"{error.code} {error.message}"[:500])
    if isinstance(error, UsageError):
        return Failure("outage", f"{error.code} {error.message}"[:500], passes=True)
    return classify(error, now)


def installed() -> bool:
    return find_spec("apprise") is not None


def address(name: str, channel: Channel, environment: Mapping[str, str]) -> str:
    """The address of a channel. Never shown, by nothing. Raises KeyUnresolved, AddressUnusable."""
    if channel.url:
        return channel.url
    kind, _, place = channel.url_from.partition(":")
    if kind == "file" and os.name == "posix":
        _refuse_open(name, Path(place))
    return config.resolve_key(channel.url_from, environment)


def _refuse_open(name: str, path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever reads it says why
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AddressUnusable(
            f"others may read the address of channel {name}, {path} (mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {path}; if somebody may have read it, have the service give you another address",
        )


class Sender:
    """Sends for one process. A client that hangs keeps a thread of its own, and its channel waits for it."""

    def __init__(self, may: May, environment: Mapping[str, str]) -> None:
        self._may = may
        self._environment = environment
        self._hanging: dict[str, threading.Thread] = {}

    def send(
        self,
        name: str,
        channel: Channel,
        message: Message,
        limit_s: float = SEND_S,
        left: Callable[[], float] = lambda: inf,
    ) -> None:
        """Returns when the channel's server has taken the message. `left`: seconds that whoever waits for this still
        has, which may become fewer meanwhile. Raises MessageUnsent, MessageSlow, AddressUnusable,
        KeyUnresolved, NotifyMissing, NotAllowed and what else the door raises."""
        before = self._hanging.get(name)
        if before is not None and before.is_alive():
            raise _slow(name, "the message before is still on its way")
        client, hosts = self._client(name, channel)
        self._may(name, hosts)
        self._within(name, client, message, limit_s, left)

    def ready(self, name: str, channel: Channel) -> None:
        """Raises what this process lacks to reach the channel: AddressUnusable, KeyUnresolved, NotifyMissing."""
        self._client(name, channel)

    def _client(self, name: str, channel: Channel) -> tuple[Client, list[str]]:
        """And whom it speaks to."""
        if not installed():
            raise NotifyMissing(
                f"channel {name} cannot be reached: apprise is not installed",
                hint="install it: pip install 'daybreak[notify]'",
            )
        url = address(name, channel, self._environment)
        from daybreak.report.notify import apprise_adapter as adapter

        try:
            client = adapter.Client(url)
            return client, client.hosts
        except adapter.NotAnAddress:
            raise AddressUnusable(
                f"the address of channel {name} is none that apprise knows",
                hint="https://appriseit.com lists them; the whole address is one line without spaces",
            ) from None
        except Exception as error:  # noqa: BLE001 - of one client among a hundred; its words may hold the address
            raise _broken(name, error) from None

    def _within(self, name: str, client: Client, message: Message, limit_s: float, left: Callable[[], float]) -> None:
        from daybreak.report.notify import apprise_adapter as adapter

        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                client.send(message)
            except BaseException as error:  # noqa: BLE001 - carried over to whoever waits
                ended.put(error)
            else:
                ended.put(None)

        thread = threading.Thread(target=work, name=f"daybreak-notify-{name}", daemon=True)
        thread.start()
        error, waited_s = None, 0.0
        while True:
            step_s = max(min(limit_s - waited_s, left(), LOOK_S), 0.0)
            try:
                error = ended.get(timeout=step_s)
                break
            except queue.Empty:
                waited_s += step_s
            if waited_s >= limit_s or left() <= 0:
                self._hanging[name] = thread
                raise _slow(name, f"no end after {waited_s:.3g} s")
        if error is None:
            return
        if isinstance(error, adapter.Went):
            status = error.status
            what = f"its server answered {status}" if status else "its server did not answer, or refused it"
            hint = _HINTS.get(status or 0, "look at the server, and at the address; `daybreak notify test` tries it")
            raise MessageUnsent(f"channel {name}: {what}", hint=hint, status=status)
        raise _broken(name, error) from None


def _broken(name: str, error: BaseException) -> MessageUnsent:
    """Its words may hold the address: only its type is told."""
    return MessageUnsent(
        f"channel {name}: its client failed with {clean(type(error).__name__, 60)}",
        hint="look at the address; `daybreak notify test` tries it",
    )


def _slow(name: str, why: str) -> MessageSlow:
    return MessageSlow(f"channel {name}: {why}", hint="it is tried again; look at the server if that lasts")


_HINTS = {
    401: "the token in its address is wrong or has ended: have the service give you another one",
    403: "the token in its address may not do that: look at what the service lets it do",
    404: "there is no such chat, topic or path: look at its address",
    413: "the server takes no message of that length",
    429: "the server has had enough of us for now; it is tried again",
}
