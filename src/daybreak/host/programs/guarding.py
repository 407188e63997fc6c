"""All needed programs at once, before any work."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from daybreak.host.naming import named
from daybreak.host.programs.cache import PROCESS_CACHE, Cache
from daybreak.host.programs.cache import checked as checked_cache
from daybreak.host.programs.platforms import Platform
from daybreak.host.programs.platforms import checked as checked_platform
from daybreak.host.programs.program import Program, ProgramMisdescribed, ProgramsUnfit, ProgramUnfit
from daybreak.host.programs.search import VERSION_TIMEOUT_S, Found, check_time, find

_AT_ONCE = 8
_F = TypeVar("_F", bound=Callable[..., Any])


def find_all(
    *wanted: Program | str,
    platform: Platform | None = None,
    timeout_s: float = VERSION_TIMEOUT_S,
    cache: Cache | None = PROCESS_CACHE,
) -> dict[str, Found]:
    """Name → Found for every program, looked for at the same time. Raises ProgramsUnfit with everything that is
    missing or does not fit, never only the first; ProgramMisdescribed for bad arguments, before any program is run."""
    programs = [Program.of(one) for one in wanted]
    names = [program.name for program in programs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ProgramMisdescribed(f"{', '.join(twice)[:80]} is asked for twice", hint="join its ranges: git>=2.30,<3")
    here, cache = checked_platform(platform), checked_cache(cache)
    check_time(timeout_s)

    def look(program: Program) -> Found | ProgramUnfit:
        try:
            return find(program, platform=here, timeout_s=timeout_s, cache=cache)
        except ProgramUnfit as error:
            return error

    if not programs:
        return {}
    from concurrent.futures import ThreadPoolExecutor  # late: costs more than the rest of this package

    with ThreadPoolExecutor(min(_AT_ONCE, len(programs)), "programs") as pool:
        looked = list(pool.map(look, programs))
    if failures := [one for one in looked if isinstance(one, ProgramUnfit)]:
        raise ProgramsUnfit(failures)
    return {one.program.name: one for one in looked if isinstance(one, Found)}


class Guard:
    """Refuses before any work: around a block (`with guard("git") as found:`) or a function, plain or `async`.

    Looks each time the block is entered or the function called, not when it is defined. Raises as `find_all`.
    """

    def __init__(
        self,
        *wanted: Program | str,
        platform: Platform | None = None,
        timeout_s: float = VERSION_TIMEOUT_S,
        cache: Cache | None = PROCESS_CACHE,
    ) -> None:
        if not wanted:
            raise ProgramMisdescribed("nothing is asked for", hint='name what is needed: guard("git", "rg>=13")')
        self.programs = tuple(Program.of(one) for one in wanted)
        if platform is not None:
            checked_platform(platform)
        check_time(timeout_s)
        self._platform, self._timeout_s, self._cache = platform, timeout_s, checked_cache(cache)

    def check(self) -> dict[str, Found]:
        """Look now."""
        return find_all(*self.programs, platform=self._platform, timeout_s=self._timeout_s, cache=self._cache)

    def __enter__(self) -> dict[str, Found]:
        return self.check()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give back."""

    def __call__(self, function: _F) -> _F:
        import inspect  # late, as above

        if not callable(function):
            raise ProgramMisdescribed(f"{named(function)} is no function", hint="put guard(...) above a function")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ProgramMisdescribed(
                f"{named(function)} is a generator, whose work begins later", hint="use `with guard(...)` inside it"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded_async(*args: Any, **named: Any) -> Any:
                self.check()
                return await function(*args, **named)

            return cast(_F, guarded_async)

        @functools.wraps(function)
        def guarded(*args: Any, **named: Any) -> Any:
            self.check()
            return function(*args, **named)

        return cast(_F, guarded)


def guard(
    *wanted: Program | str,
    platform: Platform | None = None,
    timeout_s: float = VERSION_TIMEOUT_S,
    cache: Cache | None = PROCESS_CACHE,
) -> Guard:
    """See Guard; the short form is a name and a range: `guard("git", "rg>=13")`."""
    return Guard(*wanted, platform=platform, timeout_s=timeout_s, cache=cache)
