"""The words of consensus: who was asked, what with, what was seen, and what follows from it.

Everything here is a value: JSON in and out, so that each observation can be a durable step of its own.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["agreed", "ambiguous", "none"]
Face = Literal["console", "http"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Candidate(_Value):
    """One result of one worker for the specification."""

    name: str
    """Unlike any other candidate's."""
    worker: str
    workspace: str
    """SHA-256 of its tree, 64 hex digits."""
    tree: str = ""
    """Blob of its packed tree; deciding does not need it, and reads it nowhere."""


class Ask(_Value):
    """One thing that is said to a program: a shell command, or a request."""

    line: str
    """`bookshelf book show 1`, or `GET /books/1`."""
    body: str = ""
    media: str = ""
    """Of the body; empty: JSON where there is a body."""
    bearer: str = ""
    """As whom a request is sent: a name that an earlier ask has kept; empty: as nobody."""
    keeps: str = ""
    """Under which name the token in the answer is remembered."""
    exact: bool = True
    """The specification fixes every word of the answer; where not, only the exit status counts, or the status
    and whether an object, a list or something else came."""
    about: str = ""
    """What it tries, for people: `Book.pages: 1 less than its least`."""
    requirements: tuple[str, ...] = ()
    """Ids of the requirements that it touches."""


class Probe(_Value):
    """A conversation with a program that starts with nothing: the same words for every candidate."""

    id: str
    """SHA-256 of face and asks, 16 digits: the key under which observations are kept."""
    face: Face
    title: str
    asks: tuple[Ask, ...]

    @classmethod
    def of(cls, face: Face, title: str, asks: tuple[Ask, ...]) -> Probe:
        said = [[ask.line, ask.body, ask.media, ask.bearer, ask.keeps, ask.exact] for ask in asks]
        told = json.dumps([face, said], ensure_ascii=True).encode()
        return cls(id=hashlib.sha256(told).hexdigest()[:16], face=face, title=title, asks=asks)


class Observation(_Value):
    """What one program answered in one probe, without what changes from run to run."""

    candidate: str
    workspace: str
    probe: str
    answers: tuple[str, ...]
    """One for each ask, in order; shorter where nothing more came."""
    silent: str = ""
    """Why it gave no answers at all: it could not be installed, its server never came up."""
    asked: int = 1
    """Which time it was asked. The same program has to answer twice the same."""
    voter: str = ""
    """Who looked; empty: this machine."""
    reader: str = ""
    """To whom the voter said so, where voters speak to several."""

    @property
    def digest(self) -> str:
        """Equal exactly where the behaviour is."""
        told = json.dumps([self.answers, self.silent], ensure_ascii=True).encode()
        return hashlib.sha256(told).hexdigest()


class Review(_Value):
    """What a reviewer says, a model as a rule. It can stop a verdict, with a reason, and bring none about."""

    reviewer: str
    veto: bool
    reason: str = ""

    @property
    def counts(self) -> bool:
        return self.veto and bool(self.reason.strip())


class Crossing(_Value):
    """The own tests of one candidate, run on the program of one (its own, or another's)."""

    author: str
    on: str
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    why_not: str = ""
    """They cannot be run there, such as where the interface is another: nothing is known."""


class Cluster(_Value):
    """Candidates that did the same in every probe, and stand equal before the acceptance examples."""

    candidates: tuple[str, ...]
    accepted: bool
    digest: str


class Answer(_Value):
    """One of the answers to an input on which candidates differ."""

    candidates: tuple[str, ...]
    text: str


class Split(_Value):
    """An *ambiguous clause*: the smallest input found on which candidates differ. What it touches may be read in
    more than one way, or somebody is wrong: that is for a person to say."""

    probe: str
    face: Face
    about: str
    input: tuple[Ask, ...]
    """Asks from an empty start; the last one is answered differently."""
    answers: tuple[Answer, ...]
    """The answer of most candidates first."""
    requirements: tuple[str, ...]


class Disqualified(_Value):
    """Whose word does not count any more, and why."""

    name: str
    what: Literal["candidate", "voter"]
    reason: str


class Doubt(_Value):
    """What candidates' own tests say of others: something to look at, never a part of the verdict."""

    author: str
    test: str
    against: tuple[str, ...]
    """Candidates that fail it."""
    condemned: Literal["test", "candidates"]
    """`test`: so many candidates fail it that it is the test which is wrong; `candidates`: most pass it."""


class Agreement(_Value):
    """What follows. `winner` is the name of a candidate exactly where the verdict is `agreed`."""

    verdict: Verdict
    winner: str | None
    reasons: tuple[str, ...]
    """For people; the first says why the verdict is what it is."""
    clusters: tuple[Cluster, ...]
    """The largest first."""
    splits: tuple[Split, ...]
    """The smallest input first; also where the verdict is `agreed` over somebody's objection."""
    doubts: tuple[Doubt, ...]
    disqualified: tuple[Disqualified, ...]
    n: int
    f: int
    """How many faulty candidates change nothing. 0: this is a vote of all, and tolerates none."""
    needed: int
    """Size of a cluster that wins."""
    probes: int
