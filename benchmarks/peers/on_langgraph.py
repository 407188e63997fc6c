"""Durable steps of LangGraph with its SQLite saver and durability="sync": `on_langgraph.py FOLDER`.

A graph whose node loops; each checkpoint is written before the next step starts. The saver sets WAL; synchronous
stays at SQLite's FULL.
"""

from __future__ import annotations

import sqlite3
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from turns import serve, words


class State(TypedDict):
    number: int
    each: int


def node(state: State) -> dict[str, int]:
    return {"number": state["number"] + 1}


def following(state: State) -> str:
    return "node" if state["number"] < state["each"] else END


graph = StateGraph(State)
graph.add_node("node", node)
graph.add_edge(START, "node")
graph.add_conditional_edges("node", following, ["node", END])
connection = sqlite3.connect(Path(sys.argv[1]) / "langgraph.sqlite", check_same_thread=False)
saver = SqliteSaver(connection)
saver.setup()
app = graph.compile(checkpointer=saver)


def workflow(each: int) -> None:
    config = {"configurable": {"thread_id": uuid.uuid4().hex}, "recursion_limit": each + 10}
    result = app.invoke({"number": 0, "each": each}, config, durability="sync")
    assert result["number"] == each, result


def run(workflows: int, each: int) -> float:
    began = time.perf_counter()
    if workflows == 1:
        workflow(each)
    else:
        with ThreadPoolExecutor(workflows) as pool:
            list(pool.map(workflow, [each] * workflows))
    return time.perf_counter() - began


((journal,),) = connection.execute("PRAGMA journal_mode").fetchall()
((synchronous,),) = connection.execute("PRAGMA synchronous").fetchall()
serve(words(journal, synchronous), run)
