"""Looking before and after the work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from daybreak.host.naming import named, told
from daybreak.host.programs import asking
from daybreak.host.truth.outcome import Look, NotTrue, Observation, Probe, ProbeMisused, Verified
from daybreak.host.truth.outside import (
    _check_environment,
    _check_exit_code,
    _check_time,
    _checked_argv,
    _shown,
    shown_command,
)
from daybreak.host.truth.sight import checked_path

_OUTPUT_BYTES_MAX = 1_000_000
_F = TypeVar("_F", bound=Callable[..., Any])


class Expectation:
    """Around a block, or a function, plain or `async`. For a block, `verified` is there once it has been left."""

    def __init__(self, *probes: Probe) -> None:
        self._probes = _checked(probes)
        self._looks: list[Look] | None = None
        self._verified: Verified | None = None

    @property
    def verified(self) -> Verified:
        """What was seen. Raises ProbeMisused before the block has been left, and where it did not hold."""
        if self._verified is None:
            raise ProbeMisused("nothing has been verified", hint="read `verified` after the block that raised nothing")
        return self._verified

    def __enter__(self) -> Self:
        if self._looks is not None:
            raise ProbeMisused("this expectation is in use", hint="make one for each block")
        self._verified = None
        self._looks = [_started(probe) for probe in self._probes]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        looks, self._looks = self._looks or [], None
        if error is None:
            self._verified = _decide([one() for one in looks])
        elif isinstance(error, Exception):  # its own error goes on, with what it left behind
            for observation in [one() for one in looks]:
                if not observation.holds:
                    error.add_note(f"expected: {observation}")

    def __call__(self, function: _F) -> _F:
        import inspect  # late: a sixth of what importing all of this costs

        _check_function(function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def told_async(*args: Any, **named: Any) -> Any:
                with Expectation(*self._probes):
                    return await function(*args, **named)

            return cast(_F, told_async)

        @functools.wraps(function)
        def told(*args: Any, **named: Any) -> Any:
            with Expectation(*self._probes):
                return function(*args, **named)

        return cast(_F, told)


def expect(*probes: Probe) -> Expectation:
    """Look now, and again after the block: `with expect(changed("a.csv")): ...`; or above a function, for each call.

    Leaving the block raises NotTrue with everything that does not hold. When the block itself raises, that error goes
    on, with what does not hold as notes. Raises ProbeMisused for bad arguments."""
    return Expectation(*probes)


def verify(*probes: Probe) -> Verified:
    """Look now. Raises NotTrue; ProbeMisused for probes that compare with before, such as `changed`."""
    if late := [probe for probe in _checked(probes) if probe.needs_before]:
        expected = getattr(late[0], "expected", type(late[0]).__name__)
        raise ProbeMisused(f"{named(expected)} compares with before the work", hint="use `with expect(...)` instead")
    return _decide(list(look(*probes)))


def look(*probes: Probe) -> tuple[Observation, ...]:
    """What is seen now, true or not; raises ProbeMisused only."""
    return tuple(_started(probe)() for probe in _checked(probes))


def command(
    argv: Sequence[str],
    *probes: Probe,
    cwd: str | Path = ".",
    env: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
    exit_code: int = 0,
) -> Verified:
    """Run a program and look before and after: its exit status is one observation, the last, and never the only one.

    Its environment is `env`; without it PATH and the places of this machine, nothing else. After `timeout_s` it is
    ended with all it started. Raises NotTrue with everything that does not hold, and ProbeMisused before it is run."""
    argv, at, probes = _checked_argv(argv), checked_path(cwd), _checked(probes)
    _check_time(timeout_s)
    _check_environment(env)
    _check_exit_code(exit_code)
    looks = [_started(probe) for probe in probes]
    environment = asking.small_environment() if env is None else env
    answer = asking.ask(argv, cwd=at, env=environment, timeout_s=timeout_s, output_bytes_max=_OUTPUT_BYTES_MAX)
    said = (answer.stderr if answer.stderr.strip() else answer.stdout).decode("utf-8", "replace")
    ended = not answer.ending and answer.exit_code == exit_code
    seen = f"{answer.words}, said {_shown(said)}"
    status = Observation(f"exit status {exit_code}", shown_command(argv), "", seen, ended)
    return _decide([*(one() for one in looks), status])


def _started(probe: Probe) -> Look:
    """Its look after the work. One that breaks, before or after, has seen nothing: that does not hold."""
    try:
        later = probe.start()
    except Exception as error:  # noqa: BLE001 - a probe of the caller's own may raise anything
        failure = _unseen(probe, f"the probe raised {told(error)}")
        return lambda: failure

    def look() -> Observation:
        try:
            seen: object = later()
        except Exception as error:  # noqa: BLE001 - as above
            return _unseen(probe, f"the probe raised {told(error)}")
        if not isinstance(seen, Observation):
            return _unseen(probe, f"the probe gave {named(seen)} and no Observation")
        return seen

    return look


def _unseen(probe: Probe, why: str) -> Observation:
    expected = getattr(probe, "expected", None)
    words = expected if isinstance(expected, str) else named(probe)
    return Observation(words, words, "", why, False)


def _check_function(function: object) -> None:
    import inspect

    if not callable(function) or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ProbeMisused(
            f"{named(function)} is no function that does its work when called", hint="use `with expect(...)`"
        )


def _decide(observations: list[Observation]) -> Verified:
    if all(one.holds for one in observations):
        return Verified(tuple(observations))
    raise NotTrue(observations)


def _checked(probes: Sequence[object]) -> tuple[Probe, ...]:
    if not probes:
        raise ProbeMisused("nothing is expected", hint='say what must be true afterwards: expect(changed("out.csv"))')
    for probe in probes:
        if not callable(getattr(probe, "start", None)) or not hasattr(probe, "needs_before"):
            raise ProbeMisused(f"{named(probe)} is no probe", hint='make one: changed("out.csv")')
    return cast(tuple[Probe, ...], tuple(probes))
