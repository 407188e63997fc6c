"""A replica in a folder: files appear by one rename, synced with their names before anybody is told."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from daybreak.host.durable import make_folder, sync_folder, write_synced
from daybreak.ledger.replicas.problems import Conflict, ReplicaLost


class FolderTarget:
    """See `target.Target`. Files are for their owner alone (0600, folders 0700), as the ledger is."""

    def __init__(self, name: str, root: Path, ledger: Path) -> None:
        self.name = name
        self.root = root
        self._ledger = ledger

    def ready(self, *, had: bool, apart: bool) -> bool:
        if not self.root.is_dir():
            if had or not self.root.parent.is_dir():
                raise ReplicaLost(
                    f"the replica's folder {self.root} is not there",
                    hint="mount its disk, or make the folder: an empty one is filled anew",
                )
            make_folder(self.root)
        apart_now = self.root.stat().st_dev != self._ledger.stat().st_dev
        if had and apart and not apart_now:
            raise ReplicaLost(
                f"{self.root} was on another disk than the ledger, and now it is on the same",
                hint="mount its disk; if it is meant, name another folder in `[replicas] targets`",
            )
        return apart_now

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, path: str, data: bytes) -> None:
        present = self.read(path)
        if present is None:
            self.replace(path, data)
        elif present != data:
            raise Conflict(path)
        else:
            sync_folder((self.root / path).parent)  # whoever wrote it may have died before it did this

    def replace(self, path: str, data: bytes) -> None:
        if not self.root.is_dir():  # taken away meanwhile: not to be made anew on the disk below
            raise ReplicaLost(f"the replica's folder {self.root} is gone", hint="mount its disk again")
        place = self.root / path
        make_folder(place.parent)
        write_synced(place, data)

    def drop(self, path: str) -> None:
        folder = self.root / path
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(folder):
                os.unlink(entry.path)
            folder.rmdir()
