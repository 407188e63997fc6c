"""Compiles Python files without running any: `python -I -S parse_python.py TREE`, paths on standard input, one a line.

JSON on standard output: `[{"path", "line", "message"}, ...]`, what does not compile. Runs under the project's own
Python, 3.8 or newer.
"""

import json
import os
import sys
import warnings


def main(tree: str) -> None:
    faults = []
    warnings.simplefilter("ignore")
    for path in sys.stdin.read().split("\n"):
        if not path or os.path.islink(os.path.join(tree, path)):
            continue
        with open(os.path.join(tree, path), "rb") as file:
            source = file.read()
        try:
            compile(source, path, "exec", dont_inherit=True)
        except SyntaxError as error:
            faults.append({"path": path, "line": error.lineno or 0, "message": str(error.msg)})
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            faults.append({"path": path, "line": 0, "message": str(error) or type(error).__name__})
    sys.stdout.write(json.dumps(faults))


if __name__ == "__main__":
    main(sys.argv[1])
