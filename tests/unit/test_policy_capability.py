"""Capability tokens: nobody makes one without the key, makes one wider, or uses one elsewhere or later."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from biscuit_auth import (
    AuthorizationError,
    AuthorizerBuilder,
    Biscuit,
    BiscuitBuilder,
    BlockBuilder,
    Fact,
    KeyPair,
    Policy,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.policy import capability, naming, rootkey
from daybreak.policy.capability import PREFIX
from daybreak.policy.door import Allowed, Ask, Door
from daybreak.policy.grant import TIERS, Grant
from daybreak.policy.protected import DEFAULT
from daybreak.policy.refusal import (
    AskMalformed,
    GrantRefused,
    GrantWidened,
    NotAllowed,
    ProtectedAsked,
    RootKeyExposed,
    RootKeyWrong,
    TokenElsewhere,
    TokenExpired,
    TokenForged,
    TokenRevoked,
)
from daybreak.testing.clock import FakeClock

PAIR = KeyPair()
ROOT, PUBLIC = PAIR.private_key, PAIR.public_key
WIDE = Grant.of(
    read=["/ws", "/usr/lib"],
    write=["/ws"],
    run=["git", "/usr/bin/python3"],
    connect=["pypi.org", "*.example.org", "[2001:db8::1]:8443"],
    secret=["API_KEY"],
)


def minted(grant: Grant = WIDE, *, clock: FakeClock | None = None, tier: str = "trusted", hours: float = 1) -> str:
    return capability.mint(
        ROOT,
        run="run-1",
        attempt=1,
        tier_name=tier,
        grant=grant,
        lifetime=timedelta(hours=hours),
        clock=clock or FakeClock(),
        entropy=Random(1).randbytes,
    )


def door(clock: FakeClock | None = None, revoked: Sequence[str] = ()) -> Door:
    return Door(
        PUBLIC,
        clock or FakeClock(),
        revoked=lambda ids: "said so" if set(ids) & set(revoked) else None,
    )


def ask(act: naming.Act, what: str, *, run: str = "run-1", attempt: int = 1) -> Ask:
    return Ask(act, what, run, attempt)


def biscuit_of(token: str) -> Biscuit:
    return Biscuit.from_base64(token.removeprefix(PREFIX), PUBLIC)


def appended(token: str, block: BlockBuilder) -> str:
    """What anybody who holds a token can do, without our code."""
    return PREFIX + biscuit_of(token).append(block).to_base64()


# -- what is allowed


@pytest.mark.parametrize(
    ("act", "what"),
    [
        ("read", "/ws"),
        ("read", "/ws/a/b.py"),
        ("read", "//ws/./a/"),
        ("write", "/ws/new file; drop"),
        ("run", "git"),
        ("run", "/usr/bin/python3"),
        ("connect", "pypi.org"),
        ("connect", "PyPI.org.:443"),
        ("connect", "a.b.example.org"),
        ("connect", "[2001:db8:0::1]:8443"),
        ("secret", "API_KEY"),
    ],
)
def test_what_the_grant_names_is_allowed(act: naming.Act, what: str) -> None:
    """In any spelling that has one meaning."""
    # shows: N9
    allowed = door().check(minted(), ask(act, what))
    assert isinstance(allowed, Allowed)
    assert (allowed.run, allowed.attempt) == ("run-1", 1)


@pytest.mark.parametrize(
    ("act", "what"),
    [
        ("read", "/wsx"),
        ("read", "/"),
        ("read", "/etc/passwd"),
        ("read", "/WS"),
        ("write", "/usr/lib/x"),
        ("deliver", "/ws"),
        ("run", "gitk"),
        ("run", "/usr/bin/git"),
        ("run", "/usr/bin/python3/x"),
        ("connect", "pypi.org:80"),
        ("connect", "evilpypi.org"),
        ("connect", "pypi.org.evil.example"),
        ("connect", "example.org"),
        ("connect", "evil-example.org"),
        ("connect", "[2001:db8::2]:8443"),
        ("secret", "API_KEY_2"),
        ("secret", "api_key"),
    ],
)
def test_what_the_grant_does_not_name_is_refused_by_name(act: naming.Act, what: str) -> None:
    """The refusal says what was missing."""
    # shows: N9
    with pytest.raises(NotAllowed) as caught:
        door().check(minted(), ask(act, what))
    assert caught.value.missing.startswith(act)
    assert caught.value.code == "P101"
    assert caught.value.hint


@pytest.mark.parametrize(
    "path",
    [
        "/ws/../etc/shadow",
        "/ws/..",
        "..",
        "ws/a",
        "",
        "/ws/a\0b",
        "/ws/a\nb",
        "/ws/\x7f",
        "/ws/" + "x" * 5000,
        "/ws/\ud800x",
    ],
)
def test_a_path_without_one_meaning_is_refused(path: str) -> None:
    """`..` is never resolved by text: a symbolic link on the way would make that a lie."""
    # shows: N9, P8
    with pytest.raises(AskMalformed):
        door().check(minted(), ask("read", path))


def test_a_file_name_that_is_not_utf8_can_be_asked_for() -> None:
    """The bytes of the name are what counts."""
    name = os.fsdecode(b"/ws/caf\xe9.txt")
    assert door().check(minted(), ask("read", name)).what == name


@pytest.mark.parametrize(
    "host",
    [
        "pypi.оrg",  # a Cyrillic o
        "pypi。org",  # an ideographic full stop
        "ｐypi.org",
        "pypi.org\u200b",
        "\u212aernel.org",  # the Kelvin sign lowers to k
        "pypi.org:443:80",
        "pypi.org:0443",
        "pypi.org:99999",
        "pypi.org:",
        "pypi.org/x",
        "user@pypi.org",
        "pypi..org",
        "-x.org",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "[::1",
        "[::ffff:127.0.0.1]",
        "[fe80::1%eth0]",
        "*.example.org",
        "*",
        "",
        " pypi.org",
    ],
)
def test_a_host_in_odd_letters_is_refused(host: str) -> None:
    """A name that only looks like a granted one, or that some resolvers read as an address, has no one meaning."""
    # shows: N9, P8
    with pytest.raises(AskMalformed):
        door().check(minted(), ask("connect", host))


def test_names_on_windows_have_one_case_and_one_separator() -> None:
    """The same file in another spelling is the same name; an alternate stream is not."""
    normal = naming.normal("read", "C:\\Work\\A.txt", windows=True)
    assert normal == naming.normal("read", "c:/work/a.TXT", windows=True) == "c:/work/a.txt"
    for bad in ("\\Work", "C:Work", "C:\\a\\..\\b", "C:\\a.txt:stream", "/c/work"):
        with pytest.raises(AskMalformed):
            naming.normal("read", bad, windows=True)


# -- forging


@pytest.mark.parametrize(
    "token",
    ["", "x", PREFIX, f"{PREFIX}AAAA", f"{PREFIX}é", f"{PREFIX}\ud800", f"{PREFIX}{'A' * 70_000}", "dbt2.AAAA", "\0"],
)
def test_garbage_is_no_token(token: str) -> None:
    """Whatever it is, it is a typed refusal."""
    with pytest.raises(TokenForged):
        door().check(token, ask("read", "/ws"))


@pytest.mark.parametrize("token", [None, 7, b"dbt1.AAAA", ["dbt1."]])
def test_what_is_no_text_is_no_token(token: object) -> None:
    """A wrong type is refused like garbage."""
    with pytest.raises(TokenForged):
        door().check(token, ask("read", "/ws"))  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10_000), flip=st.integers(1, 63), cut=st.integers(0, 200))
def test_a_changed_or_cut_token_is_refused(place: int, flip: int, cut: int) -> None:
    """No character can be changed and none left out."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = minted()
    body = token.removeprefix(PREFIX).rstrip("=")
    if cut:
        changed = body[:-cut]
    else:
        at = place % (len(body) - 2)  # the last ones may hold bits that mean nothing
        changed = body[:at] + alphabet[(alphabet.index(body[at]) + flip) % 64] + body[at + 1 :]
    with pytest.raises(TokenForged):
        door().check(PREFIX + changed, ask("read", "/ws"))


def test_a_token_of_another_root_key_is_refused() -> None:
    """Signed, but not by us."""
    other = capability.mint(
        KeyPair().private_key,
        run="run-1",
        attempt=1,
        tier_name="look",
        grant=Grant.of(read=["/"]),
        lifetime=timedelta(hours=1),
        clock=FakeClock(),
        entropy=os.urandom,
    )
    with pytest.raises(TokenForged):
        door().check(other, ask("read", "/ws"))


def test_a_token_that_the_root_key_signed_for_something_else_is_refused() -> None:
    """Only blocks in exactly our form count, whoever signed them."""
    builder = BiscuitBuilder('user("anna"); right("read", "/")')
    with pytest.raises(TokenForged, match="form"):
        door().check(PREFIX + builder.build(ROOT).to_base64(), ask("read", "/ws"))


def test_a_refusal_says_nothing_of_the_token_or_the_key() -> None:
    """Messages go into logs."""
    token = minted()
    with pytest.raises(NotAllowed) as caught:
        door().check(token[:-30], ask("read", "/ws"))
    told = f"{caught.value.message} {caught.value.hint} {caught.value!r}"
    assert token[10:40] not in told
    assert str(ROOT) not in told


# -- elsewhere, later, revoked


@pytest.mark.parametrize(("run", "attempt"), [("run-2", 1), ("run-1", 2), ("run-1 ", 1), ("RUN-1", 1)])
def test_a_token_is_of_no_use_to_another_attempt(run: str, attempt: int) -> None:
    """Who asks comes from the caller's books, so a stolen token is refused."""
    # shows: N9
    with pytest.raises(TokenElsewhere):
        door().check(minted(), ask("read", "/ws", run=run, attempt=attempt))


def test_a_token_ends_when_its_time_is_over() -> None:
    """To the second, on the clock that was passed in."""
    # shows: N9
    clock = FakeClock()
    token = minted(clock=clock, hours=1)
    clock.advance(3599)
    door(clock).check(token, ask("read", "/ws"))
    clock.advance(1)
    with pytest.raises(TokenExpired):
        door(clock).check(token, ask("read", "/ws"))


def test_setting_the_clock_back_does_not_revive_a_token() -> None:
    """Before the moment of minting it is no good either, but for a small leeway."""
    clock = FakeClock()
    clock.advance(24 * 3600)
    token = minted(clock=clock)
    with pytest.raises(TokenExpired, match="begins"):
        door(FakeClock()).check(token, ask("read", "/ws"))
    slightly = FakeClock()
    slightly.advance(24 * 3600 - 240)
    door(slightly).check(token, ask("read", "/ws"))


def test_revoking_a_token_ends_the_narrower_ones_too() -> None:
    """And revoking a narrower one leaves its parent."""
    # shows: N9
    parent = minted()
    child = capability.narrow(parent, Grant.of(read=["/ws"]), PUBLIC)
    of_parent, of_child = (capability.read(token, PUBLIC).revocations for token in (parent, child))
    assert of_child[:1] == of_parent
    for revoked, token in ((of_parent[0], parent), (of_parent[0], child), (of_child[1], child)):
        with pytest.raises(TokenRevoked, match="said so"):
            door(revoked=[revoked]).check(token, ask("read", "/ws"))
    door(revoked=[of_child[1]]).check(parent, ask("read", "/ws"))


def test_no_token_covers_what_is_protected() -> None:
    """Not even one for everything."""
    # shows: N9
    token = minted(Grant.of(read=["/"]))
    for path in ("/home/anna/.ssh/id_rsa", "/ws/.env", "/etc/shadow", "/ws/.AWS/credentials", "/ws/ledger.key"):
        with pytest.raises(ProtectedAsked):
            door().check(token, ask("read", path))
    door().check(token, ask("read", "/ws/.env.example"))


def test_the_door_tells_of_every_refusal_before_it_raises() -> None:
    """So that none goes unrecorded."""
    told: list[tuple[Ask, NotAllowed]] = []
    guarded = Door(PUBLIC, FakeClock(), revoked=lambda ids: None, refused=lambda *what: told.append(what))
    for what in ("/etc", "/ws/..", "/ws/.env"):
        with pytest.raises(NotAllowed):
            guarded.check(minted(), ask("read", what))
    assert [type(error) for _, error in told] == [NotAllowed, AskMalformed, ProtectedAsked]


# -- narrowing


def test_a_child_has_no_more_than_both_allow() -> None:
    """Names and time."""
    # shows: N9
    clock = FakeClock()
    child = capability.narrow(
        minted(clock=clock), Grant.of(read=["/ws/sub"], run=["git"]), PUBLIC, until=clock.now() + timedelta(minutes=5)
    )
    grandchild = capability.narrow(child, Grant.of(read=["/ws/sub/x"]), PUBLIC)
    door(clock).check(child, ask("read", "/ws/sub/a"))
    door(clock).check(child, ask("run", "git"))
    door(clock).check(grandchild, ask("read", "/ws/sub/x/y"))
    for token, act, what in (
        (child, "read", "/ws/other"),
        (child, "write", "/ws/sub/a"),
        (grandchild, "run", "git"),
        (grandchild, "read", "/ws/sub/a"),
    ):
        with pytest.raises(NotAllowed, match="as narrowed"):
            door(clock).check(token, ask(act, what))  # type: ignore[arg-type]
    clock.advance(300)
    for token in (child, grandchild):
        with pytest.raises(TokenExpired):
            door(clock).check(token, ask("read", "/ws/sub/x"))


@pytest.mark.parametrize(
    "grant",
    [
        Grant.of(read=["/"]),
        Grant.of(read=["/wsx"]),
        Grant.of(write=["/usr/lib"]),
        Grant.of(run=["*"]),
        Grant.of(connect=["*.pypi.org"]),
        Grant.of(connect=["example.org"]),
        Grant.of(secret=["OTHER"]),
        Grant.of(deliver=["/ws"]),
    ],
)
def test_asking_for_a_wider_child_is_refused(grant: Grant) -> None:
    """It would allow nothing more, but whoever asked was mistaken or lying."""
    with pytest.raises(GrantWidened):
        capability.narrow(minted(), grant, PUBLIC)


def test_a_child_cannot_outlive_its_parent() -> None:
    """An end after the parent's end is refused."""
    clock = FakeClock()
    with pytest.raises(GrantWidened):
        capability.narrow(minted(clock=clock), Grant(), PUBLIC, until=clock.now() + timedelta(days=1))


@pytest.mark.parametrize(
    "source",
    [
        'may("read", "/"); may_under("read", "/");',
        'may("read", "/etc/passwd") <- true;',
        'attempt("run-2", 1);',
        "until(2099-01-01T00:00:00Z);",
        'ask("read", "/ws"); time(2020-01-01T00:00:00Z);',
        "check if true;",
        "check if false;",
        'keep("read", "/"); until(2099-01-01T00:00:00Z);',
        'check if ask($act, $what), $what.starts_with("/");',
    ],
)
def test_a_block_written_by_hand_widens_nothing(source: str) -> None:
    """What anybody can append to a token they hold is either in exactly our form or the end of that token."""
    # shows: N9
    forged = appended(minted(), BlockBuilder(source))
    for act, what in (("read", "/etc/passwd"), ("write", "/etc/x"), ("read", "/ws")):
        with pytest.raises(TokenForged):
            door().check(forged, ask(act, what))  # type: ignore[arg-type]


def test_a_block_of_a_third_party_is_refused() -> None:
    """Biscuit lets others sign blocks; nobody here asks for that."""
    biscuit = biscuit_of(minted())
    signer = KeyPair()
    block = biscuit.third_party_request().create_block(signer.private_key, BlockBuilder('keep("read", "/ws");'))
    token = PREFIX + biscuit.append_third_party(signer.public_key, block).to_base64()
    with pytest.raises(TokenForged):
        door().check(token, ask("read", "/ws"))


def test_a_block_that_would_compute_for_ever_is_refused_at_once() -> None:
    """No Datalog of a holder is ever run: this one takes the engine seconds beyond its own time limit."""
    # shows: N9
    numbers = "".join(f"n({number});" for number in range(60))
    forged = appended(minted(), BlockBuilder(f"{numbers} m($a) <- n($a), n($b), n($c), n($d), n($e), n($f);"))
    with pytest.raises(TokenForged, match="form"):
        door().check(forged, ask("read", "/ws"))


@pytest.mark.parametrize(
    "name",
    [
        '/ws/a"); may("read", "/x',
        '/ws/x;may_any("run")',
        "/ws/{p0}",
        "/ws/$what",
        "/ws/check if true",
        "/ws/\\",
        "/ws/%22",
        "/ws/<-",
        "/ws/日本",
    ],
)
def test_a_name_does_not_become_code(name: str) -> None:
    """Quotes, semicolons and parameters in a path stay that path."""
    # shows: N9, P8
    token = minted(Grant.of(read=[name]))
    read = capability.read(token, PUBLIC)
    assert read.blocks[0].grant.as_lists() == {"read": [name]}
    assert door().check(token, ask("read", name)).what == name
    for other in ("/ws", "/", "/ws/a", '/ws/"'):
        with pytest.raises(NotAllowed):
            door().check(token, ask("read", other))
    with pytest.raises(NotAllowed):
        door().check(token, ask("run", "sh"))


def test_a_grant_that_was_not_made_by_of_is_not_written() -> None:
    """A raw name with a quote would be read back as something else."""
    with pytest.raises(GrantRefused):
        minted(Grant(read=('/ws/"',)))


# -- tiers and minting


@pytest.mark.parametrize("name", sorted(TIERS))
def test_a_tier_bounds_what_can_be_minted(name: str) -> None:
    """An act that the tier has not is refused, whatever the name."""
    # shows: N9
    everything: dict[naming.Act, str] = {
        "read": "/a",
        "write": "/a",
        "run": "*",
        "connect": "a.example",
        "deliver": "/a",
        "secret": "A",
    }
    for act, what in everything.items():
        grant = Grant.of(**{act: [what]})  # type: ignore[arg-type]
        if act in TIERS[name].acts:
            token = minted(grant, tier=name)
            door().check(token, ask(act, "sh" if what == "*" else what))
        else:
            with pytest.raises(GrantRefused, match=f"has no {act}"):
                minted(grant, tier=name)


def test_no_tier_has_secrets_and_a_delivery() -> None:
    """What reads secrets does not put results where others read them."""
    assert not any({"secret", "deliver"} <= tier.acts for tier in TIERS.values())


@pytest.mark.parametrize("hours", [0, -1, 5, 1000])
def test_a_lifetime_outside_of_the_tier_is_refused(hours: float) -> None:
    """Trusted tokens live four hours at most."""
    with pytest.raises(GrantRefused):
        minted(hours=hours)


@pytest.mark.parametrize(
    ("run", "attempt"), [("", 1), ("a b", 1), ('x");', 1), ("run-1", -1), ("run-1", True), ("é", 1)]
)
def test_a_run_that_is_no_name_gets_no_token(run: str, attempt: int) -> None:
    """Names of runs are plain."""
    with pytest.raises(GrantRefused):
        capability.mint(
            ROOT,
            run=run,
            attempt=attempt,
            tier_name="look",
            grant=Grant(),
            lifetime=timedelta(hours=1),
            clock=FakeClock(),
            entropy=os.urandom,
        )


@settings(max_examples=200, deadline=None)
@given(
    act=st.sampled_from(naming.ACTS),
    what=st.one_of(
        st.text(max_size=30), st.text(alphabet="/.a*:[]\\\"'\0", max_size=12), st.binary(), st.integers(), st.none()
    ),
)
def test_any_ask_is_answered_or_refused(act: naming.Act, what: object) -> None:
    """Hostile arguments give NotAllowed with a hint, never anything else."""
    # shows: P8
    hint = "none is needed"
    try:
        door().check(minted(), Ask(act, what, "run-1", 1))  # type: ignore[arg-type]
    except NotAllowed as error:
        hint = error.hint
    assert hint


# -- the same as Biscuit itself would decide

_PATHS = st.lists(st.sampled_from(["a", "b", "ab", "é", "x y", '"']), max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
_GRANTS = st.builds(
    lambda read, write, run, connect: Grant.of(read=read, write=write, run=run, connect=connect),
    st.lists(_PATHS, max_size=3),
    st.lists(_PATHS, max_size=2),
    st.lists(st.sampled_from(["git", "sh", "*", "/a/git"]), max_size=2),
    st.lists(st.sampled_from(["a.example.org", "*.example.org", "example.org:80"]), max_size=2),
)


def _biscuit_decides(token: str, act: str, name: str, clock: FakeClock) -> bool:
    """The token as any Biscuit verifier reads it, with the facts and the policy that the decision record gives."""
    builder = AuthorizerBuilder()
    builder.add_fact(Fact("time({t})", {"t": clock.now()}))
    builder.add_fact(Fact("asker({r}, {n})", {"r": "run-1", "n": 1}))
    builder.add_fact(Fact("ask({a}, {w})", {"a": act, "w": name}))
    builder.add_policy(Policy("allow if version(1)"))
    limits = builder.limits()
    limits.max_time = timedelta(seconds=5)
    builder.set_limits(limits)
    try:
        builder.build(biscuit_of(token)).authorize()
    except AuthorizationError:
        return False
    return True


@settings(max_examples=120, deadline=None)
@given(
    first=_GRANTS,
    second=_GRANTS,
    asked=st.one_of(
        st.tuples(st.sampled_from(["read", "write"]), _PATHS),
        st.tuples(st.just("run"), st.sampled_from(["git", "sh", "/a/git"])),
        st.tuples(
            st.just("connect"), st.sampled_from(["a.example.org", "b.example.org", "example.org:80", "example.org"])
        ),
    ),
    late=st.booleans(),
)
def test_our_decision_is_that_of_any_biscuit_verifier(
    first: Grant, second: Grant, asked: tuple[naming.Act, str], late: bool
) -> None:
    """The tokens' own checks, run by the library on tokens that we made, say what our reader says."""
    # shows: N9
    clock = FakeClock()
    token = minted(first, clock=clock, tier="fetch")
    kept = [pair for pair in second.pairs() if first.covers(*pair)]
    by_act = {act: tuple(name for other, name in kept if other == act) for act in naming.ACTS}
    child = capability.narrow(token, replace(Grant(), **by_act), PUBLIC)
    clock.advance(3600 if late else 10)
    for text in (token, child):
        ours = not late and capability.read(text, PUBLIC).covers(asked[0], naming.normal(*asked))
        assert ours == _biscuit_decides(text, asked[0], naming.normal(*asked), clock)


# -- the root key


def test_the_root_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600, and the same the second time."""
    # shows: N9
    first = rootkey.load_or_make(tmp_path / "keys")
    assert str(rootkey.load_or_make(tmp_path / "keys")) == str(first)
    path = tmp_path / "keys" / rootkey.SECRET
    assert path.stat().st_mode & 0o777 == 0o600
    assert str(rootkey.load_public(tmp_path / "keys")) in (tmp_path / "keys" / rootkey.PUBLIC).read_text()


def test_a_public_key_put_beside_it_is_not_believed(tmp_path: Path) -> None:
    """The verifying key comes from the signing key."""
    rootkey.load_or_make(tmp_path)
    (tmp_path / rootkey.PUBLIC).write_text(f"{PUBLIC}\n")
    assert str(rootkey.load_public(tmp_path)) != str(PUBLIC)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_root_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Somebody may have it already."""
    # shows: N9
    rootkey.load_or_make(tmp_path)
    (tmp_path / rootkey.SECRET).chmod(mode)
    with pytest.raises(RootKeyExposed):
        rootkey.load_or_make(tmp_path)


@pytest.mark.parametrize("text", ["", "nonsense", "ed25519-private/00", "\xff", "ed25519/" + "0" * 64])
def test_a_damaged_root_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    """And never replaced silently."""
    rootkey.load_or_make(tmp_path)
    (tmp_path / rootkey.SECRET).write_bytes(text.encode("latin-1"))
    with pytest.raises(RootKeyWrong) as caught:
        rootkey.load_or_make(tmp_path)
    assert not text or text not in f"{caught.value.message}{caught.value.hint}"


def test_a_root_key_is_not_read_through_a_link(tmp_path: Path) -> None:
    """A link would let somebody else choose the key."""
    rootkey.load_or_make(tmp_path / "other")
    (tmp_path / "keys").mkdir()
    for target in (tmp_path / "other" / rootkey.SECRET, tmp_path / "nowhere"):
        link = tmp_path / "keys" / rootkey.SECRET
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(RootKeyWrong):
            rootkey.load_or_make(tmp_path / "keys")


def test_the_default_list_guards_the_key_itself() -> None:
    """Nobody reads it through the door."""
    assert DEFAULT.is_protected(f"/anywhere/{rootkey.SECRET}")
