"""The language of `console` blocks: what is typed, what must be printed, how it must end.

`$ ` starts a command, `> ` goes on with it. Below stands what it prints, standard output first and then
standard error; a last line `[1]` to `[255]` is its exit status (none: 0). A line may end in ` (re)` or
` (glob)`, as in Cram; `...` alone on a line stands for any lines, also none. Blank lines between the end of
an expectation and the next command may be there or not: they are matched only if the program printed them.
A missing newline at the end of what was printed makes no difference.

Reading never fails: what is wrong becomes a Fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from daybreak.checks.example import Fault

ANY_LINES = "..."
RE_SUFFIX, GLOB_SUFFIX = " (re)", " (glob)"
_STATUS = re.compile(r"\[(-?\d+)\]")
_BEFORE_A_PROGRAM, _AFTER_A_PROGRAM = r"(?:^|[\s;&|(`'\"=/])", r"(?:$|[\s;&|)`'\"<>])"


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its expectation. `line` counts from 0 at the block's first line."""

    text: str
    """What the shell is given; several lines where `> ` went on."""
    line: int
    expected: tuple[str, ...] = ()
    """Lines as written, without trailing blank ones."""
    blank_after: int = 0
    """How many blank lines followed; they may have been meant as output."""
    exit_code: int = 0


@dataclass(slots=True)
class _Draft:
    line: int
    text: list[str]
    below: list[str] = field(default_factory=list)


def read(body: str) -> tuple[list[Command], list[Fault]]:
    """The commands of a block in order, and what is wrong with it, by line."""
    faults: list[Fault] = []
    drafts: list[_Draft] = []
    for number, line in enumerate(body.removesuffix("\n").split("\n")):
        if line.startswith("$ ") or line == "$":
            drafts.append(_Draft(number, [line[2:]]))
        elif drafts and not drafts[-1].below and (line.startswith("> ") or line == ">"):
            drafts[-1].text.append(line[2:])
        elif drafts:
            drafts[-1].below.append(line)
        elif line.strip():
            faults.append(
                Fault(number, f"text before the first command: {line!r}", "start the block with `$ COMMAND`")
            )
    commands = [_finish(draft, faults) for draft in drafts]
    if not drafts:
        faults.append(Fault(0, "the block has no command", "write `$ COMMAND` and below it what it prints"))
    return commands, sorted(faults, key=lambda fault: fault.line)


def _finish(draft: _Draft, faults: list[Fault]) -> Command:
    if not "".join(draft.text).strip():
        faults.append(Fault(draft.line, "a command is empty", "write the command after `$ `"))
    below = list(draft.below)
    exit_code, blank_after = 0, 0
    while below and not below[-1].strip():
        below.pop()
        blank_after += 1
    if below and (status := _STATUS.fullmatch(below[-1])):
        exit_code, blank_after = int(status[1]), 0
        if not 1 <= exit_code <= 255:
            faults.append(
                Fault(
                    draft.line + len(draft.text) + len(below) - 1,
                    f"{below[-1]} is not an exit status",
                    f"write [1] to [255], nothing for success, or `\\[{status[1]}\\] (re)` to expect this text",
                )
            )
        below.pop()
    for offset, line in enumerate(below):
        if line.endswith(RE_SUFFIX) and (why := _regex_problem(line.removesuffix(RE_SUFFIX))):
            faults.append(
                Fault(
                    draft.line + len(draft.text) + offset,
                    f"the regular expression {line.removesuffix(RE_SUFFIX)!r} cannot be read: {why}",
                    "correct it, or leave out ` (re)` to expect the text as it stands",
                )
            )
    return Command("\n".join(draft.text), draft.line, tuple(below), blank_after, exit_code)


def _regex_problem(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


def runs(commands: Sequence[Command], product: str) -> bool:
    """Whether some command seems to run the product: as a program, or its package with `python -m`."""
    names = {re.escape(product), re.escape(product.replace("-", "_"))}
    named = re.compile(
        _BEFORE_A_PROGRAM + "(?:" + "|".join(sorted(names)) + ")" + _AFTER_A_PROGRAM, re.MULTILINE
    )
    return any(named.search(command.text) for command in commands)


# -- comparing


def lines_of(printed: str) -> list[str]:
    """Printed text as lines; only `\\n` ends a line, and the last may lack it."""
    lines = printed.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def matches(command: Command, printed: Sequence[str]) -> bool:
    """Whether these lines are what the command was expected to print."""
    if fits(command.expected, printed):
        return True
    return bool(command.blank_after) and fits((*command.expected, *[""] * command.blank_after), printed)


def fits(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Line by line, `...` standing for any lines. Takes at most len(expected) × len(printed) comparisons."""
    reached = {0}  # how many printed lines may be used up so far
    for line in expected:
        if line == ANY_LINES:
            reached = set(range(min(reached), len(printed) + 1))
        else:
            fit = _matcher(line)
            reached = {at + 1 for at in reached if at < len(printed) and fit(printed[at])}
        if not reached:
            return False
    return len(printed) in reached


@lru_cache(maxsize=512)
def _matcher(line: str) -> Callable[[str], bool]:
    """Whether one printed line fits one expected line. As in Cram, the very text always fits."""
    if line.endswith(RE_SUFFIX):
        pattern = re.compile(line.removesuffix(RE_SUFFIX))
    elif line.endswith(GLOB_SUFFIX):
        pattern = re.compile(_glob_to_regex(line.removesuffix(GLOB_SUFFIX)))
    else:
        return lambda printed: printed == line
    return lambda printed: printed == line or pattern.fullmatch(printed) is not None


def _glob_to_regex(glob: str) -> str:
    """`*` any text, `?` one character, a backslash before `*`, `?` or itself takes it as it stands."""
    out, at = "", 0
    while at < len(glob):
        character = glob[at]
        if character == "\\" and glob[at + 1 : at + 2] in ("*", "?", "\\"):
            at += 1
            out += re.escape(glob[at])
        else:
            out += {"*": "(?s:.*)", "?": "(?s:.)"}.get(character, re.escape(character))
        at += 1
    return out


def difference(expected: Sequence[str], printed: Sequence[str]) -> list[str]:
    """For people: `  ` lines that fit, `- ` expected but not printed, `+ ` printed but not expected.

    The fewest `- ` and `+ ` there can be; none exactly where the printed lines fit. Long outputs are compared
    at their start only.
    """
    rows, columns = list(expected)[:_DIFFERENCE_LINES_MAX], list(printed)[:_DIFFERENCE_LINES_MAX]
    cost = _costs(rows, columns)
    out, i, j = [], 0, 0
    while i < len(rows) or j < len(columns):
        here = cost[i][j]
        if i < len(rows) and rows[i] == ANY_LINES and cost[i + 1][j] == here:
            out.append("  ...")
            i += 1
        elif i < len(rows) and rows[i] == ANY_LINES:
            out.append(f"  {columns[j]}")
            j += 1
        elif i < len(rows) and j < len(columns) and _matcher(rows[i])(columns[j]) and cost[i + 1][j + 1] == here:
            out.append(f"  {columns[j]}")
            i, j = i + 1, j + 1
        elif i < len(rows) and cost[i + 1][j] == here - 1:
            out.append(f"- {rows[i]}")
            i += 1
        else:
            out.append(f"+ {columns[j]}")
            j += 1
    left_out = max(len(expected), len(printed)) - _DIFFERENCE_LINES_MAX
    return [*out, f"({left_out} more lines)"] if left_out > 0 else out


def _costs(rows: Sequence[str], columns: Sequence[str]) -> list[list[int]]:
    """How many lines differ at least from rows[i:] and columns[j:] on (the edit distance without exchanges)."""
    cost = [[0] * (len(columns) + 1) for _ in range(len(rows) + 1)]
    for i in reversed(range(len(rows) + 1)):
        for j in reversed(range(len(columns) + 1)):
            if i == len(rows):
                cost[i][j] = len(columns) - j
                continue
            price = int(rows[i] != ANY_LINES)
            ways = [cost[i + 1][j] + price]
            if j < len(columns):
                ways.append(cost[i][j + 1] + price)
                if price and _matcher(rows[i])(columns[j]):
                    ways.append(cost[i + 1][j + 1])
            cost[i][j] = min(ways)
    return cost


_DIFFERENCE_LINES_MAX = 200
