"""Probes that ask: a program, a port, a function of the caller's."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daybreak.host.naming import cut, named, told
from daybreak.host.programs import asking
from daybreak.host.truth.files import Verdict
from daybreak.host.truth.outcome import Look, Observation, Probe, ProbeMisused
from daybreak.host.truth.sight import checked_path

_OUTPUT_BYTES_MAX = 1_000_000
_PAUSE_S = 0.02
_REPLY_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class OutsideProbe:
    """Asks once, after the work; before it only where `ask_before` is given."""

    expected: str
    looked_at: str
    ask: Callable[[object], Verdict]
    ask_before: Callable[[], object] | None = None

    @property
    def needs_before(self) -> bool:
        return self.ask_before is not None

    def start(self) -> Look:
        before, failure = self._before()

        def look() -> Observation:
            holds, seen = (False, failure) if failure else self._after(before)
            shown = "" if self.ask_before is None else named(before, 200)
            return Observation(self.expected, self.looked_at, shown, seen, holds)

        return look

    def _before(self) -> tuple[object, str]:
        if self.ask_before is None:
            return None, ""
        try:
            return self.ask_before(), ""
        except Exception as error:  # noqa: BLE001 - the caller's function may raise anything, and must not stop the others
            return None, f"the look before raised {told(error)}"

    def _after(self, before: object) -> Verdict:
        try:
            return self.ask(before)
        except Exception as error:  # noqa: BLE001 - as above: it saw nothing, so it does not hold
            return False, f"the probe raised {told(error)}"


def prints(
    argv: Sequence[str],
    matches: str | re.Pattern[str],
    *,
    cwd: str | Path = ".",
    env: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
    exit_code: int = 0,
) -> Probe:
    """The command ends with `exit_code` and prints on stdout what the pattern finds. Its environment is `env`; without
    it PATH and the places of this machine, nothing else. After `timeout_s` it is ended with all it started."""
    argv, pattern, at = _checked_argv(argv), _checked_pattern(matches), checked_path(cwd)
    _check_time(timeout_s)
    _check_environment(env)
    _check_exit_code(exit_code)
    command = shown_command(argv)

    def ask(before: object) -> Verdict:
        environment = asking.small_environment() if env is None else env
        answer = asking.ask(argv, cwd=at, env=environment, timeout_s=timeout_s, output_bytes_max=_OUTPUT_BYTES_MAX)
        text = answer.stdout.decode("utf-8", "replace")
        holds = not answer.ending and answer.exit_code == exit_code and pattern.search(text) is not None
        return holds, f"{answer.words}, printed {_shown(text)}"

    return OutsideProbe(f"`{command}` prints {named(pattern.pattern)}", command, ask)


def shown_command(argv: Sequence[str]) -> str:
    """A command for people: printable, on one line, not longer than one."""
    text = " ".join(argv)
    return cut(text if text.isprintable() else ascii(text)[1:-1], 200)


def answers(
    port: int,
    host: str = "127.0.0.1",
    *,
    within_s: float = 5.0,
    sending: bytes = b"",
    matches: bytes | None = None,
) -> Probe:
    """Something accepts a TCP connection there within `within_s` seconds; with `matches`, and says something that this
    regular expression of bytes finds, after it was sent `sending`."""
    _check_port(port)
    _check_time(within_s)
    _check_host(host)
    reply = _checked_bytes_pattern(matches)
    if not isinstance(sending, bytes):
        raise ProbeMisused(f"{named(sending)} is nothing to send", hint='give bytes: b"PING\\r\\n"')

    def ask(before: object) -> Verdict:
        deadline, seen = time.monotonic() + within_s, "no connection"
        while (left_s := deadline - time.monotonic()) > 0:
            holds, seen = _talk(host, port, left_s, sending, reply)
            if holds:
                return True, seen
            time.sleep(min(_PAUSE_S, max(0.0, deadline - time.monotonic())))
        return False, f"{seen}, for {within_s:g} s"

    words = f" {named(matches)}" if matches is not None else ""
    return OutsideProbe(f"{host}:{port} answers{words}", f"{host}:{port}", ask)


def _talk(host: str, port: int, left_s: float, sending: bytes, reply: re.Pattern[bytes] | None) -> Verdict:
    import socket

    got = b""
    deadline = time.monotonic() + left_s
    try:
        with socket.create_connection((host, port), timeout=left_s) as connection:
            if reply is None:
                return True, "a connection was accepted"
            connection.sendall(sending)
            while len(got) < _REPLY_BYTES_MAX:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                part = connection.recv(4096)
                got += part
                if reply.search(got):
                    return True, f"it said {named(got, 200)}"
                if not part:
                    break
    except (OSError, UnicodeError) as error:
        return False, f"it said {named(got, 200)}, then: {error}" if got else str(error)
    return False, f"it said {named(got, 200)}"


def custom(
    expected: str, look: Callable[..., tuple[bool, str]], *, before: Callable[[], object] | None = None
) -> Probe:
    """A probe of your own. `look()` gives whether it holds and what was seen, in words: a bare True is not evidence.
    With `before`, that is called before the work, and its result is given to `look`. What raises does not hold."""
    _check_custom(expected, look, before)

    def ask(seen_before: object) -> Verdict:
        return _checked_verdict(look() if before is None else look(seen_before))

    return OutsideProbe(expected, expected, ask, before)


def _checked_verdict(got: object) -> Verdict:
    if isinstance(got, tuple) and len(got) == 2 and isinstance(got[0], bool) and _is_text(got[1]):
        return got[0], got[1]
    return False, f"the probe gave {named(got)} and no (bool, what was seen)"


# -- arguments


def _check_custom(expected: object, look: object, before: object) -> None:
    if not _is_text(expected) or not callable(look) or not (before is None or callable(before)):
        raise ProbeMisused(
            f"{named(expected)} is no probe",
            hint='write custom("the queue is empty", look), look() -> (bool, str)',
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _checked_argv(argv: object) -> list[str]:
    parts = list(argv) if isinstance(argv, list | tuple) else []
    texts = [str(part) for part in parts if isinstance(part, str | Path)]
    if not texts or len(texts) != len(parts) or any("\0" in text for text in texts) or not texts[0]:
        raise ProbeMisused(f"{named(argv)} is no command", hint='give a list of texts: ["git", "status"]')
    return texts


def _checked_pattern(pattern: object) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern) if isinstance(pattern, str | re.Pattern) else None
    except (re.error, RecursionError, OverflowError):
        compiled = None
    if compiled is None or not isinstance(compiled.pattern, str):
        raise ProbeMisused(f"{named(pattern)} is no pattern of text", hint="give a regular expression")
    return compiled


def _checked_bytes_pattern(pattern: object) -> re.Pattern[bytes] | None:
    if pattern is None:
        return None
    try:
        if isinstance(pattern, bytes):
            return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        pass
    raise ProbeMisused(f"{named(pattern)} is no pattern of bytes", hint='write it like b"^HTTP/1.1 200"')


def _check_time(seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 86_400:
        raise ProbeMisused(f"{named(seconds, 40)} is no time to wait", hint="give seconds, over 0 and up to a day")


def _check_exit_code(code: object) -> None:
    if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code < 2**32:
        raise ProbeMisused(f"{named(code, 40)} is no exit status", hint="give a whole number from 0 on")


def _check_environment(env: object) -> None:
    if env is None:
        return
    pairs = list(env.items()) if isinstance(env, Mapping) else [(None, None)]
    for name, value in pairs:
        texts = isinstance(name, str) and isinstance(value, str)
        if not texts or not name or "=" in name or "\0" in name + value:
            raise ProbeMisused(f"{named(name, 40)} is no part of an environment", hint='give {"PATH": "/usr/bin"}')


def _check_port(port: object) -> None:
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65_536:
        raise ProbeMisused(f"{named(port, 40)} is no port", hint="give a number from 1 to 65535")


def _check_host(host: object) -> None:
    if not isinstance(host, str) or not host or len(host) > 253 or not host.isascii() or not host.isprintable():
        raise ProbeMisused(f"{named(host)} is no host", hint="give a name or an address")


def _shown(text: str) -> str:
    text = text.strip()
    return ascii(text[:200]) + ("…" if len(text) > 200 else "") if text else "nothing"
