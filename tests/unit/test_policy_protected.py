"""What no worker may see: paths, environment names, and secrets in text."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak.config import Places
from daybreak.errors import DaybreakError
from daybreak.policy.protected import DEFAULT, PathRefused, Protected, is_protected, scrub_environment
from daybreak.policy.redaction import entropy_bits, holds_secret, redact


@pytest.mark.parametrize(
    "path",
    [
        "/home/anna/.ssh/id_rsa",
        "/home/anna/.ssh/config",
        "/home/anna/.ssh",
        ".env",
        "./sub/../.env",
        "src/.env.production",
        "deploy/prod.env",
        "/home/anna/.aws/credentials",
        "/home/anna/.AWS/Credentials",
        "/root/.netrc",
        "/etc/shadow",
        "/etc//shadow",
        "/etc/./shadow",
        "/var/../etc/shadow",
        "/proc/self/environ",
        "/proc/1/mem",
        "/proc/4711/task/4711/environ",
        "/proc/self/root/etc/passwd",
        "/x/server.PEM",
        "/x/tls.key",
        "/x/．ssh/config",
        "/x/.s\u200bsh/config",
        "/x/service-account-prod.json",
        "/run/secrets/db",
        "/x/.git-credentials",
        "/x/capability.key",
        "/x/ledger.db-wal",
        "/var/run/docker.sock",
        "/x/.bash_history",
        "/x/.ssh/known.pub",
    ],
)
def test_keys_and_credentials_are_protected(path: str) -> None:
    """In any spelling that the system might open."""
    # shows: N9
    assert is_protected(path)
    assert DEFAULT.why(path)


@pytest.mark.parametrize(
    "path",
    [
        "/ws/src/main.py",
        "/ws/.env.example",
        "/ws/docs/environment.md",
        "/ws/key.py",
        "/ws/keys.py",
        "/ws/monkey.txt",
        "/ws/sshd.py",
        "/ws/credentials.py",
        "/ws/secrets.py",
        "/ws/server.pub",
        "/ws/.gitignore",
        "/etc/passwd",
        "/proc/cpuinfo",
        "/proc/self/status",
        "/etc/shadowy",
        "/ws/tests/test_ledger.py",
    ],
)
def test_ordinary_files_are_not_protected(path: str) -> None:
    """A list that stops honest work is switched off."""
    assert not is_protected(path)


def test_a_link_to_something_protected_is_protected(tmp_path: Path) -> None:
    """Where it leads now is looked at as well."""
    # shows: N9
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "notes.txt").symlink_to(tmp_path / ".ssh" / "id_rsa")
    assert is_protected(tmp_path / "notes.txt")
    assert not is_protected(tmp_path / "notes.txt", follow=False)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with contextlib.suppress(PathRefused):  # some systems resolve a loop to itself
        is_protected(tmp_path / "loop")


def test_our_own_folders_are_protected_once_they_are_known(tmp_path: Path) -> None:
    """Ledger, keys, witness and locks; not the workspaces."""
    # shows: N9
    places = Places.below(tmp_path, "a test")
    guarded = DEFAULT.guarding(places)
    for folder in (places.ledger, places.keys, places.witness, places.locks):
        assert guarded.is_protected(folder / "anything")
    assert not guarded.is_protected(places.workspaces / "run-1" / "main.py")
    assert not DEFAULT.is_protected(places.ledger / "anything")


def test_the_list_can_be_longer() -> None:
    """By folders, names, exceptions and environment names."""
    longer = Protected().with_(
        under=["/srv/private"], names=["*.sqlite"], folders=["vault"], public=["test.pem"], environment=["SHOP_*"]
    )
    assert longer.is_protected("/srv/private/a")
    assert longer.is_protected("/ws/a.sqlite")
    assert longer.is_protected("/ws/vault/a")
    assert not longer.is_protected("/ws/test.pem")
    assert longer.is_protected_name("shop_id")
    assert not DEFAULT.is_protected("/srv/private/a")


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.just("x" * 5000),
        st.just("a\0b"),
        st.just("\ud800"),
        st.binary(),
        st.none(),
        st.integers(),
    )
)
def test_any_path_is_answered_or_refused(path: object) -> None:
    """Hostile arguments give a typed error with a hint."""
    # shows: P8
    answer, code = None, ""
    try:
        answer = is_protected(path)  # type: ignore[arg-type]
    except DaybreakError as error:
        code = error.code
    assert answer in (True, False) or code == "P121"


# -- environment


@pytest.mark.parametrize(
    "name",
    [
        *("OPENAI_API_KEY", "api_key", "GITHUB_TOKEN", "DB_PASSWORD", "PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_REGION"),
        *(
            "CLIENT_SECRET",
            "MY_SECRETS",
            "SSH_AUTH_SOCK",
            "DATABASE_URL",
            "SENTRY_DSN",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ),
        *("DAYBREAK_HOME", "SMTP_PASS", "GH_PAT", "KUBECONFIG", "SIGNING_KEY_PATH", "VAULT_ADDR"),
    ],
)
def test_names_of_secrets_are_scrubbed(name: str) -> None:
    """Whatever the value and the case."""
    # shows: N9
    assert scrub_environment({name: "x", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_ordinary_names_stay() -> None:
    """A program needs them."""
    ordinary = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/home/anna",
        "LANG": "de_DE.UTF-8",
        "TERM": "xterm",
        "PYTHONPATH": "src",
        "TZ": "Europe/Berlin",
        "KEYBOARD": "de",
        "PWD": "/ws",
        "OLDPWD": "/",
        "CI": "true",
        "HTTP_PROXY": "http://proxy.example:3128",
    }
    assert scrub_environment(ordinary) == ordinary


def test_values_that_are_secrets_are_scrubbed_too() -> None:
    """Under an innocent name."""
    environment = {
        "NOTE": "ghp_" + "a1B2" * 9,
        "REMOTE": "https://anna:s3cr3t-w0rd@git.acme.test/x.git",
        "FINE": "https://git.acme.test/x.git",
    }
    assert scrub_environment(environment) == {"FINE": "https://git.acme.test/x.git"}


def test_what_is_granted_is_kept() -> None:
    """By name, and only that."""
    environment = {"API_KEY": "ghp_" + "a1B2" * 9, "OTHER_KEY": "x"}
    assert list(scrub_environment(environment, keep=["API_KEY"])) == ["API_KEY"]


# -- redaction

_RANDOM = "q9Zx7LmP2vKc8RtB4nWs6YdH1gJf3TaE5uQoXiVe"
SECRETS = {
    "aws key id": "AKIA" + "QZ7XW2LM5PKRTBNA",
    "github token": "ghp_" + _RANDOM[:36],
    "gitlab token": "glpat-" + _RANDOM[:20],
    "slack token": "xoxb-" + "812345678901-" + _RANDOM[:24],
    "stripe key": "sk_live_" + _RANDOM[:24],
    "anthropic key": "sk-ant-api03-" + _RANDOM,
    "openai key": "sk-proj-" + _RANDOM,
    "google key": "AIza" + _RANDOM[:35],
    "npm token": "npm_" + _RANDOM[:36],
    "hugging face token": "hf_" + _RANDOM[:34],
    "vault token": "hvs." + _RANDOM[:24],
    "telegram token": "712345689:AA" + _RANDOM[:33],
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0." + _RANDOM,
    "capability token": "dbt1." + _RANDOM * 3,
    "capability key": "ed25519-private/" + "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "note key": "PRIVATE+KEY+daybreak.local/ledger+8ab1+" + _RANDOM,
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----\n" + _RANDOM + "\n-----END OPENSSH PRIVATE KEY-----",
}


@pytest.mark.parametrize("kind", sorted(SECRETS))
@pytest.mark.parametrize("around", ["{}", "key is {} ok", "a={};b", '{{"v": "{}"}}', "line\n{}\nline", "old_{}", "ä{}"])
def test_secrets_of_known_shapes_are_taken_out(kind: str, around: str) -> None:
    """Wherever they stand; the text around them stays."""
    # shows: N9
    secret = SECRETS[kind]
    redacted = redact(around.format(secret))
    assert redacted.text == around.format(f"[redacted {kind}]")
    assert redacted.kinds == (kind,)
    assert redact(redacted.text) == (redacted.text, ())


@pytest.mark.parametrize("paint", ["\x1b[31m{}\x1b[0m", "say \x1b[1;38;5;196m{}", "\x9b31m{}", "{0:.5}\x1b[0m{1}"])
@pytest.mark.parametrize("kind", SECRETS)
def test_colours_hide_no_secret(kind: str, paint: str) -> None:
    """A sequence for the terminal ends with a letter, or stands in the middle, as where a search was highlighted."""
    # shows: N9
    secret = SECRETS[kind]
    redacted = redact(paint.format(secret, secret[5:]) if "{1}" in paint else paint.format(secret))
    assert redacted.kinds == (kind,)
    assert redacted.text == ("say " if "say" in paint else "") + f"[redacted {kind}]"
    assert redact(redacted.text) == (redacted.text, ())


def test_colours_stay_where_there_is_no_secret() -> None:
    """Nothing is changed for nothing."""
    text = "\x1b[32mok\x1b[0m 3 passed\x00, commit \x1b[33m9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
    assert redact(text) == (text, ())


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("\x1b[1mpassword\x1b[0m=\x1b[31mtr0ub4dor&3x\x1b[0m", "tr0ub4dor"),
        ("password = 'tr0ub4dor&3'", "tr0ub4dor"),
        ('{"client_secret": "Zk2+9vLqPw8sXr4t"}', "Zk2+9"),
        ("DB_PASSWORD=x9K!vv2Lp0qw", "x9K!"),
        ("api-key: 4f9d2c7b8a1e6f3d5c0b", "4f9d2c"),
        ("Authorization: Bearer q9Zx7LmP2vKc8RtB4n", "q9Zx7"),
        ("curl -H 'authorization: Basic YW5uYTpzM2NyM3Q='", "YW5uYTpz"),
        ("postgres://shop:p4ssw0rd!@db.acme.test:5432/shop", "p4ssw0rd"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + "x" * 50, "MIIEow"),
    ],
)
def test_secrets_beside_a_telling_name_are_taken_out(text: str, gone: str) -> None:
    """Where the value is random enough; also a key whose end is missing."""
    # shows: N9
    assert gone not in redact(text).text


@pytest.mark.parametrize(
    "text",
    [
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "id 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "password: string",
        "password = getpass()",
        'password = os.environ["DB_PASSWORD"]',
        "token = parser.next_token()",
        "token: <your-token>",
        "API_KEY=changeme",
        "secret_key = settings.SECRET_KEY",
        "Enter your password: ",
        "the secret: patience and practice",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "https://user:password@example.com/",
        "https://acme.test:8443/a@b",
        "tokens: 1200 of 4096",
        "token_count = total_token_count_2",
        "sk-learn-style-names-are-not-secret-keys-at-all",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
        "password_file: /run/secrets/db",
        "AUTHORIZATION: required",
        "bearer of good news",
        "passwords must have 12 characters",
        'secret="${DB_SECRET}"',
        "run-0k3x9q2w step build done in 312 ms",
    ],
)
def test_ordinary_text_is_not_redacted(text: str) -> None:
    """A log full of false alarms is not read."""
    assert redact(text) == (text, ())
    assert not holds_secret(text)


def test_our_own_source_has_few_false_alarms() -> None:
    """Thousands of lines that hold no secret."""
    root = Path(__file__).parents[2] / "src" / "daybreak"
    files = sorted(root.rglob("*.py"))
    alarms = [(path.name, kind) for path in files for kind in redact(path.read_text("utf-8")).kinds]
    assert len(files) > 50
    assert alarms == []


@pytest.mark.parametrize(
    "piece",
    [
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "eyJ-",
        "eyJa.eyJa",
        "password=",
        "sk-",
        "a://b:",
        "bearer ",
        "dbt1.",
        "token: '",
        "\x1b[0",
        "\x1b[0;1mkey",
        "x",
    ],
)
def test_redaction_does_not_hang_on_what_repeats(piece: str) -> None:
    """Every quantifier is bounded: a pattern that backtracks would not end within the time limit of the tests."""
    redact(piece * (200_000 // len(piece)))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_redacting_twice_changes_nothing(text: str) -> None:
    """And it never fails."""
    once = redact(text).text
    assert redact(once).text == once


def test_entropy_tells_random_from_plain() -> None:
    """Bits for each character."""
    assert entropy_bits("") == 0.0
    assert entropy_bits("aaaa") == 0.0
    assert entropy_bits("aaaaaaab") < 1.0 < 4.0 < entropy_bits(_RANDOM)
