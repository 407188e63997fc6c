"""Durable steps of DBOS: `on_dbos.py FOLDER [wal]` on SQLite, `on_dbos.py FOLDER URL` on Postgres.

A workflow calls a step again and again; each result is committed before the next step begins. As shipped, DBOS leaves
SQLite's rollback journal on; with `wal` the file was put into WAL mode before DBOS opened it (a property of the file,
which DBOS keeps), so that it needs fewer syncs. On Postgres it gets a connection for each workflow that goes on at
once, which is faster than its own default of twenty.
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

URL = sys.argv[2] if len(sys.argv) > 2 and "://" in sys.argv[2] else None

config: DBOSConfig = {"name": "steps", "system_database_url": URL or f"sqlite:///{SOURCE}", "log_level": "ERROR"}
if URL is not None:
    config["sys_db_pool_size"] = 64
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
        if URL is not None:
            names = ("fsync", "synchronous_commit")
            return ", ".join(f"{name}={connection.exec_driver_sql(f'SHOW {name}').scalar_one()}" for name in names)
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    return words(journal, synchronous)


DBOS.launch()
try:
    serve(settings(), run)
finally:
    DBOS.destroy()
