"""A home in the middle of a night, with every kind of thing that pages show, and names that mean harm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daybreak import events
from daybreak.home import Home
from daybreak.ledger import Draft
from daybreak.policy.accounts import Accounts
from daybreak.policy.budget import Amounts, Limit

SCRIPT = '<script>window.harmed = true</script><img src=x onerror="window.harmed = true">'
TURNED = "invoice\u202egpj.exe"
COLOURED = "\x1b[31mred\x1b[0m\x1b]0;title\x07"
LONG = "x" * 1_000_000
SECRET = "sk-ant-api03-" + "Ab3" * 30 + "AA"
HELD_OUT = "the-answer-that-no-worker-sees"
PATCH = b"""diff --git a/sort.py b/sort.py
--- a/sort.py
+++ b/sort.py
@@ -1,3 +1,3 @@ def order(rows):
 def order(rows):
-    return rows
+    return sorted(rows, key=lambda row: row.date)  # <script>window.harmed = true</script>
"""
HASH = "ab" * 32
QUESTION = "every check passes on the base already, so none can show that it is done: work on it all the same?"


def run_name(number: int) -> str:
    return f"run-{number:026d}"


DONE, PARKED, FAILED, RUNNING, DIVIDED, HOSTILE, MENDED = (run_name(number) for number in range(1, 8))
FIRST_QUEUED = 100
QUEUED = 130


class Scene:
    def __init__(self, home: Home) -> None:
        self.home, self.ledger = home, home.ledger

    def tell(self, run: str, *told: events.Event, epoch: int = 1, actor: str = "") -> None:
        self.ledger.append([Draft(events.run_stream(run), one, epoch=epoch, trace=run, actor=actor) for one in told])

    def add(self, run: str, title: str, kind: str = "build", **more: Any) -> None:
        added = events.TaskAdded(
            task=f"task-{run[4:]}", run=run, kind=kind, title=title, args=more.pop("args", {}), **more
        )
        moved = events.RunMoved(run=run, old="queued", new="queued")
        self.ledger.append(
            [Draft(events.QUEUE, added, trace=run), Draft(events.run_stream(run), moved, epoch=0, trace=run)]
        )

    def begin(self, run: str) -> None:
        self.tell(
            run,
            events.LeaseGranted(run=run, owner=f"own-{run[-2:]}", host="mill", pid=4711, night="night-1"),
            events.RunMoved(run=run, old="queued", new="leased"),
            events.RunMoved(run=run, old="leased", new="running"),
        )

    def end(self, run: str, state: events.State, **more: Any) -> None:
        self.tell(run, events.RunMoved(run=run, old="running", new=state, **more))


def seed(home: Home) -> None:
    """All of it. Nobody works on it: what is under way here has an owner that died."""
    scene = Scene(home)
    scene.ledger.append(
        [
            Draft(
                events.NIGHTS,
                events.NightBegan(
                    night="night-1", host="mill", pid=4711, workers=4, budget={"money_microusd": 20_000_000}
                ),
            )
        ]
    )
    _done(scene)
    _parked(scene)
    _failed(scene)
    _running(scene)
    _divided(scene)
    _hostile(scene)
    _mended(scene)
    _queue(scene)
    _policy(scene)


def _plan(steps: Sequence[str]) -> dict[str, Any]:
    return {
        "title": "shelf",
        "paradigm": "sequential",
        "steps": [{"name": name, "does": name, "by": "builder", "weight_s": 2.0} for name in steps],
        "requirements": [
            {"id": "FR-001", "text": "System MUST keep the books that I lent", "must": True},
            {"id": "FR-002", "text": "System MUST list them by date", "must": True},
            {"id": "FR-003", "text": "System SHOULD say who has them", "must": False},
        ],
        "shown_by": [
            {"id": "aaaaaaaaaaaa", "kind": "console", "title": "lending", "line": 31, "requirements": ["FR-001"]},
            {"id": "bbbbbbbbbbbb", "kind": "console", "title": "listing", "line": 44, "requirements": ["FR-002"]},
        ],
        "machine": {"sandbox_words": "full (bubblewrap)"},
    }


def _seen(check: str, outcome: str, summary: str, output: str = "", command: str = "") -> dict[str, Any]:
    return {
        "check": check,
        "workspace": HASH,
        "outcome": outcome,
        "summary": summary,
        "command": command,
        "counts": {},
        "marks": [] if outcome == "passed" else [{"message": "expected 3, got 2", "place": "tests/test_shelf.py:14"}],
        "requirements": [],
        "output": output,
        "duration_ms": 812,
    }


def _looked(run: str, attempt: int, seen: dict[str, Any], *, held_out: bool = False) -> events.CheckLooked:
    return events.CheckLooked(run=run, attempt=attempt, held_out=held_out, evidence=seen)


def _done(scene: Scene) -> None:
    run = DONE
    scene.add(run, "Shelf: books that were lent", project="shop")
    scene.begin(run)
    scene.tell(run, events.PlanMade(run=run, plan=_plan(["plan", "attempt", "check tests", "gate", "deliver"])))
    for number, (score, verdict) in enumerate(((61.0, "failed"), (94.0, "passed")), start=1):
        scene.tell(
            run,
            events.AttemptBegan(
                run=run, attempt=number, worker="codex", why="it solved most", passed_over={"pi": "no quota"}
            ),
            events.AttemptClaimed(
                run=run, attempt=number, worker="codex", outcome="done", summary="all is built", workspace=HASH
            ),
            events.StepDone(
                run=run, branch="", name="attempt", nth=number - 1, args=HASH, result=None, duration_ms=95_000
            ),
            _looked(
                run,
                number,
                _seen("tests", "passed" if number > 1 else "failed", "41 passed", "41 passed in 2.1s\n", "pytest -q"),
            ),
            _looked(run, number, _seen("lint", "passed", "nothing found", "", "ruff check")),
            _looked(run, number, _seen("example:aaaaaaaaaaaa", "passed", "as expected")),
            _looked(run, number, _seen("example:bbbbbbbbbbbb", "passed", HELD_OUT, HELD_OUT), held_out=True),
            events.GateDecided(
                run=run,
                attempt=number,
                workspace=HASH,
                verdict=verdict,  # type: ignore[arg-type]
                score=score,
                reasons=[] if verdict == "passed" else ["tests failed: expected 3, got 2"],
                phase="implementation",
                iteration=number,
                threshold=80.0,
                table=[
                    {
                        "kind": "tests",
                        "weight": 40.0,
                        "points": 40.0 if number > 1 else 8.0,
                        "checks": ["tests"],
                        "failed": [],
                    },
                    {
                        "kind": "example",
                        "weight": 50.0,
                        "points": 50.0,
                        "checks": ["example:aaaaaaaaaaaa"],
                        "failed": [],
                    },
                    {"kind": "lint", "weight": 10.0, "points": 4.0, "checks": ["lint"], "failed": ["lint"]},
                ],
            ),
        )
    scene.tell(run, events.Delivered(run=run, output="/home/me/shelf", workspace=HASH, manifest=HASH))
    scene.end(run, "done")


def _parked(scene: Scene) -> None:
    scene.add(
        PARKED, "Sort the list by date", kind="repository", args={"prompt": "sort the list by date, newest first"}
    )
    scene.begin(PARKED)
    scene.end(
        PARKED, "parked", question=QUESTION, why="tests and lint passed before any work", hint="add a check that fails"
    )


def _failed(scene: Scene) -> None:
    scene.add(FAILED, "Publish the listings", kind="command", args={"command": "make publish"})
    scene.begin(FAILED)
    step = events.StepFailed(
        run=FAILED,
        branch="",
        name="publish",
        nth=0,
        args=HASH,
        code="C173",
        message="the shop answered 503",
        duration_ms=30_100,
    )
    scene.tell(FAILED, step)
    printed = f"{SCRIPT}{COLOURED}{TURNED}\n{'line of the listing' * 5_000}\ntoken {SECRET}\nend of it\n"
    kept = {"exit": 0, "output": printed[-4_000:], "errors": "", "output_blob": scene.ledger.put_blob(printed.encode())}
    done = events.StepDone(run=FAILED, branch="", name="prepare", nth=0, args=HASH, result=kept, duration_ms=300)
    unseen = {"exit_status": 0, "check": "x", "output": HELD_OUT}
    looked = events.StepDone(run=FAILED, branch="", name="check x", nth=0, args=HASH, result=unseen, duration_ms=3)
    scene.tell(FAILED, done, looked)
    scene.end(FAILED, "failed", why="the shop answered 503", code="C173", hint="look whether the shop is there")


def _running(scene: Scene) -> None:
    scene.add(RUNNING, "Blog platform with feeds", args={"text": "# Blog"})
    scene.begin(RUNNING)
    scene.tell(
        RUNNING,
        events.PlanMade(run=RUNNING, plan=_plan(["plan", "attempt", "check tests", "gate", "deliver"])),
        events.StepDone(run=RUNNING, branch="", name="plan", nth=0, args=HASH, result=None, duration_ms=1_200),
        events.AttemptBegan(run=RUNNING, attempt=1, worker="claude", why="first in the order", role="implementer"),
        events.ModelCalled(
            run=RUNNING,
            attempt=1,
            provider="anthropic",
            model="opus",
            status=200,
            input_tokens=12_000,
            output_tokens=900,
        ),
    )


def _divided(scene: Scene) -> None:
    run = DIVIDED
    scene.add(run, "Shop back end")
    scene.begin(run)
    parts = [{"name": name, "summary": f"the {name}"} for name in ("catalogue", "orders")]
    deeper = [{"name": name, "summary": f"{name} of orders"} for name in ("cart", "payment")]
    scene.tell(
        run,
        events.TaskDivided(run=run, path="", depth=0, parts=parts),
        events.TaskDivided(run=run, path="orders", depth=1, parts=deeper),
        events.TaskDivided(run=run, path="catalogue", depth=1, parts=[], why="small enough"),
        events.PartEnded(run=run, path="catalogue", verdict="done", attempt=1),
        events.PartEnded(run=run, path="orders/cart", verdict="failed", why="its tests fail", attempt=2),
    )
    scene.end(run, "paused", why="the night ended")


def _hostile(scene: Scene) -> None:
    run = HOSTILE
    scene.add(run, f"{SCRIPT} {TURNED} {COLOURED}", kind="command", project=SCRIPT[:60], args={"command": SCRIPT})
    scene.begin(run)
    scene.tell(
        run,
        _looked(
            run,
            1,
            _seen(f"check {SCRIPT}", "failed", f"{SCRIPT}{COLOURED}{TURNED}", f"{COLOURED}{SCRIPT}\n{LONG}\n", SCRIPT),
        ),
        _looked(run, 1, _seen("secrets", "failed", "found one", f"token = {SECRET}\n")),
        events.StepDone(run=run, branch="", name=f"step {SCRIPT}", nth=0, args=HASH, result=LONG, duration_ms=10),
    )
    scene.end(run, "parked", question=f"{SCRIPT}{TURNED}{COLOURED} {'q' * 100_000}?", why=SCRIPT + LONG, hint=SCRIPT)


def _mended(scene: Scene) -> None:
    run = MENDED
    patch = scene.ledger.put_blob(PATCH)
    scene.add(
        run, "Sort by date in the repository", kind="repository", args={"prompt": "sort", "repository": "/home/me/app"}
    )
    scene.begin(run)
    left = {"tree": "ab" * 20, "patch": patch, "problem": ""}
    scene.tell(
        run,
        events.AttemptBegan(run=run, attempt=1, worker="aider", why="it is the only one"),
        events.StepDone(run=run, branch="", name="attempt", nth=0, args=HASH, result={"left": left, "worker": "aider"}),
        _looked(run, 1, _seen("check 1", "passed", "ended with 0", "ok\n", "pytest -q")),
        events.GateDecided(run=run, attempt=1, workspace=HASH, verdict="passed", score=100.0),
        events.Delivered(run=run, output="/home/me/app branch daybreak/x", workspace=HASH, manifest=HASH),
    )
    scene.end(run, "done")


def _queue(scene: Scene) -> None:
    drafts = []
    for number in range(FIRST_QUEUED, FIRST_QUEUED + QUEUED):
        run = run_name(number)
        title, project = f"Listing {number}", "shop" if number % 3 else "docs"
        after = [RUNNING] if number % 10 == 0 else []
        keys = {"database": 1} if number % 7 == 0 else {}
        added = events.TaskAdded(
            task=f"task-{number}",
            run=run,
            kind="command",
            title=title,
            args={},
            project=project,
            after=after,
            keys=keys,
        )
        drafts.append(Draft(events.QUEUE, added, trace=run))
        moved = events.RunMoved(run=run, old="queued", new="queued")
        drafts.append(Draft(events.run_stream(run), moved, epoch=0, trace=run))
    scene.ledger.append(drafts)


def _policy(scene: Scene) -> None:
    accounts = Accounts(scene.ledger)
    for one in (
        accounts.open("night:night-1", Limit(money_microusd=20_000_000)),
        events.IncidentRaised(incident="inc-1", kind="injection_marked", level=2, run=HOSTILE, attempt=1, what=SCRIPT),
        events.BreakerChanged(
            name="provider anthropic",
            version=1,
            state="open",
            failures=[],
            until="",
            openings=1,
            probes=[],
            why="503 three times",
        ),
    ):
        if one is not None:
            scene.ledger.append([Draft(events.POLICY, one)])
    scene.ledger.append(
        [Draft(events.POLICY, accounts.reserve("k", "night:night-1", Amounts(money_microusd=3_000_000), RUNNING))]
    )
