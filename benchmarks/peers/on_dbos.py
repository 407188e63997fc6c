"""Durable steps of DBOS on SQLite: `on_dbos.py FOLDER [wal]`.

A workflow calls a step again and again; each result is committed before the next step begins. As shipped, DBOS leaves
SQLite's rollback journal on; with `wal` the file was put into WAL mode before DBOS opened it (a property of the file,
which DBOS keeps), so that it needs fewer syncs.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from pathlib import Path

from dbos import DBOS, DBOSConfig
from turns import serve, words

SOURCE = Path(sys.argv[1]) / "dbos.sqlite"

if "wal" in sys.argv[2:]:
    with sqlite3.connect(SOURCE) as file:
        file.execute("PRAGMA journal_mode = WAL")

config: DBOSConfig = {"name": "steps", "system_database_url": f"sqlite:///{SOURCE}", "log_level": "ERROR"}
DBOS(config=config)


@DBOS.step()
def step(number: int) -> dict[str, int]:
    return {"number": number}


@DBOS.workflow()
def workflow(each: int) -> int:
    for number in range(each):
        step(number)
    return each


def run(workflows: int, each: int) -> float:
    began = time.perf_counter()
    if workflows == 1:
        workflow(each)
    else:
        for handle in [DBOS.start_workflow(workflow, each) for _ in range(workflows)]:
            handle.get_result()
    return time.perf_counter() - began


def settings() -> str:
    """As DBOS's own connections have them."""
    from dbos._dbos import _get_dbos_instance

    with _get_dbos_instance()._sys_db.engine.connect() as connection:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    return words(journal, synchronous)


DBOS.launch()
try:
    serve(settings(), run)
finally:
    DBOS.destroy()
