"""May this text enter a brief? Untrusted text, private data and a way out together: refused, whatever the scan says.

Each two of the three can be borne: text without secrets has nothing to carry out, secrets without a way out stay,
and with trusted text nobody asks for either. All three make every reader of the text a courier of its author, and no
scan is good enough to rule that out (the lethal trifecta).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daybreak.policy.injection.marks import InjectionRefused, Scan
from daybreak.policy.injection.scanner import scan
from daybreak.policy.journal import digest_of

Verdict = Literal["clean", "marked", "refused"]


@dataclass(frozen=True, slots=True)
class Assessment:
    """The decision and what it rests on. `Journal.assessed` writes it down."""

    verdict: Verdict
    why: str
    scan: Scan
    private_data: bool
    way_out: bool
    digest: str
    """SHA-256 of the text."""

    def required(self) -> Assessment:
        """Itself. Raises InjectionRefused where the verdict is refused."""
        if self.verdict == "refused":
            raise InjectionRefused(
                f"the text may not enter this brief: {self.why}",
                hint="take one of the three away: no network for this task, no secrets and private files, or text that"
                " a person has read and put into the specification.",
            )
        return self


def assess(text: str, private_data: bool, way_out: bool) -> Assessment:
    """How untrusted text may enter a brief.

    private_data: the worker can read what is not for everybody (secrets, files of the user). way_out: it can reach
    something that others read (network, messages, a public repository). refused: both, and there is text at all;
    marked: suspicious, to be fenced and shown to a person; clean: to be fenced. Raises TextRefused.
    """
    found = scan(text)
    verdict, why = _decide(text, found, private_data, way_out)
    return Assessment(verdict, why, found, private_data, way_out, digest_of(text))


def _decide(text: str, found: Scan, private_data: bool, way_out: bool) -> tuple[Verdict, str]:
    kinds = ", ".join(sorted({mark.kind for mark in found.marks}))
    looks = f"it looks like instructions (score {found.score:.2f}: {kinds})" if found.suspicious else ""
    if private_data and way_out and text.strip():
        why = "untrusted text, private data and a way out would meet"
        return "refused", f"{why}, and {looks}" if looks else why
    if found.suspicious:
        return "marked", looks
    return "clean", f"nothing known was found (score {found.score:.2f})"
