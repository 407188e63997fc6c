"""Parallel requests lose nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from .conftest import Products
from .product import Desk, Site

THREADS = 20


@pytest.fixture
def desk(products: Products, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return products("origins").desk(tmp_path_factory.mktemp("parallel"))


@pytest.fixture
def site(desk: Desk) -> Iterator[Site]:
    with desk.serve() as running:
        yield running


def at_once(site: Site, work: Callable[[httpx.Client, int], httpx.Response], times: int) -> list[httpx.Response]:
    """`times` requests over `THREADS` connections."""
    limits = httpx.Limits(max_connections=THREADS, max_keepalive_connections=THREADS)
    with (
        httpx.Client(base_url=site.root, timeout=60, limits=limits, trust_env=False) as client,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        return list(pool.map(lambda number: work(client, number), range(times)))


def test_parallel_posts_lose_nothing(site: Site):
    """Twenty at a time: every one is there, each with an id of its own."""
    answers = at_once(site, lambda client, number: client.post("/things", json={"name": f"n{number}"}), 100)
    assert Counter(answer.status_code for answer in answers) == {201: 100}
    assert {answer.json()["id"] for answer in answers} == set(range(1, 101))
    assert {record["name"] for record in site.get("/things")} == {f"n{number}" for number in range(100)}


def test_of_parallel_posts_with_one_name_one_wins(site: Site):
    """The others are told that it is used."""
    answers = at_once(site, lambda client, _: client.post("/things", json={"name": "only"}), 40)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 39}
    assert site.post("/things", name="next")["id"] == 2


def test_parallel_additions_all_count(site: Site):
    """An action that adds reads and writes in one."""
    site.post("/things", name="ball")
    answers = at_once(site, lambda client, _: client.post("/things/1/hit"), 60)
    assert {answer.status_code for answer in answers} == {200}
    assert site.get("/things/1")["hits"] == 60


def test_of_parallel_moves_one_wins(site: Site):
    """Nobody takes what another has taken."""
    site.post("/things", name="ball")
    answers = at_once(site, lambda client, _: client.post("/things/1/take"), 40)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 39}


def test_parallel_patches_of_different_fields_are_all_kept(site: Site):
    """No change overwrites another."""
    site.post("/things", name="ball")

    def change(client: httpx.Client, number: int) -> httpx.Response:
        if number % 2:
            return client.post("/things/1/hit")
        return client.patch("/things/1", json={"name": f"ball {number}"})

    answers = at_once(site, change, 60)
    assert {answer.status_code for answer in answers} == {200}
    assert site.get("/things/1")["hits"] == 30


def test_the_command_line_and_the_server_write_at_once(desk: Desk, site: Site):
    """Another process beside twenty threads."""
    product = desk.product
    stems = [desk.folder / f"beside-{number}" for number in range(10)]
    names = {product.variable: str(desk.database)}
    pids = [
        product.start(product.commands, ("thing", "add", "--name", f"cli {number}"), desk.folder, stem, **names)
        for number, stem in enumerate(stems)
    ]
    answers = at_once(site, lambda client, number: client.post("/things", json={"name": f"web {number}"}), 60)
    assert [product.commands.wait(pid) for pid in pids] == [0] * 10
    assert {answer.status_code for answer in answers} == {201}
    assert len(site.get("/things")) == 70
