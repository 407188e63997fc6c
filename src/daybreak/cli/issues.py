"""`daybreak add --from`: reads the issues of a forge now, which may wait for it, and shows what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daybreak.cli import faces

if TYPE_CHECKING:
    from daybreak.home import Home
    from daybreak.home.handover import Ready


def take(opened: Home, ready: Ready, *, as_json: bool) -> int:
    """Read the issues now and show what became of each; the exit status."""
    import anyio

    from daybreak.home.handover import issues

    run = ready.put(opened)["run"]
    if not as_json:
        faces.say(f"reading the {ready.title}")
    ended = anyio.run(opened.engine.finish, run)
    added = issues.added(opened, run)
    if as_json:
        told = {"run": run, "state": ended.state, "why": ended.why, "code": ended.code, "question": ended.question}
        faces.result_json({**told, "issues": added})
    elif ended.state == "done":
        _show(added)
    else:
        faces.say(f"daybreak: {ended.code} {ended.why or ended.question}".rstrip())
        faces.say(f"  {ended.hint or f'daybreak resume {run}'}")
    known = {"done": faces.EXIT_VERIFIED, "parked": faces.EXIT_PARKED, "paused": faces.EXIT_INTERRUPTED}
    return known.get(ended.state, faces.EXIT_FAILED)


def _show(added: list[dict[str, Any]]) -> None:
    for one in added:
        faces.result(f"#{one['issue']}  {one['run']}" + (f"  (as before: {one['state']})" if one["existed"] else ""))
    new = sum(not one["existed"] for one in added)
    faces.say(f"{len(added)} issues, {new} of them new in the queue" if added else "no issue fits")
