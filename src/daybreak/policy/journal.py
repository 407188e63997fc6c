"""Policy in the ledger: tokens minted and revoked, refusals, texts assessed, incidents. One stream, two views.

Everything written here was redacted and cut before: a refusal must not carry the secret that it refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from daybreak import events, ids
from daybreak.clock import Clock, stamp
from daybreak.errors import LedgerTampered, PolicyError
from daybreak.ledger import Draft, Record, Statement, View
from daybreak.policy import capability, incident
from daybreak.policy.incident import Incident, Kind
from daybreak.policy.refusal import NotAllowed, RootKeyExposed, TokenUnknown

if TYPE_CHECKING:
    from biscuit_auth import PrivateKey, PublicKey

    from daybreak.policy.door import Ask
    from daybreak.policy.grant import Grant
    from daybreak.policy.injection import Assessment

TEXT_MAX = 300
"""Characters of anything said about somebody else's input."""


class IncidentUnknown(PolicyError):
    """No open incident has that name."""

    code = "P141"


class Log(Protocol):
    """The part of a ledger that is needed here."""

    def append(self, drafts: Sequence[Draft]) -> list[Record]: ...
    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


# -- views


def _apply_tokens(record: Record) -> Iterable[Statement]:
    match record.event:
        case events.TokenMinted() as minted:
            yield Statement(
                "INSERT INTO view_tokens VALUES (?, ?, ?, ?, ?, ?, ?)",
                (minted.token, minted.revocation, minted.run, minted.attempt, minted.tier, record.ts, minted.until),
            )
        case events.TokenRevoked() as revoked:
            yield Statement(
                "INSERT INTO view_tokens_revoked VALUES (?, ?, ?) ON CONFLICT (revocation) DO NOTHING",
                (revoked.revocation, record.ts, revoked.why),
            )
        case _:
            pass


TOKENS = View(
    name="tokens",
    version=1,
    schema="""
CREATE TABLE view_tokens (
  token      TEXT PRIMARY KEY,
  revocation TEXT NOT NULL UNIQUE,
  run        TEXT NOT NULL,
  attempt    INTEGER NOT NULL,
  tier       TEXT NOT NULL,
  minted     TEXT NOT NULL,
  until      TEXT NOT NULL
) STRICT;
CREATE TABLE view_tokens_revoked (
  revocation TEXT PRIMARY KEY,
  revoked    TEXT NOT NULL,
  why        TEXT NOT NULL
) STRICT;
""",
    apply=_apply_tokens,
    of=(events.TokenMinted, events.TokenRevoked),
    weight="critical",
)
"""Every token minted here, and every revocation id that is no longer good."""


def _apply_incidents(record: Record) -> Iterable[Statement]:
    match record.event:
        case events.IncidentRaised() as raised:
            values = (raised.incident, raised.kind, raised.level, raised.run, raised.attempt, raised.what)
            yield Statement(
                "INSERT INTO view_incidents VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', '')",
                (*values, raised.repeated, record.ts),
            )
        case events.IncidentClosed() as closed:
            yield Statement(
                "UPDATE view_incidents SET closed = ?, why = ? WHERE incident = ? AND closed = ''",
                (record.ts, closed.why, closed.incident),
            )
        case _:
            pass


INCIDENTS = View(
    name="incidents",
    version=1,
    schema="""
CREATE TABLE view_incidents (
  incident TEXT PRIMARY KEY,
  kind     TEXT NOT NULL,
  level    INTEGER NOT NULL,
  run      TEXT NOT NULL,
  attempt  INTEGER NOT NULL,
  what     TEXT NOT NULL,
  repeated INTEGER NOT NULL,
  raised   TEXT NOT NULL,
  closed   TEXT NOT NULL,
  why      TEXT NOT NULL
) STRICT;
CREATE INDEX view_incidents_recent ON view_incidents (kind, run, raised);
""",
    apply=_apply_incidents,
    of=(events.IncidentRaised, events.IncidentClosed),
)
"""Every incident; `closed` is empty while it is open."""

VIEWS = (TOKENS, INCIDENTS)
"""Register them where the ledger is opened."""


class IncidentRow(NamedTuple):
    incident: str
    kind: str
    level: int
    run: str
    attempt: int
    what: str
    repeated: int
    raised: str
    closed: str
    why: str


class TokenRow(NamedTuple):
    token: str
    revocation: str
    run: str
    attempt: int
    tier: str
    minted: str
    until: str
    revoked: str
    why: str


# -- writing and asking


class Journal:
    """Writes policy's events and answers from its views. The ledger must have been opened with `VIEWS`."""

    def __init__(self, log: Log, clock: Clock, *, entropy: ids.Entropy = os.urandom, actor: str = "policy") -> None:
        self._log = log
        self._clock = clock
        self._entropy = entropy
        self._actor = actor

    # tokens

    def mint(self, root: PrivateKey, *, run: str, attempt: int, tier: str, grant: Grant, lifetime: timedelta) -> str:
        """A new token, in the ledger before anybody has it. Raises as `capability.mint` and the ledger do."""
        from biscuit_auth import KeyPair

        text = capability.mint(
            root,
            run=run,
            attempt=attempt,
            tier_name=tier,
            grant=grant,
            lifetime=lifetime,
            clock=self._clock,
            entropy=self._entropy,
        )
        public = KeyPair.from_private_key(root).public_key
        token = capability.read(text, public)
        self._append(
            events.TokenMinted(
                token=token.label,
                run=run,
                attempt=attempt,
                tier=tier,
                until=stamp(token.until),
                revocation=token.revocations[0],
                root=str(public),
                grant=grant.as_lists(),
            )
        )
        return text

    def revoke(self, token: str, public: PublicKey, *, why: str = "") -> str:
        """End a token now, and every narrower one made from it. `token`: its text, its label or its revocation id.

        Returns the revocation id; a second time changes nothing. Raises TokenUnknown, TokenForged.
        """
        if token.startswith(capability.PREFIX):
            found = capability.read(token, public)
            revocation, label = found.revocations[-1], found.label
        else:
            rows = self._log.query(
                "SELECT revocation, token FROM view_tokens WHERE ? IN (token, revocation)", (said(token, 200),)
            )
            if not rows:
                raise TokenUnknown(
                    f"no token called {said(token, 80)} was minted here", hint="`daybreak token show` lists them."
                )
            revocation, label = rows[0]
        self._append(events.TokenRevoked(revocation=revocation, token=label, why=said(why)))
        return str(revocation)

    def revoked(self, revocations: Sequence[str]) -> str | None:
        """For the door: why one of these is no longer good, or None."""
        marks = ", ".join("?" for _ in revocations)
        rows = self._log.query(
            f"SELECT why FROM view_tokens_revoked WHERE revocation IN ({marks}) LIMIT 1", tuple(revocations)
        )
        return str(rows[0][0]) if rows else None

    def tokens(self) -> list[TokenRow]:
        """Every token minted here, the newest first."""
        rows = self._log.query(
            "SELECT t.*, coalesce(r.revoked, ''), coalesce(r.why, '') FROM view_tokens t"
            " LEFT JOIN view_tokens_revoked r USING (revocation) ORDER BY t.minted DESC, t.token DESC"
        )
        return [TokenRow._make(row) for row in rows]

    # refusals and texts

    def refused(self, ask: Ask, error: NotAllowed) -> Incident | None:
        """Write down a refusal of the door, and the incident that it is. Goes into `Door(refused=…)`,
        wrapped by whoever carries out the response."""
        attempt = ask.attempt if type(ask.attempt) is int and abs(ask.attempt) < 1_000_000 else -1
        self._append(
            events.PolicyRefused(
                run=said(ask.run, 120),
                attempt=attempt,
                act=said(ask.act, 20),
                what=said(ask.what),
                code=error.code,
                why=said(error.message),
            )
        )
        kind = incident.of_refusal(error)
        if kind is None:
            return None
        return self.raise_incident(kind, f"{ask.act} {ask.what}", run=ask.run, attempt=attempt)

    def assessed(self, assessment: Assessment, *, run: str, attempt: int, source: str) -> Incident | None:
        """Write down how a text was assessed, and the incident that it is where it is one."""
        run = said(run, 120)
        self._append(
            events.TextAssessed(
                run=run,
                attempt=attempt,
                source=said(source),
                text=assessment.digest,
                score=assessment.scan.score,
                kinds=sorted({mark.kind for mark in assessment.scan.marks}),
                private_data=assessment.private_data,
                way_out=assessment.way_out,
                verdict=assessment.verdict,
                why=said(assessment.why),
            )
        )
        if not assessment.scan.suspicious:
            return None
        kind: Kind = "injection_refused" if assessment.verdict == "refused" else "injection_marked"
        return self.raise_incident(kind, f"{source}: {assessment.why}", run=run, attempt=attempt)

    # incidents

    def raise_incident(self, kind: Kind, what: str, *, run: str = "", attempt: int = 0) -> Incident:
        """In the ledger before this returns. Two processes at the same moment may each count one too few."""
        now, run = self._clock.now(), said(run, 120)
        rows = self._log.query(
            "SELECT raised FROM view_incidents WHERE kind = ? AND run = ? AND raised > ?",
            (kind, run, stamp(now - incident.WINDOW)),
        )
        earlier = [datetime.fromisoformat(raised) for (raised,) in rows]
        found = incident.rated(kind, said(what), run=run, attempt=attempt, now=now, earlier=earlier)
        self._append(
            events.IncidentRaised(
                incident=ids.new("inc", now, self._entropy),
                kind=kind,
                level=found.level,
                run=run,
                attempt=attempt,
                what=found.what,
                repeated=found.repeated,
            )
        )
        return found

    def close_incident(self, name: str, *, why: str) -> None:
        """A person has dealt with it. Raises IncidentUnknown."""
        if not self._log.query("SELECT 1 FROM view_incidents WHERE incident = ? AND closed = ''", (said(name, 80),)):
            raise IncidentUnknown(
                f"no open incident is called {said(name, 80)}", hint="`daybreak incidents list` lists them."
            )
        self._append(events.IncidentClosed(incident=name, why=said(why)))

    def incidents(self, *, only_open: bool = False) -> list[IncidentRow]:
        """The worst first, then the newest."""
        where = "WHERE closed = ''" if only_open else ""
        rows = self._log.query(f"SELECT * FROM view_incidents {where} ORDER BY level DESC, raised DESC, incident DESC")
        return [IncidentRow._make(row) for row in rows]

    def _append(self, event: events.Event) -> None:
        self._log.append([Draft(events.POLICY, event, actor=self._actor)])


def kind_of(error: Exception) -> Kind | None:
    """The kind of incident that an error from below is, where it is one."""
    if isinstance(error, LedgerTampered):
        return "ledger_tampered"
    if isinstance(error, RootKeyExposed):
        return "key_exposed"
    return None


def said(what: object, most: int = TEXT_MAX) -> str:
    """Somebody else's input as it may stand in an event: redacted, printable, at most so many characters."""
    from daybreak.policy.redaction import redact

    text = redact(str(what)[: most * 20]).text
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def digest_of(text: str) -> str:
    """SHA-256 of a text as UTF-8; half surrogate pairs count as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
