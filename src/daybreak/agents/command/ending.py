"""From what was heard and how it ended to a claim. Exit status 0 alone proves nothing."""

from __future__ import annotations

import re
from datetime import datetime

from daybreak.agents.command.process import Ended
from daybreak.agents.command.story import Story
from daybreak.agents.command.trouble import Problem, cut_short, declines, judged, shown
from daybreak.agents.prompt import not_built
from daybreak.agents.protocol import Claim, ClaimOutcome, Trouble

_NOT_AS_IT_MUST_BE = re.compile(
    r"unknown (?:option|argument|flag|command)|unexpected argument|unrecognized (?:argument|option|subcommand)"
    r"|error (?:loading|parsing) config|invalid config|unsupported engine|requires node|node\.js version"
    r"|cannot find module|no module named|command not found|not found$|permission denied|exec format error"
    r"|no such option|missing optional dependency",
    re.IGNORECASE | re.MULTILINE,
)
SUMMARY_MAX = 4_000


def claim(story: Story, ended: Ended, now: datetime) -> Claim:
    """The claim for an agent that told `story` and ended so."""
    problem = _problem(story, ended, now)
    if problem is None and story.cut:
        return _claim("partial", story, "its last answer was cut off at the limit of its length")
    if problem is None:
        return Claim(
            outcome="finished", summary=_summary(story.said) or "done", not_built=not_built(story.said[-50_000:])
        )
    outcome: ClaimOutcome = "partial" if story.acted else "crashed"
    if problem.kind == "refused":
        outcome = "refused"
    return _claim(outcome, story, problem.text, problem.kind, problem.until)


def _claim(outcome: ClaimOutcome, story: Story, text: str, trouble: Trouble = "", until: str = "") -> Claim:
    last = f"; last words: {shown(story.said)}" if story.said else ""
    return Claim(outcome=outcome, summary=f"{text}{last}", trouble=trouble, until=until)


def _summary(text: str) -> str:
    text = text.strip()
    return text if len(text) <= SUMMARY_MAX else f"{text[: SUMMARY_MAX // 2]}\n…\n{text[-SUMMARY_MAX // 2 :]}"


def _problem(story: Story, ended: Ended, now: datetime) -> Problem | None:
    """What kept it from finishing; None: it says that it has finished, and nothing speaks against it."""
    if ended.why == "time":
        return Problem("budget", f"its time was over after {ended.duration_s:.0f} s" + _and(story))
    if ended.why in ("flood", "processes", "guard"):
        return Problem("crashed", ended.words)
    if story.problem is not None and (story.problem.kind != "crashed" or ended.why != "silence"):
        return _more(story.problem, story, ended, now)
    if ended.why == "silence":
        # Some wait for a provider without a word in their stream, but with one on standard error.
        found = None if story.said else judged(ended.stderr, now)
        if found is not None:
            return Problem(found.kind, f"{ended.words} for too long; it was waiting: {found.text}", found.until)
        return Problem("stalled", f"{ended.words} for too long" + _and(story))
    fine = ended.why == "linger" or ended.exit_code in story.exits
    if story.finished and fine:
        return None if story.acted else _idle(story)
    return _unexplained(story, ended, now)


def _idle(story: Story) -> Problem | None:
    """What is wrong with one that says it has finished and used no tool. Some need none: then words are enough."""
    if declines(story.said):
        return Problem("refused", f"it refused: {shown(story.said)}")
    if story.said.strip() or story.silent:
        return None
    if story.answered:  # clients leave out what a model says in its field for refusals
        return Problem("refused", "the model answered with nothing that can be shown, and nothing was done")
    return Problem("outage", "the model's answer was empty, and nothing was done")


def _and(story: Story) -> str:
    return f"; before that: {story.problem.text}" if story.problem is not None else ""


def _more(problem: Problem, story: Story, ended: Ended, now: datetime) -> Problem | None:
    """What the event said; where that is nothing that we know, what stands around it."""
    if problem.kind == "crashed":
        if cut_short(problem.text):
            story.cut = True
            return None
        other = judged(_around(story, ended), now)
        if other is not None:
            return Problem(other.kind, f"{problem.text}; {other.text}", other.until)
    return problem


def _around(story: Story, ended: Ended) -> str:
    return "\n".join([*story.plain, ended.stderr])


def _unexplained(story: Story, ended: Ended, now: datetime) -> Problem:
    """It ended without saying that it had finished, or says so and ended badly."""
    around = _around(story, ended)
    last = shown((around.strip().splitlines() or [""])[-1])
    if not story.began and (ended.exit_code in (126, 127) or (ended.exit_code and _NOT_AS_IT_MUST_BE.search(around))):
        return Problem("unavailable", f"it cannot work here: {ended.words}: {last}")
    if not story.finished and (found := judged(around, now)):
        return Problem(found.kind, f"{ended.words}: {found.text}", found.until)
    if ended.exit_code == 0:
        return Problem("crashed", "it ended without a word that it had finished, with exit status 0")
    return Problem("crashed", f"{ended.words}{': ' + last if last else ''}")
