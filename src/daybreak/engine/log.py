"""What the engine needs of a ledger, in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from daybreak.ledger.record import Draft, Record


class Log(Protocol):
    """Append, read, and look things up. All of it durable before it returns."""

    def append(self, drafts: Sequence[Draft]) -> Sequence[Record]:
        """All or none. Raises LeaseLost for a draft with an epoch that is no longer the stream's."""
        ...

    async def append_async(self, drafts: Sequence[Draft]) -> Sequence[Record]: ...

    async def secure_async(self) -> None:
        """Returns when everything appended so far is kept wherever policy wants it before something is done outside.
        Raises NotReplicated where that takes too long; other errors of the ledger."""
        ...

    def read(self, stream: str, *, after: int = -1) -> Iterator[Record]:
        """Records of a stream with `seq` above `after`, in order."""
        ...

    def epoch(self, stream: str) -> int:
        """0 before the first lease."""
        ...

    def query(self, sql: str, params: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
        """Read the views."""
        ...

    def put_blob(self, data: bytes) -> str:
        """Keep bytes under their SHA-256, which is returned; durable, and the same twice."""
        ...

    async def put_blob_async(self, data: bytes) -> str: ...

    def get_blob(self, name: str) -> bytes: ...


@runtime_checkable
class Forgetting(Protocol):
    """A ledger that knows which subjects were forgotten."""

    def forgotten_subjects(self) -> dict[str, str]:
        """The names of the subjects' keys that were destroyed, each with when."""
        ...
