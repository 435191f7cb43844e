"""Photos to sides: what may lie on which side, and what must not lie on both."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from helpers.parameters import Parameters
from helpers.run.manifest import Run
from helpers.stages import split
from helpers.stages.split import BLOCKS, assign
from helpers.storage.location import LocalLocation

SHAFTS = ("", "r_", "r2_")
SCHEMA = pa.schema([(name, pa.string()) for name in ("path", "label", "folder_side", "image_id")])


def photo(path: str, image_id: str = "") -> dict[str, str | None]:
    """A row of the catalogue; equal ``image_id`` are equal bytes."""
    folder, _, _ = path.partition("/")
    return {
        "path": path,
        "label": path.split("/")[-2],
        "folder_side": {"Training": "train", "Test": "test"}.get(folder),
        "image_id": image_id or f"id of {path}",
    }


def table(rows: Iterable[dict[str, str | None]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def film(frames: int, labels: int = 30, start: int = 0) -> pa.Table:
    """Fruits on three shafts, every frame a photo of its own; every third in the test folder."""
    return table(
        photo(f"{'Training' if number % 3 else 'Test'}/fruit {label}/{shaft}{number}_100.jpg")
        for label in range(labels)
        for shaft in SHAFTS
        for number in range(start, start + frames)
    )


def singles(number: int, name: str = "IMG_{}.jpg") -> pa.Table:
    return table(photo(f"fruit/{name.format(each)}") for each in range(number))


def sides(photos: pa.Table, rule: str = "blocked", seed: int = 0) -> dict[str, str]:
    rows = assign(photos, rule, seed).to_pylist()
    assert sorted(row["path"] for row in rows) == sorted(photos["path"].to_pylist())
    return {row["path"]: row["side"] for row in rows}


def shares(drawn: dict[str, str]) -> dict[str, float]:
    return {side: number / len(drawn) for side, number in Counter(drawn.values()).items()}


def turns(drawn: dict[str, str]) -> dict[tuple[str, str], dict[int, str]]:
    """Label and shaft to frame number to side."""
    found: defaultdict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for path, side in drawn.items():
        _, label, name = path.split("/")
        shaft, _, number = name.removesuffix("_100.jpg").rpartition("_")
        found[label, shaft][int(number)] = side
    return found


# Blocked


@pytest.mark.parametrize("frames", [25, 26, 49, 50, 327, 328, 491])
def test_no_test_frame_lies_within_a_gap_of_a_training_frame(frames: int) -> None:
    """A turn is closed: its last frame neighbours its first."""
    gap = frames // BLOCKS
    for turn in turns(sides(film(frames, labels=15))).values():
        numbers = sorted(turn)
        for number in numbers:
            if turn[number] == "test":
                near = {turn[(number + step) % frames] for step in range(-gap, gap + 1)}
                assert "train" not in near


@pytest.mark.parametrize("frames", [25, 100, 328])
def test_the_test_frames_of_a_turn_lie_in_one_row(frames: int) -> None:
    for turn in turns(sides(film(frames, labels=15))).values():
        row = [turn[number] for number in range(frames)]
        assert sum(here != before for here, before in zip(row, [row[-1], *row], strict=False)) == 4


@pytest.mark.parametrize("frames", [50, 327, 490])
def test_blocked_shares_are_a_fifth_and_two_twentyfifths(frames: int) -> None:
    share = shares(sides(film(frames)))
    assert share["test"] == pytest.approx(0.20, abs=0.01)
    assert share["gap"] == pytest.approx(0.08, abs=0.01)
    assert share["train"] == pytest.approx(0.72, abs=0.01)


def test_blocks_begin_at_the_first_frame_there_is() -> None:
    share = shares(sides(film(100, start=200)))
    assert share["test"] == pytest.approx(0.20, abs=0.01)


def test_every_fruit_has_training_and_test_frames() -> None:
    for turn in turns(sides(film(25))).values():
        assert set(turn.values()) == {"train", "test", "gap"}


def test_turns_are_cut_at_different_places() -> None:
    firsts = set()
    for turn in turns(sides(film(100))).values():
        tests = [number for number, side in turn.items() if side == "test"]
        firsts.add((min(tests), max(tests)))
    assert len(firsts) > 15


def test_frames_of_both_folders_are_one_film() -> None:
    folders = defaultdict(set)
    for path, side in sides(film(328, labels=3)).items():
        folders[side].add(path.partition("/")[0])
    assert set(folders) == {"train", "test", "gap"}
    assert all(found == {"Training", "Test"} for found in folders.values())


@pytest.mark.parametrize("name", ["{}_100.jpg", "r_{}_100.jpg", "r0_{}.jpg", "{}.png", "{}.JPEG"])
def test_frame_names_of_both_editions_are_known(name: str) -> None:
    groups = assign(singles(100, name), "blocked", 0)["group"].to_pylist()
    assert len(set(groups)) == BLOCKS


@pytest.mark.parametrize(
    "name", ["IMG_{}.jpg", "{}a.jpg", "2019010{}_123456.jpg", "20190101_12345{}.jpg", "{}-1.jpg"]
)
def test_other_names_are_photos_each_for_itself(name: str) -> None:
    groups = assign(singles(100, name), "blocked", 0)["group"].to_pylist()
    assert len(set(groups)) == 100


@pytest.mark.parametrize("frames", [5, 11, 24])
def test_few_frames_of_a_turn_are_blocked_too(frames: int) -> None:
    """As LIMIT leaves them: no test frame next to a training frame without the gap's angle."""
    whole, every = 330, 330 // frames
    thinned = film(whole, labels=15).to_pylist()[::every]
    apart = whole // BLOCKS - 1
    for turn in turns(sides(table(thinned))).values():
        first, last = min(turn), max(turn)
        span = last - first + 1
        for number, side in turn.items():
            for other in turn if side == "test" else ():
                distance = abs(other - number)
                if turn[other] == "train":
                    assert min(distance, span - distance) > min(apart, span // BLOCKS - 1)
    share = shares(sides(table(thinned)))
    assert share["test"] == pytest.approx(0.2, abs=0.07)


# Random


def test_random_shares_are_four_fifths_and_one() -> None:
    share = shares(sides(singles(5000), "random"))
    assert share["test"] == pytest.approx(0.2, abs=0.02)
    assert share["train"] + share["test"] == 1


def test_one_photo_more_moves_no_other() -> None:
    before, after = sides(singles(100), "random"), sides(singles(101), "random")
    assert after.items() >= before.items()


# Folder


def test_folder_takes_the_side_that_the_path_names() -> None:
    drawn = sides(film(30, labels=2), "folder")
    for path, side in drawn.items():
        assert side == {"Training": "train", "Test": "test"}[path.partition("/")[0]]


def test_folder_names_the_photo_whose_path_names_no_side() -> None:
    photos = pa.concat_tables([film(30, labels=1), singles(1)])
    with pytest.raises(ValueError, match=r"SPLIT='folder'.* got 'fruit/IMG_0\.jpg'"):
        assign(photos, "folder", 0)


# All of them


@pytest.mark.parametrize("rule", ["blocked", "random", "folder"])
def test_all_paths_of_equal_bytes_take_the_side_of_the_first(rule: str) -> None:
    firsts = film(50, labels=2).to_pylist()
    twins = [
        photo(f"{'Training' if number % 2 else 'Test'}/z/{number}_100.jpg", row["image_id"])
        for number, row in enumerate(firsts)
    ]
    rows = sorted(firsts + twins, key=lambda row: row["path"])
    image_ids = {row["path"]: row["image_id"] for row in rows}
    first = {row["image_id"]: row for row in reversed(rows)}
    alone = sides(table(first.values()), rule)
    for path, side in sides(table(rows), rule).items():
        assert side == alone[first[image_ids[path]]["path"]]


@pytest.mark.parametrize("rule", ["blocked", "random", "folder"])
def test_the_order_of_rows_does_not_matter(rule: str) -> None:
    photos = film(30, labels=4)
    shuffled = photos.take(list(range(len(photos)))[::-1])
    assert assign(photos, rule, 3).equals(assign(shuffled, rule, 3))


@pytest.mark.parametrize(
    ("rule", "differs"), [("blocked", True), ("random", True), ("folder", False)]
)
def test_the_seed_draws_another_split_where_there_is_a_draw(rule: str, differs: bool) -> None:
    photos = film(30, labels=4)
    assert (sides(photos, rule, 0) != sides(photos, rule, 1)) is differs


def test_the_draw_is_fixed_for_ever() -> None:
    """A golden draw: another one would move every accuracy ever reported."""
    turn = turns(sides(film(30, labels=1)))["fruit 0", ""]
    assert {number for number, side in turn.items() if side == "test"} == set(range(9, 15))


# Kept


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(LocalLocation(str(tmp_path)))


def kept(run: Run, photos: pa.Table, **parameters: Any) -> tuple[str, pa.Table]:
    return split.split(photos, Parameters(**parameters), run, "run")


def snapshots(run: Run) -> list[str]:
    return run.table("splits").list_folders()


def test_a_split_is_drawn_once_and_read_after(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    name, drawn = kept(run, film(30, labels=2))
    monkeypatch.delattr(split, "assign")
    assert kept(run, film(30, labels=2)) == (name, drawn)
    assert snapshots(run) == [f"{name}-run"]
    assert drawn.column_names == ["path", "image_id", "group", "side"]


def test_rule_seed_and_photos_make_another_split(run: Run) -> None:
    names = {
        kept(run, film(30, labels=2))[0],
        kept(run, film(30, labels=2), SEED=1)[0],
        kept(run, film(30, labels=2), SPLIT="random")[0],
        kept(run, film(31, labels=2))[0],
    }
    assert len(names) == len(snapshots(run)) == 4


def test_every_rule_is_said_to_leak_or_not() -> None:
    assert set(split.LEAKS) == {"blocked", "folder", "random"}
