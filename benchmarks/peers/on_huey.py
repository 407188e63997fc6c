"""Durable tasks of huey on SQLite with fsync=True: `on_huey.py FOLDER [THREADS]`.

A step is a task: queued, taken, done, its result stored; it then queues the next of its workflow. (A pipeline made
with `then` carries all later tasks inside each one, which grows with the square of its length.) The loop is that of
huey's own worker without its waiting. Threads share one connection, as huey has it.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from huey import SqliteHuey
from turns import serve, words

THREADS = int(sys.argv[2]) if len(sys.argv) > 2 else 1

huey = SqliteHuey("steps", filename=str(Path(sys.argv[1]) / "huey.sqlite"), fsync=True)


@huey.task()
def step(number: int, each: int) -> dict[str, int]:
    if number + 1 < each:
        step(number + 1, each)
    return {"number": number}


def work(left: list[int], gate: threading.Lock) -> None:
    while left[0] > 0:
        task = huey.dequeue()
        if task is not None:
            huey.execute(task)
            with gate:
                left[0] -= 1


def run(workflows: int, each: int) -> float:
    left, gate = [workflows * each], threading.Lock()
    began = time.perf_counter()
    for _ in range(workflows):
        step(0, each)
    workers = [threading.Thread(target=work, args=(left, gate)) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - began
    if huey.storage.result_store_size() != workflows * each:
        sys.exit("huey has not stored every result")
    huey.storage.flush_results()
    return seconds


((journal,),) = huey.storage.sql("PRAGMA journal_mode", results=True)
((synchronous,),) = huey.storage.sql("PRAGMA synchronous", results=True)
serve(words(journal, synchronous), run)
