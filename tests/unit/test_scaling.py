"""The simulation of scale, the learning world and the pictures: properties, not numbers."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

import anyio
import pytest
from benchmarks import drawing, learning, scaling
from benchmarks.scale.cluster import Cluster, Played, Store
from benchmarks.scale.costs import Costs
from benchmarks.scale.nodes import Size, mean_s

from daybreak.engine import Engine
from daybreak.testing import virtual_time
from daybreak.testing.virtual_time import JumpingClock

COSTS = Costs(
    store="SQLite", event_us=200, commit_us=1_000, commit_ms=2, store_us=40, mirror_us=50, beat_us=9, run_mb=0.03
)
ROOT = Path(__file__).parents[2]


def played(costs: Costs = COSTS, *, seed: int = 1, **size: float) -> Played:
    return Cluster(Size(**{"attempts": 12, "nodes": 4, "rounds": 2.5, **size}), costs, seed).play()  # type: ignore[arg-type]


# -- the cluster


@pytest.mark.parametrize("seed", range(2))
def test_what_vanishing_nodes_take_with_them_is_done_again_and_nothing_twice(seed: int) -> None:
    """Nodes vanish about every hour, in the middle of attempts of eight minutes."""
    found = played(seed=seed, lost_hours=1.0, back_s=120.0)
    assert found.lost > 0
    assert (found.done, found.twice) == (30, 0)


def test_without_losses_every_task_is_one_attempt() -> None:
    found = played(lost_hours=0)
    assert (found.done, found.twice, found.lost, found.collisions) == (30, 0, 0, 0)


def test_the_same_seed_and_costs_give_the_same_night() -> None:
    once, again, other = (played(attempts=4, lost_hours=1.0, seed=seed) for seed in (3, 3, 4))
    assert once == again != other


def test_more_places_are_never_slower() -> None:
    took = [played(attempts=places, nodes=places, rounds=24 / places, lost_hours=0).seconds for places in (4, 8, 24)]
    assert took == sorted(took, reverse=True)


def test_a_dearer_ledger_leaves_places_empty_for_longer() -> None:
    cheap, dear = played(lost_hours=0), played(replace(COSTS, commit_ms=50.0), lost_hours=0)
    assert dear.idle_p50_s > cheap.idle_p50_s + 0.1  # three commits lie between two attempts
    assert dear.done == cheap.done


def test_more_work_than_a_processor_can_do_is_seen_as_a_full_processor_and_empty_places() -> None:
    """The dangerous side of a sizing table: it must be able to say no."""
    slow = replace(COSTS, event_us=40_000.0)
    full = played(slow, attempts=20, nodes=4, median_s=2.0, rounds=4, lost_hours=0)
    idle = played(slow, attempts=20, nodes=4, median_s=600.0, rounds=4, lost_hours=0)
    assert full.cpu > 0.9
    assert idle.cpu < 0.1
    assert full.idle_p50_s > 5 * idle.idle_p50_s


def test_several_coordinators_share_a_queue_and_pay_for_each_others_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.scale.nodes.WORKERS_MAX", 6)
    found = played(lost_hours=0.7)
    assert found.size.coordinators == 2
    assert (found.done, found.twice) == (30, 0)
    dear = played(replace(COSTS, mirror_us=5_000.0), lost_hours=0.7)
    assert dear.cpu_task_us > found.cpu_task_us


def test_coordinators_never_share_a_commit() -> None:
    """Each holds the ledger's lock for a commit of its own; only what waits within one of them is one commit."""
    costs = replace(COSTS, commit_ms=100.0, store_us=0.0)
    clock = JumpingClock()
    ends: list[tuple[int, float]] = []
    store = Store(costs)

    async def commit(who: int, at_s: float) -> None:
        await anyio.sleep(at_s)
        await store.commit(1, who)
        ends.append((who, round(clock.current_time(), 3)))

    async def all_of_them() -> None:
        async with anyio.create_task_group() as group:
            for who, at_s in ((1, 0.0), (1, 0.01), (1, 0.02), (2, 0.03), (2, 0.04)):
                group.start_soon(commit, who, at_s)

    virtual_time.run(1, clock, all_of_them)
    assert sorted(ends) == [(1, 0.1), (1, 0.2), (1, 0.2), (2, 0.3), (2, 0.3)]
    assert (store.commits, store.events, round(store.busy_s, 3)) == (3, 5, 0.3)


def test_a_real_attempts_events_are_charged_to_the_fraction() -> None:
    """Rounded up for each commit, an attempt of 11 events was charged as 12."""
    found = played(replace(COSTS, events_attempt=11.0), lost_hours=0)
    assert found.events == pytest.approx(30 * 11, abs=5)


def test_who_took_what_is_under_way_is_not_asked_with_each_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a thousand workers beside another night that was most of a coordinator's work."""
    asked: list[float] = []
    real = Engine.lost

    def lost(engine: Engine) -> list[str]:
        asked.append(0.0)
        return real(engine)

    monkeypatch.setattr(Engine, "lost", lost)
    monkeypatch.setattr("benchmarks.scale.nodes.WORKERS_MAX", 6)
    found = played(median_s=3.0, lost_hours=0)
    assert found.commits > 60
    assert 2 <= len(asked) <= 2 * (found.seconds / 30 + 3)


def test_the_rows_are_simulated_again_from_costs_that_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SIZES", ((4, 2),))
    kept = {"stores": {"SQLite": {"costs": asdict(COSTS), "sizes": [], "limits": []}}}
    again = scaling.simulated(kept)["stores"]["SQLite"]
    assert [one["attempts"] for one in again["sizes"]] == [4]
    assert again["limits"] == [], "the short form has none"


def test_a_row_of_the_table_names_what_is_full_first() -> None:
    found = played()
    by_ledger = scaling.told_row(COSTS, replace(found, cpu=0.1, store=0.2))
    assert by_ledger["first"] == "the ledger's commits"
    assert by_ledger["shortest_s"] == pytest.approx(0.2 * mean_s(found.size))
    assert scaling.told_row(COSTS, replace(found, cpu=0.3, store=0.2))["first"] == "the coordinator's processor"


# -- learning


def test_memory_costs_less_than_none_and_more_than_to_know_everything() -> None:
    scene = learning.Scene(2, 80)
    spent = {}
    for mode in ("memory", "without", "all-knowing"):
        gone = learning.Night(scene, mode).play()
        assert len(gone) == 80
        assert all(1 <= one.attempts <= learning.ATTEMPTS for one in gone)
        spent[mode] = sum(one.cost for one in gone) / sum(one.solved for one in gone)
    assert spent["all-knowing"] < spent["memory"] < spent["without"]


def test_the_same_world_learns_the_same() -> None:
    once, again = (learning.measured(tasks=20, seeds=1) for _ in range(2))
    assert once == again


def test_luck_is_the_same_whoever_is_asked() -> None:
    """The modes are compared on equal terms: same tasks, same pitfalls, whatever was asked before."""
    one, other = learning.Scene(5, 50), learning.Scene(5, 50)
    assert [one.task(number) for number in range(50)] == [other.task(number) for number in reversed(range(50))][::-1]
    assert one.rates == other.rates


def test_the_best_worker_gets_worse_half_way_and_nobody_else() -> None:
    scene = learning.Scene(1, 100)
    before, after = replace_number(scene.task(3), 49), replace_number(scene.task(3), 50)
    for worker in scene.prices:
        same = scene.rate(worker, before) == scene.rate(worker, after)
        assert same == (worker != scene.best)


def replace_number(task: learning.Task, number: int) -> learning.Task:
    return replace(task, number=number)


# -- pages


def test_a_page_without_a_place_for_figures_is_refused() -> None:
    page = "a\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nb\n"
    assert learning.written(page, "new") == "a\n<!-- figures: begin -->\n\nnew\n\n<!-- figures: end -->\nb\n"
    assert learning.written(learning.written(page, "new"), "new") == learning.written(page, "new")
    with pytest.raises(ValueError, match="no place for figures"):
        learning.written("nothing here", "new")


@pytest.mark.parametrize(("part", "told"), [(learning, learning.table), (scaling, scaling.tables)])
def test_the_pages_say_what_was_recorded(part: object, told: object) -> None:
    recorded, page = part.RECORDED, part.PAGE  # type: ignore[attr-defined]
    if not recorded.exists():
        pytest.skip("nothing is recorded yet")
    text = page.read_text("utf-8")
    assert learning.written(text, told(json.loads(recorded.read_text("utf-8")))) == text  # type: ignore[operator]


# -- pictures


def pictures(folder: Path) -> list[Path]:
    draw = Random(1)
    x = list(range(1_000))
    y = [1 - math.exp(-at / 300) + draw.random() / 50 for at in x]
    band = ([one - 0.1 for one in y], [one + 0.1 for one in y])
    return [
        drawing.lines(
            folder / "lines.svg",
            [drawing.Line("a <b> & 'c'", x, y, *band), drawing.Line("d", x, [0.5] * 1_000)],
            title="Title & <more>",
            text="What it shows: ]]> <script>",
            x="x",
            y="y",
            levels={"aim": 0.9},
            moments={"change": 500},
        ),
        drawing.bars(
            folder / "bars.svg",
            [drawing.Bar("one", 1.5, aim=1.0), drawing.Bar("two", 0.2)],
            title="Bars",
            text="bars",
            x="ratio",
            one="baseline",
        ),
        drawing.trend(
            folder / "trend.svg", ["1", "2", "3"], {"a": [1.0, None, 2.0]}, title="Trend", text="t", y="ratio"
        ),
    ]


def test_pictures_are_the_same_bytes_twice_small_and_say_what_they_are(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, again = pictures(tmp_path / "a"), pictures(tmp_path / "b")
    for one, other in zip(first, again, strict=True):
        told = one.read_bytes()
        assert told == other.read_bytes()
        assert len(told) < drawing.BYTES_MAX
        root = ET.fromstring(told)
        space = "{http://www.w3.org/2000/svg}"
        assert root.get("role") == "img"
        assert root.find(f"{space}title") is not None
        assert root.find(f"{space}desc") is not None
        assert b"<metadata" not in told
        assert b"<script" not in told
    assert ET.fromstring(first[0].read_bytes()).findtext("{http://www.w3.org/2000/svg}title") == "Title & <more>"


def test_colours_can_be_seen_on_light_and_on_dark_pages() -> None:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in (drawing.INK, *drawing.COLOURS):
        assert 1.05 / (light(colour) + 0.05) >= 3, colour
        assert (light(colour) + 0.05) / (light("#1e2129") + 0.05) >= 3, colour


def test_a_picture_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(drawing, "BYTES_MAX", 1_000)
    with pytest.raises(drawing.TooLarge, match="draw fewer"):
        drawing.bars(tmp_path / "much.svg", [drawing.Bar("one", 1.0)], title="t", text="t", x="x")
    assert not (tmp_path / "much.svg").exists()
