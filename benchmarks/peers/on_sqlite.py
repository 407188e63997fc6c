"""The disk's own rate: rows of 500 bytes in a bare table, one commit each: `on_sqlite.py FOLDER`.

No engine gets above it that syncs each step alone. Several workflows change nothing: SQLite has one writer.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import apsw
from turns import serve, words

connection = apsw.Connection(str(Path(sys.argv[1]) / "bare.sqlite"))
journal = str(connection.pragma("journal_mode", "wal"))
connection.pragma("synchronous", "full")
connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT")


def run(workflows: int, each: int) -> float:
    began = time.perf_counter()
    for _ in range(workflows * each):
        connection.execute("INSERT INTO row (data) VALUES (?)", (b"x" * 500,))
    return time.perf_counter() - began


serve(words(journal, int(str(connection.pragma("synchronous")))), run)
