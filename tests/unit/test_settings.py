"""`daybreak.toml`: what it may say and what not; every problem is told with its place and without a secret."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from daybreak import home, settings
from daybreak.clock import SystemClock
from daybreak.factory import pythontask
from daybreak.policy.breaker import BreakerRule
from daybreak.policy.circuits import LedgerCircuits
from daybreak.settings import KeyUnresolved, Settings, SettingsWrong

WHOLE = """
order = ["cheap", "codex", "own", "builder"]
templates = "templates"

[providers.local]
api = "openai"
address = "http://127.0.0.1:8000/v1"
key = "env:LOCAL_KEY"
headers = { X-Team = "night" }
[providers.local.prices."*"]
input = 1
output = 2.5

[providers.far]
api = "anthropic"
address = "https://models.example/v1"
key = "file:keys/far"

[workers.cheap]
kind = "model"
provider = "local"
model = "small"
requests = 50
[workers.codex]
kind = "codex"
provider = "local"
readable = ["data", "/opt/x"]
environment = ["AWS_PROFILE"]
[workers.own]
kind = "python"
program = "./mine.py:worker"
options = { list = [1, 2] }

[breakers.shop]
failures = 2
open_s = 900
[breakers."the mail server"]
within_s = 3.5

[memory]
routing = "order"
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / settings.FILE
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes) -> str:
    with pytest.raises(SettingsWrong) as caught:
        settings.read(write(folder, text))
    assert caught.value.code == "U120"
    assert caught.value.hint
    return caught.value.message


def test_without_a_file_the_embedded_builder_works_alone() -> None:
    """Standalone is what nothing has to be configured for."""  # shows: F9
    told = settings.read(None)
    assert told.order == ("builder",)
    assert told.worker("builder").kind == "builder"


def test_a_whole_file_is_read_with_paths_counted_from_its_folder(tmp_path: Path) -> None:
    """Wherever daybreak is started, a path in the file means the same."""
    told = settings.read(write(tmp_path, WHOLE))
    assert told.order == ("cheap", "codex", "own", "builder")
    assert told.workers["codex"].readable == (str(tmp_path / "data"), "/opt/x")
    assert told.workers["own"].program == str(tmp_path / "mine.py:worker")
    assert told.workers["own"].options == {"list": [1, 2]}
    assert told.templates == str(tmp_path / "templates")
    assert told.provider("local").prices["*"].output == 2.5
    assert told.provider("far").key == f"file:{tmp_path}/keys/far"
    assert told.breakers["shop"] == settings.Breaker(failures=2, open_s=900)
    assert told.breakers["the mail server"].within_s == 3.5
    assert told.path == str(tmp_path / settings.FILE)


def test_what_a_breaker_does_not_say_is_as_everywhere() -> None:
    """The defaults of the file are those of the rule, so that an empty section changes nothing."""
    assert home.rules(Settings(breakers={"shop": settings.Breaker()})) == {"shop": BreakerRule()}


def test_breakers_follow_the_rule_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two failures instead of five, and a quarter of an hour instead of half a minute."""
    # shows: N8
    monkeypatch.setenv("DAYBREAK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "[breakers.shop]\nfailures = 2\nopen_s = 900\n")
    (tmp_path / "work.py").write_text(FAILING)
    with home.opened() as opened:
        for shop in ("shop", "other"):
            asked = pythontask.asked(f"work.py:{shop}", tmp_path)
            for _ in range(2):
                run = opened.engine.queue.add(asked.kind, asked.title, asked.args, asked.placement).run
                assert anyio.run(opened.engine.supervise, run).state == "failed"
        circuits = {row.name: row.circuit for row in LedgerCircuits(opened.ledger, SystemClock()).all()}
    assert {name: circuit.state for name, circuit in circuits.items()} == {"shop": "open", "other": "closed"}
    left = circuits["shop"].until - SystemClock().now()  # type: ignore[operator]
    assert timedelta(seconds=800) < left <= timedelta(seconds=900)


FAILING = """
import daybreak

def call(n):
    raise ConnectionError(f"it hung up")

@daybreak.task(breaker="shop", retry=daybreak.Retry(attempts=1))
async def shop(ctx):
    await ctx.step("call", call, 1)

@daybreak.task(breaker="other", retry=daybreak.Retry(attempts=1))
async def other(ctx):
    await ctx.step("call", call, 1)
"""


def test_a_worker_goes_through_json_and_comes_back_the_same(tmp_path: Path) -> None:
    """Its fields are handed to the process of an attempt."""
    for worker in settings.read(write(tmp_path, WHOLE)).workers.values():
        assert settings.Worker.model_validate(worker.model_dump(mode="json")) == worker


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ordr = []", "ordr: is not known; did you mean order?"),
        ("[workers.a]\nkind='codex'\nsilence=3", "workers.a.silence: is not known; did you mean silence_s?"),
        ("[providers.a]\napi='openai'\nadress='http://x'", "did you mean address?"),
        ("[providers.a]\napi='openai'\nadress='http://x'", "providers.a.address: is missing"),
        ("[memory]\nrouteing='order'", "did you mean routing?"),
        ("[workers.a]\nkind='codx'", "workers.a.kind: is one of"),
        ("[workers.a]\nkind='codex'\nrequests=true", "workers.a.requests: "),
        ("[workers.a]\nkind='codex'\nrequests='9'", "workers.a.requests: "),
        ("[workers.a]\nkind='codex'\nsilence_s=0", "greater than 0"),
        ("[workers.a]\nkind='codex'\nsilence_s=nan", "workers.a.silence_s"),
        ("[workers.a]\nkind='codex'\nsilence_s=1979-05-27", "workers.a.silence_s"),
        ("[workers.A]\nkind='codex'", "workers.A: small letters"),
        ("[workers.a]\nkind='codex'\nprovider='opnai'\n[providers.openai]\napi='openai'\naddress='http://x'",
         "there is no provider opnai; did you mean openai?"),
        ("order=['codx']\n[workers.codex]\nkind='codex'", "there is no worker codx; did you mean codex?"),
        ("order=['builder','builder']", "order: names builder more than once"),
        ("order=[]", "order: names nobody"),
        ("order='builder'", "order: "),
        ("path='/x'", "path: is not to be set"),
        ("[workers.builder]\nkind='codex'", "builder is the embedded one"),
        ("[workers.a]\nkind='generic'", "workers.a.command: is missing"),
        ("[workers.a]\nkind='acp'", "workers.a.command: is missing"),
        ("[workers.a]\nkind='model'\nprovider='x'\n[providers.x]\napi='openai'\naddress='http://x'",
         "model: is missing"),
        ("[workers.a]\nkind='python'\nprogram='x'", "module:object"),
        ("[providers.a]\napi='openai'\naddress='http://'", "providers.a.address: "),
        ("[providers.a]\napi='openai'\naddress='ftp://x'", "begins with http://"),
        ("[providers.a]\napi='openai'\naddress='http://x:99999/'", "providers.a.address: "),
        ("[providers.a]\napi='openai'\naddress='http://[x/'", "providers.a.address: "),
        ("[providers.a]\napi='openai'\naddress='http://x'\nkey=\"file:a\\u0000b\"", "providers.a.key: "),
        ("[providers.a]\napi='openai'\naddress='http://x'\n[providers.a.prices.m]\ninput=-1\noutput=1",
         "prices.m.input"),
        ("[providers.a]\napi='openai'\naddress='http://x'\n[providers.a.prices.m]\ninput=1",
         "prices.m.output: is missing"),
        ("[providers.a]\napi='openai'\naddress='http://x'\nheaders={Authorization='b'}", "is set from `key`"),
        ("[breakers.a]\nfailure=3", "breakers.a.failure: is not known; did you mean failures?"),
        ("[breakers.a]\nfailures=0", "breakers.a.failures: "),
        ("[breakers.a]\nopen_s=nan", "breakers.a.open_s: "),
        ("[breakers.a]\nopen_s='1h'", "breakers.a.open_s: "),
        ("[breakers.a]\nopen_s=7200", "breakers.'a': open_s (7200) is longer than most_s (3600)"),
        ("[breakers.'']\nfailures=2", "breakers.'': a name has"),
        ("[breakers.\"a\\u001b\"]\nfailures=2", "breakers.'a\\x1b': a name has"),
        ("[breakers.'provider:x']\nfailures=2", "breakers.'provider:x': there is no provider 'x'"),
        ("[breaker.a]\nfailures=2", "breaker: is not known; did you mean breakers?"),
        ("templates=\"a\\u0000b\"", "templates: "),
        ("a = [", "is not TOML"),
        ("a = " + "[" * 5000, "daybreak.toml"),
        (b"a = '\xff'", "line 1: not UTF-8"),
        (b"#" * (settings.BYTES_MAX + 1), "longer than"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_nearest_right_word(tmp_path: Path, text: str, told: str) -> None:
    """Nothing that the file says is passed by in silence."""  # shows: F16
    assert told in refused(tmp_path, text)


def test_all_problems_are_told_at_once_and_many_are_counted(tmp_path: Path) -> None:
    """Who mends one must not meet the next one after it."""
    told = refused(tmp_path, "\n".join(f"wrong{n} = 1" for n in range(30)))
    assert told.count("is not known") == settings.PROBLEMS_MAX
    assert "and 20 more" in told


SECRET = "sk-very-secret-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"[providers.a]\napi='openai'\naddress='http://x'\nkey='{SECRET}'",
        f"[providers.a]\napi='openai'\naddress='http://me:{SECRET}@x'",
        f"[providers.a]\napi='openai'\naddress='http://x?key={SECRET}'",
        f"[providers.a]\napi='openai'\naddress='http://x'\nheaders={{Authorization='{SECRET}'}}",
        f"[workers.a]\nkind='codex'\nenvironment=['OPENAI_API_KEY={SECRET}']",
        f"[workers.a]\nkind='codex'\nrequests='{SECRET}'",
    ],
)
def test_a_secret_written_down_is_refused_and_never_repeated(tmp_path: Path, text: str) -> None:
    """The message goes to screens and logs."""
    assert SECRET not in refused(tmp_path, text)


def test_a_byte_order_mark_and_lines_of_windows_do_no_harm(tmp_path: Path) -> None:
    """Editors put them there."""
    assert settings.read(write(tmp_path, b"\xef\xbb\xbforder = ['builder']\r\n")).order == ("builder",)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A pipe would never end, a folder cannot be read."""
    pipe, folder, gone = tmp_path / "pipe", tmp_path / "folder", tmp_path / "gone"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (pipe, folder, gone):
        with pytest.raises(SettingsWrong, match=str(path)):
            settings.read(path)
    assert settings.read(Path(os.devnull)) == Settings(path=os.devnull)


def test_the_nearest_file_goes_before_those_above_it(tmp_path: Path) -> None:
    """A project can have its own."""
    below = tmp_path / "a" / "b"
    user = tmp_path / "user"
    below.mkdir(parents=True)
    user.mkdir()
    assert settings.find({}, below, user) is None
    write(user, "")
    assert settings.find({}, below, user) == user / settings.FILE
    write(tmp_path, "")
    assert settings.find({}, below, user) == tmp_path / settings.FILE
    write(below, "")
    assert settings.find({}, below, user) == below / settings.FILE
    assert settings.find({"DAYBREAK_CONFIG": "other.toml"}, below, user) == below / "other.toml"
    assert settings.find({"DAYBREAK_CONFIG": ""}, below, user) == below / settings.FILE


def test_a_link_that_leads_nowhere_is_an_error_and_one_that_leads_somewhere_is_followed(tmp_path: Path) -> None:
    """To pass it by would work with another file than the one that was meant."""
    (tmp_path / settings.FILE).symlink_to(tmp_path / "real.toml")
    found = settings.find({}, tmp_path, tmp_path)
    with pytest.raises(SettingsWrong, match="cannot be read"):
        settings.read(found)
    (tmp_path / "real.toml").write_text("order = ['builder']")
    assert settings.read(found).order == ("builder",)


def test_a_file_that_everybody_may_write_is_not_believed_unless_named(tmp_path: Path) -> None:
    """It names programs that will be started."""
    path = write(tmp_path, "")
    path.chmod(0o666)
    with pytest.raises(SettingsWrong, match="everybody"):
        settings.find({}, tmp_path, tmp_path)
    assert settings.find({"DAYBREAK_CONFIG": str(path)}, tmp_path, tmp_path) == path


def test_a_name_that_is_not_known_is_told_with_those_that_are(tmp_path: Path) -> None:
    """For the command line's `--worker`."""
    told = settings.read(write(tmp_path, WHOLE))
    with pytest.raises(SettingsWrong) as caught:
        told.worker("codx")
    assert "did you mean codex?" in caught.value.hint
    with pytest.raises(SettingsWrong) as caught:
        told.provider("locl")
    assert "did you mean local?" in caught.value.hint
    assert told.worker("mine.py:worker").kind == "python"


def test_a_key_comes_from_a_variable_or_the_first_line_of_a_file(tmp_path: Path) -> None:
    """The two ways to name one; no name, no key."""
    file = tmp_path / "key"
    file.write_bytes(b"\xef\xbb\xbfabc\r\nmore\n")
    assert settings.resolve_key("", {}) == ""
    assert settings.resolve_key("env:K", {"K": " abc\n"}) == "abc"
    assert settings.resolve_key(f"file:{file}", {}) == "abc"


@pytest.mark.parametrize("content", [b"", b"  \n", b"a b", b"a\x00b", "schlüssel".encode(), b"\xff\xfe", b"x" * 70_000])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    """A header could not hold it, and a message must not."""
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(KeyUnresolved) as caught:
        settings.resolve_key(f"file:{file}", {})
    assert not content.strip() or content.decode("utf-8", "replace")[:3] not in caught.value.message


def test_a_key_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    """And so is a way of naming that is not known, without repeating what may be the key itself."""
    os.mkfifo(tmp_path / "pipe")
    for text in ("env:K", f"file:{tmp_path}/none", f"file:{tmp_path}/pipe", f"file:{tmp_path}", "env:", "file:"):
        with pytest.raises(KeyUnresolved):
            settings.resolve_key(text, {})
    with pytest.raises(KeyUnresolved) as caught:
        settings.resolve_key(SECRET, {})
    assert SECRET not in str(caught.value.message) + caught.value.hint


_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_sections = st.fixed_dictionaries(
    {},
    optional={
        "order": st.lists(st.sampled_from(["builder", "a", "b", ""]), max_size=3) | _plain,
        "workers": st.dictionaries(
            st.sampled_from(["a", "b", "B!"]),
            st.fixed_dictionaries(
                {"kind": st.sampled_from(["codex", "model", "generic", "x"])},
                optional={key: _plain for key in settings.Worker.model_fields if key != "kind"},
            ),
            max_size=2,
        )
        | _plain,
        "providers": st.dictionaries(st.sampled_from(["p", "q"]), _plain, max_size=2) | _plain,
        "breakers": st.dictionaries(
            st.text(max_size=5),
            st.fixed_dictionaries(
                {}, optional={key: _plain | st.floats() | st.integers() for key in settings.Breaker.model_fields}
            ),
            max_size=2,
        )
        | _plain,
        "memory": _plain,
        "templates": _plain,
    },
)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=_sections)
def test_whatever_a_file_says_it_is_taken_or_refused_in_our_words(told: dict[str, Any]) -> None:
    """No content leads to another error than ours, what is taken names nobody who is not there, and every breaker is a
    rule that can be followed."""
    try:
        taken = settings.checked(told, Path("/x/daybreak.toml"))
    except SettingsWrong:
        return
    assert set(taken.order) <= {"builder", *taken.workers}
    assert all(worker.provider in ("", *taken.providers) for worker in taken.workers.values())
    assert home.rules(taken).keys() == taken.breakers.keys()
