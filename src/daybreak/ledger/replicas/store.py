"""A replica in whatever fsspec can open: object stores, SFTP, WebDAV. With the extra `replicas`.

Credentials come from where each file system looks for them itself (the environment, its own configuration); nothing
of them is in the name. A store that has said yes is believed: nobody can sync it from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from daybreak.errors import DaybreakError
from daybreak.ledger.replicas.problems import Conflict, ReplicaLost, TargetUnknown

WHOLE = frozenset({"memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "r2"})
"""Protocols where an upload appears whole or not at all. Elsewhere a file is written under another name first."""


class StoreTarget:
    """See `target.Target`."""

    def __init__(self, name: str) -> None:
        """Raises TargetUnknown; reaches nothing yet."""
        self.name = name
        try:
            import fsspec  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError as error:
            raise TargetUnknown(
                f"{name} needs the library fsspec, which is not installed",
                hint="install daybreak[replicas], and what fsspec wants for that protocol (s3fs, gcsfs, …)",
            ) from error
        try:
            found: tuple[Any, str] = fsspec.core.url_to_fs(name, use_listings_cache=False)
        except Exception as error:
            raise TargetUnknown(f"fsspec cannot open {name}: {error}", hint="see what fsspec knows") from error
        self._fs, root = found
        self._root = root.rstrip("/")
        self._whole = name.partition("://")[0] in WHOLE

    def ready(self, *, had: bool, apart: bool) -> bool:
        return True

    def read(self, path: str) -> bytes | None:
        with self._reaching():
            try:
                return bytes(self._fs.cat_file(self._at(path)))
            except FileNotFoundError:
                return None

    def put(self, path: str, data: bytes) -> None:
        present = self.read(path)
        if present is None:
            self.replace(path, data)
        elif present != data:
            raise Conflict(path)

    def replace(self, path: str, data: bytes) -> None:
        place = self._at(path)
        with self._reaching():
            if self._whole:
                self._fs.pipe_file(place, data)
                return
            folder, _, last = place.rpartition("/")
            self._fs.makedirs(folder, exist_ok=True)
            new = f"{folder}/.{last}.daybreak"
            self._fs.pipe_file(new, data)
            self._fs.mv(new, place)

    def drop(self, path: str) -> None:
        with self._reaching():
            if self._fs.exists(self._at(path)):
                self._fs.rm(self._at(path), recursive=True)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (DaybreakError, OSError):
            raise
        except Exception as error:  # each store raises what it likes
            what = f"{self.name}: {type(error).__name__}: {error}"
            raise ReplicaLost(what, hint="see what the store says") from error
