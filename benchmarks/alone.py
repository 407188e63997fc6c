"""One benchmark in a process of its own, so that none measures what another one left behind: memory, patches, caches.

`python -m benchmarks.alone MODULE FILE [quick]` appends a JSON line to FILE for each figure, as soon as it is there, or
one that says why this machine cannot have them.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from benchmarks.figures import Unavailable, line


def run(module: str, path: Path, *, quick: bool) -> None:
    """Raises ValueError where two figures have one name, and whatever the benchmark raises."""
    benchmark = importlib.import_module(module)
    seen = set()
    with path.open("a") as told:
        try:
            for figure in benchmark.take(quick=quick):
                if figure.name in seen:
                    raise ValueError(f"two figures are called {figure.name!r}")
                seen.add(figure.name)
                print(f"  {line(figure)}", flush=True)
                told.write(json.dumps({"figure": figure.told()}) + "\n")
                told.flush()
        except Unavailable as why:
            told.write(json.dumps({"unavailable": str(why)}) + "\n")


if __name__ == "__main__":
    asked, sys.argv = sys.argv[1:], sys.argv[:1]  # no benchmark takes these words for its own
    run(asked[0], Path(asked[1]), quick=asked[2:] == ["quick"])
