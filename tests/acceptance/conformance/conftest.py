"""Products built once for all conformance tests, and a fresh desk for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .product import SERVER_MODULES, SPECS, Desk, Product, Site, Starter, build

Products = Callable[[str], Product]


@pytest.fixture(scope="session")
def starters() -> Iterator[tuple[Starter, Starter]]:
    """One for commands, one for servers."""
    made = Starter(), Starter(*SERVER_MODULES)
    yield made
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory, starters: tuple[Starter, Starter]) -> Products:
    """The product of a specification in `specs/`, built when first asked for."""
    made: dict[str, Product] = {}

    def product(name: str) -> Product:
        if name not in made:
            made[name] = build(SPECS / f"{name}.md", tmp_path_factory.mktemp(name), *starters)
        return made[name]

    return product


@pytest.fixture
def sink(products: Products, tmp_path: Path) -> Desk:
    return products("sink").desk(tmp_path)


@pytest.fixture
def lend_desk(products: Products, tmp_path: Path) -> Desk:
    return products("lend-desk").desk(tmp_path)


@pytest.fixture
def web_shop(products: Products, tmp_path: Path) -> Desk:
    return products("web_shop").desk(tmp_path)


@pytest.fixture
def plain(products: Products, tmp_path: Path) -> Desk:
    return products("plain").desk(tmp_path)


def _site(products: Products, name: str, factory: pytest.TempPathFactory, prefix: str = "") -> Iterator[Site]:
    with products(name).desk(factory.mktemp(f"{name}-site")).serve(prefix) as site:
        yield site


@pytest.fixture(scope="session")
def sink_site(products: Products, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all tests that only need records of their own."""
    yield from _site(products, "sink", tmp_path_factory)


@pytest.fixture(scope="session")
def desk_site(products: Products, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from _site(products, "lend-desk", tmp_path_factory)


@pytest.fixture(scope="session")
def shop_site(products: Products, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from _site(products, "web_shop", tmp_path_factory, "/api/v1")


@pytest.fixture(scope="session")
def origins_site(products: Products, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from _site(products, "origins", tmp_path_factory)
