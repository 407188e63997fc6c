"""What no worker may see, whatever its token says: keys, credentials, the ledger, and their like.

A list of folders, of name patterns and of environment names. Patterns are compared without regard to case and width,
so `.SSH` and `．ssh` are `.ssh`. This is the second lock: the first is that a sandbox does not show these at all and
that a worker's environment is made from nothing.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import lru_cache
from pathlib import Path, PurePath

from daybreak.config import Places
from daybreak.errors import PolicyError

PATH_MAX = 4096


class PathRefused(PolicyError):
    """A path that no question about protection can be answered for: empty, too long, with NUL, not text."""

    code = "P121"


_NAMES = (
    # keys
    *(
        "id_rsa*",
        "id_dsa*",
        "id_ecdsa*",
        "id_ed25519*",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.jks",
    ),
    *(
        "*.keystore",
        "*.kdbx",
        "*.ppk",
        "secring.*",
        "*.agekey",
        "*.tfstate",
        "*.tfstate.backup",
    ),
    # credentials
    *(
        ".env",
        ".env.*",
        "*.env",
        ".envrc",
        ".netrc",
        "_netrc",
        ".pgpass",
        ".my.cnf",
        ".npmrc",
        ".yarnrc.yml",
    ),
    *(
        ".pypirc",
        ".git-credentials",
        ".htpasswd",
        ".vault-token",
        ".s3cfg",
        ".boto",
        ".dockercfg",
        "credentials",
    ),
    *(
        "credentials.json",
        "credentials.db",
        "application_default_credentials.json",
        "service-account*.json",
    ),
    *(
        "service_account*.json",
        "client_secret*.json",
        "secrets.json",
        "secrets.yaml",
        "secrets.yml",
    ),
    *(
        "secrets.toml",
        "*.secret",
        "kubeconfig",
        ".terraformrc",
    ),
    # histories hold what people typed
    *(
        ".bash_history",
        ".zsh_history",
        ".python_history",
        ".psql_history",
        ".mysql_history",
    ),
    *(".node_repl_history",),
    # ours
    *(
        "ledger.db",
        "ledger.db-wal",
        "ledger.db-shm",
        "ledger.key",
        "capability.key",
    ),
)

_FOLDERS = (
    *(
        ".ssh",
        ".gnupg",
        ".aws",
        ".azure",
        ".gcloud",
        ".kube",
        ".docker",
        ".oci",
        ".password-store",
        ".pki",
    ),
    *("keyrings",),
)

_PUBLIC = (
    *(
        "*.pub",
        ".env.example",
        ".env.sample",
        ".env.template",
        ".env.dist",
        "example.env",
        "sample.env",
    ),
    *("cacert.pem",),
)

_UNDER = (
    *(
        "/etc/shadow",
        "/etc/shadow-",
        "/etc/gshadow",
        "/etc/sudoers",
        "/etc/sudoers.d",
        "/etc/ssl/private",
    ),
    *(
        "/etc/ssh",
        "/etc/krb5.keytab",
        "/proc/kcore",
        "/proc/kallsyms",
        "/var/run/docker.sock",
    ),
    *(
        "/run/docker.sock",
        "/run/secrets",
        "/run/credentials",
        "/var/run/secrets",
        "/dev/mem",
        "/dev/kmem",
    ),
)

_ENVIRONMENT = (
    *(
        "*KEY",
        "*KEYS",
        "*_KEY_*",
        "*TOKEN",
        "*TOKENS",
        "*_TOKEN_*",
        "*SECRET",
        "*SECRETS",
        "*_SECRET_*",
    ),
    *(
        "*PASSWORD*",
        "*PASSWD*",
        "*PASSPHRASE*",
        "*_PASS",
        "*_PWD",
        "*CREDENTIAL*",
        "*_PAT",
        "*_AUTH",
        "*_COOKIE",
    ),
    *(
        "*_SESSION_ID",
        "*_DSN",
        "*_WEBHOOK*",
        "*_CONN_STR",
        "*CONNECTION_STRING*",
        "PGPASS*",
        "AWS_*",
        "AZURE_*",
    ),
    *(
        "GOOGLE_APPLICATION_*",
        "GCP_*",
        "SSH_AUTH_SOCK",
        "SSH_AGENT_PID",
        "GPG_AGENT_INFO",
        "KUBECONFIG",
    ),
    *(
        "DOCKER_CONFIG",
        "DOCKER_AUTH_CONFIG",
        "NETRC",
        "NPM_CONFIG_USERCONFIG",
        "DATABASE_URL",
        "*_DATABASE_URL",
    ),
    *(
        "REDIS_URL",
        "MONGO*_URI",
        "AMQP_URL",
        "SENTRY_*",
        "VAULT_*",
        "DAYBREAK_*",
    ),
)

_PROC = re.compile(r"/proc/(self|thread-self|\d+)(/task/\d+)?/(environ|mem|maps|root|cwd|fd|auxv|pagemap)(/.*)?")


@dataclass(frozen=True)
class Protected:
    """What is protected. Frozen; `with_` gives a longer list."""

    under: tuple[str, ...] = _UNDER
    """Absolute paths; everything below them."""
    names: tuple[str, ...] = _NAMES
    """Patterns of file names (`*` and `?`)."""
    folders: tuple[str, ...] = _FOLDERS
    """Folder names; everything below one, wherever it is."""
    public: tuple[str, ...] = _PUBLIC
    """Patterns of file names that are harmless although `names` has them. Not inside `folders` and `under`."""
    environment: tuple[str, ...] = _ENVIRONMENT
    """Patterns of environment names."""
    _cache: dict[str, re.Pattern[str]] = field(default_factory=dict, compare=False, repr=False)

    def with_(
        self,
        *,
        under: Iterable[str | PurePath] = (),
        names: Iterable[str] = (),
        folders: Iterable[str] = (),
        public: Iterable[str] = (),
        environment: Iterable[str] = (),
    ) -> Protected:
        """The same and these as well."""
        return replace(
            self,
            under=(*self.under, *(os.path.abspath(_text(path)) for path in under)),
            names=(*self.names, *names),
            folders=(*self.folders, *folders),
            public=(*self.public, *public),
            environment=(*self.environment, *environment),
            _cache={},
        )

    def guarding(self, places: Places) -> Protected:
        """The same and Daybreak's own folders: ledger, keys, witness, locks."""
        return self.with_(under=[places.ledger, places.keys, places.witness, places.locks])

    def is_protected(self, path: str | PurePath, *, follow: bool = True) -> bool:
        """Does `path`, as it is written or as it resolves, name something protected? Raises PathRefused.

        A relative path is taken from the working directory. `follow` also looks at where symbolic links lead now;
        that can change before the path is opened, so it is help, not a guarantee.
        """
        return self.why(path, follow=follow) is not None

    def why(self, path: str | PurePath, *, follow: bool = False) -> str | None:
        """The rule that protects `path`, in words, or None. Raises PathRefused."""
        text = _text(path)
        looked = [text, os.path.normpath(os.path.join(os.getcwd(), text))]
        if follow:
            looked.append(_resolved(text))
        return next((rule for one in looked if (rule := self._rule(one)) is not None), None)

    def _rule(self, text: str) -> str | None:
        plain = re.sub("/{2,}", "/", _folded(text.replace("\\", "/") if os.name == "nt" else text))
        parts = [part for part in plain.split("/") if part not in ("", ".")]
        for folder in self.under:
            guarded = _folded(folder)
            if plain == guarded or plain.startswith(guarded.rstrip("/") + "/"):
                return f"below {folder}"
        if _PROC.fullmatch(plain):
            return "another process's memory, environment or files"
        for folder in self.folders:
            if _folded(folder) in parts:
                return f"a folder {folder}"
        if not parts or self._matches("public", parts[-1]):
            return None
        return "a name of keys or credentials" if self._matches("names", parts[-1]) else None

    def _matches(self, which: str, name: str) -> bool:
        pattern = self._cache.get(which)
        if pattern is None:
            patterns = getattr(self, which)
            fold = str.upper if which == "environment" else _folded
            joined = "|".join(translate(fold(one)) for one in patterns) or r"(?!)"
            pattern = self._cache[which] = re.compile(joined)
        return pattern.match(name) is not None

    def is_protected_name(self, name: str) -> bool:
        """Is an environment variable of that name protected?"""
        return self._matches("environment", name.upper())

    def scrub_environment(self, environment: Mapping[str, str], *, keep: Iterable[str] = ()) -> dict[str, str]:
        """What is left for a worker: without protected names and without values that look like secrets.

        `keep` names variables that stay whatever they hold: what the token grants as secrets.
        """
        from daybreak.policy.redaction import holds_secret

        kept = frozenset(keep)
        return {
            name: value
            for name, value in environment.items()
            if name in kept or not (self.is_protected_name(name) or holds_secret(value))
        }


DEFAULT = Protected()
"""The list without anything of this machine; the faces add Daybreak's own folders (`guarding`)."""


def is_protected(path: str | PurePath, *, follow: bool = True) -> bool:
    """`DEFAULT.is_protected`."""
    return DEFAULT.is_protected(path, follow=follow)


def scrub_environment(environment: Mapping[str, str], *, keep: Iterable[str] = ()) -> dict[str, str]:
    """`DEFAULT.scrub_environment`."""
    return DEFAULT.scrub_environment(environment, keep=keep)


def _text(path: object) -> str:
    text = str(path) if isinstance(path, PurePath) else path
    if not isinstance(text, str) or not 0 < len(text) <= PATH_MAX or "\0" in text:
        raise PathRefused(
            f"{ascii(text)[:120]} is no path",
            hint=f"pass text of 1 to {PATH_MAX} characters without NUL.",
        )
    return text


def _resolved(text: str) -> str:
    try:
        return str(Path(text).resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, half a surrogate
        raise PathRefused(
            f"{ascii(text)[:120]} cannot be resolved: {type(error).__name__}", hint="pass a path that can be opened."
        ) from None


@lru_cache(maxsize=4096)
def _folded(text: str) -> str:
    """Letters of other width and case as one, and without characters that show nothing."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    if not plain.isascii():
        plain = "".join(letter for letter in plain if unicodedata.category(letter) != "Cf")
    return plain.casefold()
