"""Random task programs: data that one interpreter runs, so that a seed gives a task as well as a night."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import anyio

from daybreak.engine import Absent, Context, Found, Kept, step_key
from daybreak.errors import CheckError, DaybreakError
from daybreak.events import GateDecided
from daybreak.testing.world import World

Program = list[list[Any]]


def make(random: Random, depth: int = 0) -> Program:
    """One to five operations; children up to two levels deep."""
    return [_operation(random, depth, place) for place in range(random.randint(1, 5))]


def _operation(random: Random, depth: int, place: int) -> list[Any]:
    kinds = ["step", "step", "tell", "sleep", "now", "random", "once", "blind", "caught", "enter"]
    if depth < 2:
        kinds += ["gather", "gather"]
    kind = random.choice(kinds)
    match kind:
        case "gather":
            return [kind, [make(random, depth + 1) for _ in range(random.randint(0, 3))]]
        case "caught":
            children = [make(random, 2) for _ in range(random.randint(0, 2))]
            children.insert(random.randint(0, len(children)), [["fail", place]])
            return [kind, children]
        case "sleep":
            return [kind, random.choice([0, 0.5, 10, 3600])]
        case _:
            return [kind, random.randint(0, 1)]  # few names, so that most are used again


class Interpreter:
    """The task function of a program, in a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.effects: Counter[str] = Counter()

    async def __call__(self, ctx: Context, args: dict[str, Any]) -> Any:
        return await self.run(ctx, args["program"])

    async def run(self, ctx: Context, program: Program) -> list[Any]:
        return [await self.operation(ctx, kind, value) for kind, value in program]

    async def operation(self, ctx: Context, kind: str, value: Any) -> Any:
        match kind:
            case "step" | "tell" | "fail":
                name = f"{kind} {value}"
                return await ctx.step(name, self.compute, kind, name, ctx.branch, value)
            case "once":
                return await ctx.step("once", self.effect, effect="once", lookup=self.lookup)
            case "blind":
                await ctx.step("blind", self.effect, effect="once")
                return "blind"
            case "sleep":
                return await ctx.sleep(value)
            case "now":
                return isinstance(await ctx.step("see", self.see, str(await ctx.now())), str)
            case "random":
                return isinstance(await ctx.step("see", self.see, await ctx.random()), float)
            case "enter":
                return await ctx.enter("verifying" if value else "running")
            case "gather":
                return await ctx.gather(*[self.child(program) for program in value])
            case "caught":
                try:
                    return await ctx.gather(*[self.child(program) for program in value])
                except DaybreakError as problem:
                    return [problem.code, problem.message]
        raise AssertionError(kind)

    def child(self, program: Program) -> Any:
        return lambda ctx: self.run(ctx, program)

    async def compute(self, kind: str, name: str, branch: str, value: int) -> Any:
        self.world.begin_step()
        await anyio.sleep(self.world.random.random())
        self.world.danger()
        if kind == "fail":
            raise CheckError(f"{name} in {branch} fails", hint="it always does")
        if kind == "tell":
            decided = GateDecided(
                run="r", attempt=value, workspace=step_key(), verdict="passed", score=1.5, reasons=[branch]
            )
            return Kept([name], tell=[decided])
        return {"name": name, "branch": branch}

    async def see(self, value: Any) -> Any:
        self.world.begin_step()
        return value

    async def effect(self) -> str:
        self.world.begin_step()
        await anyio.sleep(self.world.random.random())
        self.world.outside[step_key()] += 1
        self.world.danger()
        return "effected"

    async def lookup(self, key: str) -> Found | Absent:
        self.world.danger()
        return Found("effected") if self.world.outside[key] else Absent()
