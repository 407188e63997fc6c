"""The kind `python`: an async function of the user's own, found by its import path; it makes progress through `ctx`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import anyio.to_thread
from pydantic import BaseModel, ConfigDict

from daybreak import events
from daybreak.checks import gate
from daybreak.checks.evidence import Evidence, Outcome
from daybreak.engine import Context, Kept, Parked
from daybreak.engine.step import is_async
from daybreak.errors import CheckError, UsageError
from daybreak.factory import pythontask
from daybreak.factory.tasks import Task, TaskOptions, options_of
from daybreak.host import truth

KIND = "python"
PREFIX = "check:"


class PythonArgs(BaseModel):
    """What was asked for, as kept in the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    function: str
    """`package.module:function`, or an absolute `file.py:function`."""
    folder: str
    """From where a module is imported; absolute."""
    args: dict[str, Any] = {}


class ResultNotVerified(CheckError):
    """The function has returned, and a check of its task does not hold."""

    code = "C162"


@dataclass(frozen=True)
class Python:
    """The task function of kind `python`; one instance serves many runs.

    A run ends with `{"verdict": "passed", "value": ...}`; without a check of its own with the verdict `not verified`.
    """

    async def __call__(self, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
        told = PythonArgs.model_validate(args)
        function = await anyio.to_thread.run_sync(_found, told)
        options = options_of(function)
        ctx.defaults(retry=options.retry, breaker=options.breaker)
        value = await function(ctx, **told.args)
        if not options.checks:
            return {"verdict": "not verified", "value": value}
        await ctx.enter("verifying")
        return await _verified(ctx, options, value)

    @staticmethod
    def fingerprint_of(args: dict[str, Any]) -> str:
        """16 characters that change with the file in which the function stands; empty where it is not found."""
        return pythontask.fingerprint(args)


def _found(args: PythonArgs) -> Task:
    """The function, as it was when the task was added; where it is not there any more a person must put it back."""
    try:
        function = pythontask.load(args.function, Path(args.folder))
        pythontask.check_arguments(function, args.function, args.args)
    except UsageError as error:
        raise Parked(f"{error.message}: put it back, then resume", why=f"{error.code}: {error.hint}") from error
    return function


async def _verified(ctx: Context, options: TaskOptions, value: Any) -> dict[str, Any]:
    names = [f"{PREFIX}{number} {_name(check)}" for number, check in enumerate(options.checks, 1)]
    evidence = [await _check(ctx, name, check, value) for name, check in zip(names, options.checks, strict=True)]

    def decide() -> Kept:
        found = gate.decide(evidence, threshold=0, vetoes={"check"}, required=names)
        passed = sum(one.outcome == "passed" for one in evidence)
        decision = found.model_copy(update={"score": float(passed * 1000 // len(names)) / 10})
        told = events.GateDecided(
            run=ctx.run,
            attempt=1,
            workspace="",
            verdict=decision.verdict,
            score=decision.score,
            reasons=list(decision.reasons),
        )
        return Kept(decision.model_dump(mode="json"), tell=[told])

    decision = gate.Decision.model_validate(await ctx.step("gate", decide))
    if decision.verdict != "passed":
        raise ResultNotVerified(
            "not done: " + "; ".join(decision.reasons), hint=f"`daybreak report {ctx.run}` shows what each check saw"
        )
    return {"verdict": decision.verdict, "value": value}


async def _check(ctx: Context, name: str, check: Any, value: Any) -> Evidence:
    async def look_async() -> Kept:
        return _kept(ctx.run, name, *await _asked_async(check, value))

    def look() -> Kept:
        return _kept(ctx.run, name, *_asked(check, value))

    asynchronous = not hasattr(check, "start") and is_async(check)
    return Evidence.model_validate(await ctx.step(name, look_async if asynchronous else look))


def _kept(run: str, name: str, outcome: Outcome, summary: str) -> Kept:
    evidence = Evidence(check=name, workspace="", outcome=outcome, summary=" ".join(summary.split())[:500])
    seen = evidence.model_dump(mode="json")
    return Kept(seen, tell=[events.CheckLooked(run=run, attempt=1, held_out=False, evidence=seen)])


def _asked(check: Any, value: Any) -> tuple[Outcome, str]:
    if hasattr(check, "start"):
        (seen,) = truth.look(cast("truth.Probe", check))
        return ("passed" if seen.holds else "failed"), f"{seen.expected}: {seen.seen}"
    try:
        return _judged(cast("Callable[[Any], Any]", check)(value))
    except Exception as error:  # noqa: BLE001 - of the user's own check; what it raises is what it saw
        return "failed", f"{type(error).__name__}: {error}"


async def _asked_async(check: Any, value: Any) -> tuple[Outcome, str]:
    try:
        return _judged(await check(value))
    except Exception as error:  # noqa: BLE001 - as above
        return "failed", f"{type(error).__name__}: {error}"


def _judged(answer: Any) -> tuple[Outcome, str]:
    return ("passed", "it holds") if answer is None or answer else ("failed", f"it says {answer!r:.80}")


def _name(check: Any) -> str:
    name = getattr(check, "expected", None) or getattr(check, "__name__", None) or type(check).__name__
    return " ".join(str(name).split())[:60]
