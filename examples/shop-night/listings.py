"""What the night does: put products up in the shop, each exactly once.

    daybreak add listings.py:publish --arg shop=http://127.0.0.1:8000 --arg first=1 --arg last=5

This is the file to copy. Read `publish` first: it says how the work goes. `put_up` is the one call that must not be
made twice, and `find` is how one learns, after a crash or a lost answer, whether it was.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from daybreak import Absent, Amounts, Context, Found, Retry, spend, step_key, task

WORST = Amounts.parse("0.01usd")
"""The most that a call costs: one cent. So much is set aside before each."""
PATIENCE_S = 2.0


def all_on_sale(result: dict[str, Any]) -> bool:
    """Looks into the shop; what the task says about itself does not count."""
    return all(len(look(result["shop"], "sku", sku)) == 1 for sku in result["listings"])


@task(
    title="publish listings",
    project="shop",
    keys={"shop": 4},  # at most four tasks speak to the shop at once
    retry=Retry(attempts=8, first_s=0.5, most_s=30.0),
    check=all_on_sale,  # without it the result says "not verified"
)
async def publish(ctx: Context, shop: str, first: int, last: int) -> dict[str, Any]:
    """Put up the products from number `first` to number `last`."""
    listings = {}
    for product in await ctx.step("read", read_products, first, last, effect="pure"):
        done = await ctx.step(
            "put up",
            put_up,
            shop,
            product,
            effect="once",  # never twice: the intent is written down first, and `find` is asked when in doubt
            lookup=partial(find, shop),
            breaker="shop",  # when the shop refuses or fails, all tasks leave it alone
            cost=WORST,  # set aside before the call, so that no budget is ever exceeded
        )
        listings[product["sku"]] = done["listing"]
    return {"shop": shop, "listings": listings}


def read_products(first: int, last: int) -> list[dict[str, Any]]:
    """From a file or a database, in real life."""
    numbers = range(first, last + 1)
    return [{"sku": f"MUG-{n:04}", "title": f"Mug number {n}", "price": f"{9 + n % 5}.90"} for n in numbers]


def put_up(shop: str, product: dict[str, Any]) -> Any:
    """The one call that must happen once. Raises whatever goes wrong: Daybreak knows 429 from 500 from silence."""
    headers = {"Idempotency-Key": step_key(), "Content-Type": "application/json"}
    call = Request(f"{shop}/listings", json.dumps(product).encode(), headers)
    try:
        with urlopen(call, timeout=PATIENCE_S) as answer:
            spend(charged(answer.headers))
            return json.load(answer)
    except HTTPError as refusal:
        with refusal:
            spend(charged(refusal.headers))
        raise


def charged(headers: Any) -> Amounts:
    """What the shop says that the call has cost. Where it says nothing at all, the worst case is taken as spent."""
    return Amounts(money_microusd=int(headers.get("X-Charged", 0)))


def find(shop: str, key: str) -> Found | Absent:
    """Was it put up? Asked after every try that did not end well, and after a crash in the middle of one."""
    listing = look(shop, "key", key)
    return Absent() if listing is None else Found(listing)


@Retry(attempts=8, first_s=0.2)
def look(shop: str, name: str, value: str) -> Any:
    """Looking is harmless, so this Retry simply does it again. None where there is nothing."""
    try:
        with urlopen(f"{shop}/listings?{name}={value}", timeout=PATIENCE_S) as answer:
            return json.load(answer)
    except HTTPError as refusal:
        with refusal:
            if refusal.code == 404:
                return None
        raise
