"""Capability tokens: what one attempt may do, until when, signed, and only ever made narrower.

A token is a Biscuit (Ed25519 chain of blocks). The first block, signed by the root key, holds the grant; each narrower
token appends a block, which anybody who holds the token can do without the key. A token allows what all its blocks
allow. Blocks are written in one fixed form, as facts and checks that any Biscuit verifier would decide on alike; here
they are read back in exactly that form and anything else is refused, because running Datalog that a holder wrote can
take for ever (a four-fold join overran the engine's own time limit by a factor of four; decisions/0008).

Whoever has the text of a token has what it allows: it is never written into the ledger, a message or a log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from daybreak import ids
from daybreak.clock import Clock
from daybreak.policy import naming
from daybreak.policy.grant import Grant, below, bounded, tier
from daybreak.policy.naming import ANY, PATH_ACTS, Act
from daybreak.policy.refusal import GrantRefused, GrantWidened, TokenForged

if TYPE_CHECKING:
    from biscuit_auth import Biscuit, BiscuitBuilder, BlockBuilder, PrivateKey, PublicKey

PREFIX = "dbt1."
"""Every token begins with it, so that redaction and secret scanners know one when they see it."""

TOKEN_MAX = 64 * 1024
BLOCKS_MAX = 12
"""A token can be narrowed eleven times."""

LEEWAY = timedelta(minutes=5)
"""A clock may be this much before the moment of minting; more means that it was set back."""

VERSION = 1

_CHECK = (
    "check if ask($act, $what), {0}($act, $what)"
    " or ask($act, $what), {0}_under($act, $root), $what.starts_with($root)"
    " or ask($act, $what), {0}_below($act, $end), $what.ends_with($end)"
    " or ask($act, $what), {0}_any($act)"
)
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_PLAIN = re.compile(r"[ !#-\[\]-~]{1,12300}")
"""A normal name: printable ASCII without quotes and backslashes, so a block reads in one way only."""

_BASE64 = re.compile(r"[A-Za-z0-9_-]+={0,2}")


@dataclass(frozen=True, slots=True)
class Block:
    """What one block of a token says."""

    grant: Grant
    until: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose signatures were verified. Not yet: time, attempt, revocation; that is the door's."""

    label: str
    run: str
    attempt: int
    tier: str
    issued: datetime
    blocks: tuple[Block, ...]
    """The first is the root's; each later one was appended to narrow it."""
    revocations: tuple[str, ...]
    """One id for each block; revoking one revokes the token and all that were narrowed from there."""

    @property
    def until(self) -> datetime:
        return min(block.until for block in self.blocks)

    def covers(self, act: Act, name: str) -> bool:
        """Does every block allow this normal name?"""
        return all(block.grant.covers(act, name) for block in self.blocks)


def mint(
    root: PrivateKey,
    *,
    run: str,
    attempt: int,
    tier_name: str,
    grant: Grant,
    lifetime: timedelta,
    clock: Clock,
    entropy: ids.Entropy,
) -> str:
    """A new token for one attempt. Raises GrantRefused where the tier has not what the grant or lifetime asks."""
    from biscuit_auth import BiscuitBuilder

    bound = tier(tier_name)
    bounded(grant, bound)
    if not _RUN.fullmatch(run) or type(attempt) is not int or not 0 <= attempt < 1_000_000:
        raise GrantRefused(
            f"{run!r:.120} attempt {attempt!r:.20} is no attempt", hint="give the run's id and the attempt's number."
        )
    if not timedelta(seconds=1) <= lifetime <= bound.longest:
        raise GrantRefused(
            f"a token of tier {bound.name} lives 1 s to {bound.longest}, not {lifetime}",
            hint="mint one for each attempt; a longer task gets a new token.",
        )
    now = _whole(clock.now())
    builder = BiscuitBuilder()
    _fact(builder, "version({0})", VERSION)
    _fact(builder, "token({0})", ids.new("tok", now, entropy))
    _fact(builder, "attempt({0}, {1})", run, attempt)
    _fact(builder, "tier({0})", bound.name)
    _fact(builder, "issued({0})", now)
    _write(builder, "may", Block(grant, now + lifetime))
    _check(builder, "check if asker($run, $attempt), attempt($run, $attempt)")
    _check(builder, "check if time($time), $time >= {0}", now - LEEWAY)
    return f"{PREFIX}{builder.build(root).to_base64()}"


def narrow(token: str, grant: Grant, public: PublicKey, *, until: datetime | None = None) -> str:
    """A token that allows what `token` and `grant` both allow, and not longer. Needs no signing key.

    Raises TokenForged where `token` is not of this root key, GrantWidened where `grant` or `until` reaches further
    (such a token would allow no more than its parent, but whoever asked for it was mistaken or lying).
    """
    from biscuit_auth import BlockBuilder

    biscuit = _verified(token, public)
    parent = _parsed(biscuit)
    for act, name in grant.pairs():
        if not parent.covers(act, name):
            raise GrantWidened(
                f"token {parent.label} does not have {act} {naming.shown(name)}, so no narrower one can",
                hint="leave it out, or mint a token for it.",
            )
    end = parent.until if until is None else _whole(until)
    if end > parent.until:
        raise GrantWidened(
            f"token {parent.label} ends at {parent.until:%Y-%m-%d %H:%M:%SZ}, a narrower one cannot end later",
            hint="leave `until` out.",
        )
    if len(parent.blocks) >= BLOCKS_MAX:
        raise GrantWidened(
            f"token {parent.label} was narrowed {BLOCKS_MAX - 1} times, which is the most",
            hint="mint a token for the child.",
        )
    builder = BlockBuilder("")
    _write(builder, "keep", Block(grant, end))
    return f"{PREFIX}{biscuit.append(builder).to_base64()}"


def read(token: str, public: PublicKey) -> Token:
    """What a token says, its signatures verified. Raises TokenForged."""
    return _parsed(_verified(token, public))


# -- writing


def _whole(moment: datetime) -> datetime:
    """Tokens count in whole seconds."""
    return moment.astimezone(UTC).replace(microsecond=0)


def _fact(builder: BiscuitBuilder | BlockBuilder, source: str, *values: Any) -> None:
    from biscuit_auth import Fact

    builder.add_fact(Fact(source.format(*_parameters(values)), _values(values)))


def _check(builder: BiscuitBuilder | BlockBuilder, source: str, *values: Any) -> None:
    from biscuit_auth import Check

    builder.add_check(Check(source.format(*_parameters(values)), _values(values)))


def _parameters(values: tuple[Any, ...]) -> list[str]:
    return [f"{{p{place}}}" for place in range(len(values))]


def _values(values: tuple[Any, ...]) -> dict[str, Any]:
    """Values travel beside the source, never in it: a name cannot become code."""
    return {f"p{place}": value for place, value in enumerate(values)}


def _write(builder: BiscuitBuilder | BlockBuilder, word: str, block: Block) -> None:
    """The grant and the end. `word` is `may` in the root's block and `keep` in others, which do not see each other."""
    for name, *values in _facts_of(word, block):
        _fact(builder, f"{name}({', '.join(f'{{{place}}}' for place in range(len(values)))})", *values)
    _check(builder, _CHECK.format(word))
    _check(builder, "check if time($time), $time < {0}", block.until)


def _facts_of(word: str, block: Block) -> list[tuple[Any, ...]]:
    """(predicate, terms…) for what a block grants."""
    found: list[tuple[Any, ...]] = [("until", block.until)]
    for act, name in block.grant.pairs():
        if not _PLAIN.fullmatch(name):
            raise GrantRefused(f"{act} {name!a:.120} is no normal name", hint="make grants with Grant.of.")
        if act == "run" and name == ANY:
            found.append((f"{word}_any", act))
            continue
        if act == "connect" and name.startswith("*."):
            found.append((f"{word}_below", act, name[1:]))
            continue
        found.append((word, act, name))
        if act in PATH_ACTS:
            found.append((f"{word}_under", act, below(name)))
    return found


def _checks_of(word: str, until: datetime) -> list[str]:
    return [f"{_CHECK.format(word)};", f"check if time($time), $time < {_stamp(until)};"]


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# -- reading


def _verified(token: str, public: PublicKey) -> Biscuit:
    from biscuit_auth import Biscuit, BiscuitValidationError

    given: object = token
    if not isinstance(given, str) or not given.startswith(PREFIX) or len(given) > TOKEN_MAX:
        raise _forged("it does not look like one")
    body = given[len(PREFIX) :]
    if not _BASE64.fullmatch(body):
        raise _forged("it is not base64")
    try:
        biscuit = Biscuit.from_base64(body, public)
    except (BiscuitValidationError, ValueError):
        raise _forged("its signatures do not hold under this machine's key") from None
    if biscuit.block_count() > BLOCKS_MAX:
        raise _forged(f"it has more than {BLOCKS_MAX} blocks")
    return biscuit


def _forged(why: str) -> TokenForged:
    """Says nothing of the token's text."""
    return TokenForged(
        f"this is no token of this machine: {why}",
        hint="mint one with `daybreak token mint`; if a worker sent it, look at what that worker does.",
        missing="a token signed by this machine's key",
    )


_FACT = re.compile(r"(?P<name>[a-z_]{1,20})\((?P<terms>.*)\);")
_TERM = re.compile(r'"(?P<text>[^"\\]*)"|(?P<moment>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)|(?P<number>\d{1,9})')


def _parsed(biscuit: Biscuit) -> Token:
    """Raises TokenForged where a block is not exactly what Daybreak writes for what it says."""
    try:
        first, *later = [_lines(biscuit, place) for place in range(biscuit.block_count())]
        token = _root_block(first)
        blocks = (*token.blocks, *(_narrowing(lines) for lines in later))
    except (KeyError, ValueError, TypeError, GrantRefused):
        raise _forged("a block is not in the form that Daybreak writes") from None
    return replace(token, blocks=blocks, revocations=tuple(biscuit.revocation_ids))


def _lines(biscuit: Biscuit, place: int) -> list[str]:
    if biscuit.block_external_key(place) is not None:
        raise ValueError("signed by a third party")
    return [line for line in biscuit.block_source(place).split("\n") if line]


def _root_block(lines: list[str]) -> Token:
    facts = _facts_in(lines)
    [[version]], [[label]], [[run, attempt]] = facts["version"], facts["token"], facts["attempt"]
    [[tier_name]], [[issued]] = facts["tier"], facts["issued"]
    if version != VERSION:
        raise _forged(f"it is of version {version}, this program knows {VERSION}")
    head = [("version", VERSION), ("token", label), ("attempt", run, attempt), ("tier", tier_name), ("issued", issued)]
    checks = [
        "check if asker($run, $attempt), attempt($run, $attempt);",
        f"check if time($time), $time >= {_stamp(issued - LEEWAY)};",
    ]
    block = _exactly(lines, facts, "may", head, checks)
    return Token(label, run, attempt, tier_name, issued, (block,), ())


def _narrowing(lines: list[str]) -> Block:
    return _exactly(lines, _facts_in(lines), "keep", [], [])


def _exactly(
    lines: list[str],
    facts: dict[str, list[list[Any]]],
    word: str,
    head: list[tuple[Any, ...]],
    checks: list[str],
) -> Block:
    """The block that these lines say. Raises ValueError where writing it again would not give the same lines."""
    block = _block(facts, word)
    expected = [_as_line(*fact) for fact in (*head, *_facts_of(word, block))]
    if sorted(lines) != sorted(expected + checks + _checks_of(word, block.until)):
        raise ValueError("more, less or other lines")
    return block


def _as_line(name: str, *values: Any) -> str:
    terms = (f'"{value}"' if isinstance(value, str) else _number(value) for value in values)
    return f"{name}({', '.join(terms)});"


def _number(value: Any) -> str:
    return _stamp(value) if isinstance(value, datetime) else str(value)


def _facts_in(lines: list[str]) -> dict[str, list[list[Any]]]:
    """Terms by predicate. Raises ValueError for a line that is neither a fact of plain terms nor a check."""
    found: dict[str, list[list[Any]]] = {}
    for line in lines:
        if line.startswith("check if "):
            continue
        fact = _FACT.fullmatch(line)
        if fact is None:
            raise ValueError("no fact")
        found.setdefault(fact["name"], []).append(_terms(fact["terms"]))
    return found


def _terms(text: str) -> list[Any]:
    found: list[Any] = []
    at = 0
    while (term := _TERM.match(text, at)) is not None:
        if term["text"] is not None:
            found.append(term["text"])
        else:
            found.append(int(term["number"]) if term["number"] else datetime.fromisoformat(term["moment"]))
        at = term.end()
        if at == len(text):
            return found
        if not text.startswith(", ", at):
            break
        at += 2
    raise ValueError("no terms")


def _block(facts: dict[str, list[list[Any]]], word: str) -> Block:
    [[until]] = facts["until"]
    names: dict[str, list[str]] = {act: [] for act in naming.ACTS}
    for act, name in facts.get(word, []):
        names[act].append(name)
    for act, end in facts.get(f"{word}_below", []):
        names[act].append(f"*{end}")
    for [act] in facts.get(f"{word}_any", []):
        names[act].append(ANY)
    return Block(Grant(**{act: tuple(found) for act, found in names.items()}), until)
