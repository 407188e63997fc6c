"""The example `examples/shop-night`, as people run it: a real shop, real nights, real SIGKILLs.

What counts is the shop's own journal, which is read here by itself once more.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from markdown_it import MarkdownIt
from tests import starter

from daybreak import Retry

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "shop-night"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"shop_night_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


shop_code = _module("shop")
run_code = _module("run")


def whole_night(folder: Path, *words: str, limit_s: float, example: Path = EXAMPLE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(example / "run.py"), "--folder", str(folder), *words],
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def on_sale(folder: Path) -> Counter[str]:
    """SKU → how often it was published, by the shop's journal."""
    lines = [json.loads(line) for line in (folder / "shop.jsonl").read_text().splitlines()]
    return Counter(line["sku"] for line in lines if line["what"] == "published")


def mugs(last: int) -> Counter[str]:
    return Counter(f"MUG-{number:04}" for number in range(1, last + 1))


# -- whole nights


def test_a_night_killed_three_times_publishes_every_listing_exactly_once(tmp_path: Path) -> None:
    """The short form of the night that the idea came from; the shop does not know a repeated call."""
    # shows: N1 N8 N14
    ran = whole_night(tmp_path, "--listings", "16", "--kills", "3", "--batch", "4", "--seed", "1", limit_s=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr + (tmp_path / "night.log").read_text()
    assert on_sale(tmp_path) == mugs(16)
    assert ran.stdout.count("kill ") == 3
    assert (tmp_path / "morning.txt").read_text().startswith("The night ended")


@pytest.mark.chaos
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_long_night_killed_ten_times_publishes_every_listing_exactly_once(tmp_path: Path, seed: int) -> None:
    """200 listings, 40 tasks, one budget, one breaker."""
    # shows: N1 N8 N14
    ran = whole_night(tmp_path, "--listings", "200", "--kills", "10", "--seed", str(seed), limit_s=1100)
    assert ran.returncode == 0, ran.stdout + ran.stderr + (tmp_path / "night.log").read_text()
    assert on_sale(tmp_path) == mugs(200)


def test_a_budget_that_is_too_small_ends_the_night_and_is_not_exceeded(tmp_path: Path) -> None:
    """By the shop's own account, over two lives; what is not done is told as not done."""
    # shows: N1
    words = ["--listings", "12", "--kills", "1", "--batch", "6", "--budget", "0.06usd"]
    ran = whole_night(tmp_path, *words, limit_s=240)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    lines = [json.loads(line) for line in (tmp_path / "shop.jsonl").read_text().splitlines()]
    assert 0 < sum(line["charged"] for line in lines) <= 60_000
    published = on_sale(tmp_path)
    assert published < mugs(12)
    assert "NO  listings in the shop" in ran.stdout
    assert "ok  charged by the shop" in ran.stdout
    assert "budget is used up" in (tmp_path / "night.log").read_text()


@pytest.mark.parametrize(
    ("words", "status"),
    [pytest.param([], 1, marks=pytest.mark.chaos), pytest.param(["--honours-keys"], 0, marks=pytest.mark.chaos)],
    ids=["any shop", "a shop that honours keys"],
)
def test_the_same_night_without_once_publishes_twice_unless_the_shop_helps(
    tmp_path: Path, words: list[str], status: int
) -> None:
    """So it is `once` with its lookup that keeps the promise, and nothing else in the example."""
    # shows: N8
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    source = (folder / "listings.py").read_text()
    changed = source.replace('effect="once"', 'effect="idempotent"').replace("lookup=partial(find, shop),", "")
    assert changed.count("\n") == source.count("\n")
    assert "lookup=" not in changed
    (folder / "listings.py").write_text(changed)
    told = ["--listings", "12", "--kills", "0", "--batch", "3", *words]
    ran = whole_night(tmp_path / "night", *told, limit_s=240, example=folder)
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert (max(on_sale(tmp_path / "night").values()) > 1) == (status == 1)


# -- the shop, and whether the count would notice


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """Address and server of a shop in this process."""
    server = shop_code.Server(shop_code.Shop(tmp_path / "shop.jsonl", seed=1, honours_keys=False))
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def put_up(address: str, number: int, key: str = "key") -> Any:
    call = Request(f"{address}/listings", json.dumps({"sku": f"MUG-{number:04}"}).encode(), {"Idempotency-Key": key})
    with urlopen(call, timeout=5) as answer:
        return json.load(answer)


def scripted(server: Any, *fates: str) -> None:
    server.shop._fates = iter(fates)


def test_trying_again_blindly_publishes_twice_and_the_count_says_so(tmp_path: Path, opened: tuple[str, Any]) -> None:
    """Without intent and lookup this shop gets doubles: the night is no easy one, and the audit is not blind."""
    # shows: N8
    address, server = opened
    scripted(server, "taken and cut", "fine")
    Retry(attempts=3, first_s=0)(put_up)(address, 1)
    assert on_sale(tmp_path) == Counter({"MUG-0001": 2})
    assert run_code.Books.read(tmp_path / "shop.jsonl").published["MUG-0001"] == 2


def test_a_shop_that_honours_keys_takes_the_same_call_once(tmp_path: Path) -> None:
    """And takes money for it once."""
    with closing(shop_code.Shop(tmp_path / "shop.jsonl", seed=1, honours_keys=True)) as shop:
        shop._fates = iter(["taken and cut", "fine"])
        first, again = shop.publish("key", {"sku": "MUG-0001"}), shop.publish("key", {"sku": "MUG-0001"})
        assert (first.status, again.status) == (201, 200)
        assert first.body == again.body
        assert shop.account().body["charged_microusd"] == int(first.headers["X-Charged"])
    assert on_sale(tmp_path) == mugs(1)


def test_a_look_waits_for_every_call_that_came_before_it(opened: tuple[str, Any]) -> None:
    """So that "there is none" cannot be overtaken by a call of a process that is dead by now."""
    # shows: N8
    address, server = opened
    scripted(server, "fine")
    body = json.dumps({"sku": "MUG-0001"}).encode()
    slow = socket.create_connection(("127.0.0.1", server.server_port))
    slow.sendall(b"POST /listings HTTP/1.0\r\nIdempotency-Key: key\r\nContent-Length: %d\r\n\r\n" % len(body))
    found: list[Any] = []

    def look() -> None:
        with urlopen(f"{address}/listings?key=key", timeout=20) as answer:
            found.append(json.load(answer))

    looking = threading.Thread(target=look)
    looking.start()
    looking.join(0.3)
    assert looking.is_alive()
    slow.sendall(body)
    looking.join(20)
    slow.close()
    assert found == [{"listing": 1, "sku": "MUG-0001", "key": "key"}]


def test_a_caller_that_died_while_sending_publishes_nothing(tmp_path: Path, opened: tuple[str, Any]) -> None:
    """Half a listing is none, and looks go on being answered."""
    address, server = opened
    scripted(server)
    dying = socket.create_connection(("127.0.0.1", server.server_port))
    dying.sendall(b'POST /listings HTTP/1.0\r\nIdempotency-Key: key\r\nContent-Length: 99\r\n\r\n{"sku": "MU')
    dying.close()
    with pytest.raises(HTTPError, match="404") as caught, urlopen(f"{address}/listings?key=key", timeout=5):
        pass
    caught.value.close()
    assert on_sale(tmp_path) == Counter()


@pytest.mark.parametrize(
    ("fate", "status", "kept"),
    [("error", 500, "error"), ("quota", 429, "refused"), ("taken and cut", None, "published")],
)
def test_what_goes_wrong_stands_in_the_journal(
    tmp_path: Path, opened: tuple[str, Any], fate: str, status: int | None, kept: str
) -> None:
    """Each sort of trouble as whoever calls sees it, and as the shop has it."""
    address, server = opened
    scripted(server, fate)
    with pytest.raises((HTTPError, URLError, ConnectionError)) as caught:
        put_up(address, 1)
    assert getattr(caught.value, "code", None) == status
    if isinstance(caught.value, HTTPError):
        assert (fate == "quota") == ("Retry-After" in caught.value.headers)
        caught.value.close()
    [line] = [json.loads(line) for line in (tmp_path / "shop.jsonl").read_text().splitlines()]
    assert line["what"] == kept
    assert (line["charged"] == 0) == (fate == "quota")


def test_a_shop_that_is_opened_again_has_its_books(tmp_path: Path) -> None:
    """They are its journal, and nothing else."""
    books = []
    with closing(shop_code.Shop(tmp_path / "shop.jsonl", seed=1, honours_keys=False)) as shop:
        shop._fates = iter(["fine", "error", "fine"])
        for number in range(3):
            shop.publish(f"key {number}", {"sku": f"MUG-{number}"})
        books.append((shop.account().body, shop.look("key", "key 2").body))
    with closing(shop_code.Shop(tmp_path / "shop.jsonl", seed=1, honours_keys=False)) as shop:
        books.append((shop.account().body, shop.look("key", "key 2").body))
    assert books[0] == books[1]
    assert books[0][1]["sku"] == "MUG-2"


def test_the_same_seed_makes_the_same_trouble() -> None:
    """And another seed makes another."""
    some = [[fate for fate, _ in zip(shop_code.fates(seed), range(200), strict=False)] for seed in (1, 1, 2)]
    assert some[0] == some[1] != some[2]
    assert {"error", "hang", "taken and hangs", "taken and cut", "quota", "fine"} == set(some[0])


# -- the pages


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(one.info, one.content) for one in MarkdownIt().parse(page.read_text("utf-8")) if one.type == "fence"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """Its commands run in order, as a newcomer types them, and print what the page says."""
    # shows: N1 N8
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    port = str(free_port())
    environment = {**os.environ, "PATH": f"{starter.programs(tmp_path / 'bin')}:{os.environ['PATH']}", "COLUMNS": "120"}
    real = {**environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shop: subprocess.Popen[str] | None = None
    exports, ran = "", 0
    try:
        for kind, text in blocks(ROOT / "docs" / "tutorial" / "first-night.md"):
            text = text.replace("8700", port)
            if kind == "sh":
                words = ["sh", "-c", text.replace("\npython", "\nexec python")]
                shop = subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
                assert shop.stdout is not None
                assert shop.stdout.readline() == f"http://127.0.0.1:{port}\n"
                continue
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, expected = part.partition("\n")
                if command.startswith((".", "export")):
                    exports += f"{command}\n" if command.startswith("export") else ""
                    continue
                around = real if "kill" in command else environment
                _check_command(exports, command, expected, tmp_path, around)
                ran += 1
    finally:
        if shop is not None:
            shop.kill()
            shop.communicate()
    assert ran >= 12


def _check_command(exports: str, command: str, expected: str, folder: Path, environment: dict[str, str]) -> None:
    with (folder / "printed").open("w+") as printed:
        words = ["sh", "-c", f"{exports}{command}"]
        subprocess.run(words, cwd=folder, env=environment, stdout=printed, stderr=printed, timeout=120, check=False)
        printed.seek(0)
        told = printed.read()
    pattern = r"\n".join(_pattern(line) for line in expected.splitlines())
    assert re.fullmatch(pattern + r"\s*", told, re.DOTALL), (command, told)


def _pattern(line: str) -> str:
    """Of a line, or of any number of lines where it begins or ends with dots."""
    return re.escape(line).replace(r"\.\.\.", ".*").replace(r"\ ", " +")


def test_the_excerpt_in_the_readme_stands_in_the_code() -> None:
    """What people read first is what runs."""
    code = re.sub(r"\s+", " ", (EXAMPLE / "listings.py").read_text())
    excerpts = [text for kind, text in blocks(EXAMPLE / "README.md") if kind == "python"]
    assert excerpts
    for text in excerpts:
        assert re.sub(r"\s+", " ", text).strip() in code
