"""The split: which photos may lie on which side, and which must not lie on both."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from helpers.parameters import Parameters
from helpers.run import plan, schemas
from helpers.run.manifest import FEATURIZE
from helpers.run.planner import Planner
from helpers.run.results import SIDES
from helpers.stages.split import BLOCKS, LEAKS, assign_sides, split_photos
from helpers.stages.stage import run_stage
from helpers.storage.location import Location, locate
from helpers.storage.parquet import read_parquet, write_parquet

SHAFTS = ("", "r_", "r2_")
SCHEMA = pa.schema([(name, pa.string()) for name in ("path", "label", "folder_side", "image_id")])


def make_row(path: str, image_id: str = "") -> dict[str, str | None]:
    """Make a row of the catalog; equal values of ``image_id`` mean equal bytes."""
    folder, _, _ = path.partition("/")
    return {
        "path": path,
        "label": path.split("/")[-2],
        "folder_side": {"Training": "train", "Test": "test"}.get(folder),
        "image_id": image_id or hashlib.sha256(path.encode()).hexdigest(),
    }


def tabulate(rows: Iterable[dict[str, str | None]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def film_fruits(frames: int, labels: int = 30, start: int = 0) -> pa.Table:
    """Film fruits on three shafts: all frames differ, and every third is in the test folder."""
    return tabulate(
        make_row(f"{'Training' if number % 3 else 'Test'}/fruit {label}/{shaft}{number}_100.jpg")
        for label in range(labels)
        for shaft in SHAFTS
        for number in range(start, start + frames)
    )


def make_singles(number: int, name: str = "IMG_{}.jpg") -> pa.Table:
    return tabulate(make_row(f"fruit/{name.format(each)}") for each in range(number))


def plan_photos(planner: Planner, photos: pa.Table) -> None:
    """Load decoded photos; the planner's rows come in their order."""
    rank = np.argsort(np.argsort(np.array(photos["path"].to_pylist(), object)))
    rows = photos.append_column("photo", pa.array(rank)).append_column(
        "position", pa.array(np.arange(len(photos)))
    )
    columns = [("photo", pa.int64()), *((name, pa.string()) for name in SCHEMA.names[:3])]
    planner.load("images", pa.schema(columns), [rows])
    columns = [("photo", pa.int64()), ("image_id", pa.string()), ("position", pa.int64())]
    planner.load("decoded", pa.schema(columns), [rows])
    plan.find_distinct(planner)


def assign(photos: pa.Table, rule: str, seed: int) -> pa.Table:
    """Draw the sides; return the rows sorted by path."""
    with Planner() as planner:
        plan_photos(planner, photos)
        assign_sides(planner, rule, seed)
        return planner.read(
            'SELECT i.path, lower(hex(a.image_id)) AS image_id, a.block AS "group", a.side '
            "FROM assigned AS a JOIN images AS i ON i.photo = a.photo ORDER BY i.path"
        )


def draw_sides(photos: pa.Table, rule: str = "blocked", seed: int = 0) -> dict[str, str]:
    rows = assign(photos, rule, seed).to_pylist()
    assert sorted(row["path"] for row in rows) == sorted(photos["path"].to_pylist())
    return {row["path"]: row["side"] for row in rows}


def measure_shares(drawn: dict[str, str]) -> dict[str, float]:
    return {side: number / len(drawn) for side, number in Counter(drawn.values()).items()}


def group_turns(drawn: dict[str, str]) -> dict[tuple[str, str], dict[int, str]]:
    """Map label and shaft to the side of each frame number."""
    found: defaultdict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for path, side in drawn.items():
        _, label, name = path.split("/")
        shaft, _, number = name.removesuffix("_100.jpg").rpartition("_")
        found[label, shaft][int(number)] = side
    return found


# Blocked


@pytest.mark.parametrize("frames", [25, 26, 49, 50, 327, 328, 491])
def test_no_test_frame_lies_within_a_gap_of_a_training_frame(frames: int) -> None:
    """A turn is closed: its last frame neighbors its first."""
    gap = frames // BLOCKS
    for turn in group_turns(draw_sides(film_fruits(frames, labels=15))).values():
        numbers = sorted(turn)
        for number in numbers:
            if turn[number] == "test":
                near = {turn[(number + step) % frames] for step in range(-gap, gap + 1)}
                assert "train" not in near


@pytest.mark.parametrize("frames", [25, 100, 328])
def test_the_test_frames_of_a_turn_are_consecutive(frames: int) -> None:
    for turn in group_turns(draw_sides(film_fruits(frames, labels=15))).values():
        row = [turn[number] for number in range(frames)]
        assert sum(here != before for here, before in zip(row, [row[-1], *row], strict=False)) == 4


@pytest.mark.parametrize("frames", [50, 327, 490])
def test_blocks_put_a_fifth_on_the_test_side_and_two_of_25_in_the_gap(frames: int) -> None:
    share = measure_shares(draw_sides(film_fruits(frames)))
    assert share["test"] == pytest.approx(0.20, abs=0.01)
    assert share["gap"] == pytest.approx(0.08, abs=0.01)
    assert share["train"] == pytest.approx(0.72, abs=0.01)


def test_blocks_begin_at_the_first_frame_that_exists() -> None:
    share = measure_shares(draw_sides(film_fruits(100, start=200)))
    assert share["test"] == pytest.approx(0.20, abs=0.01)


def test_every_fruit_has_training_and_test_frames() -> None:
    for turn in group_turns(draw_sides(film_fruits(25))).values():
        assert set(turn.values()) == {"train", "test", "gap"}


def test_turns_are_cut_at_different_places() -> None:
    ranges = set()
    for turn in group_turns(draw_sides(film_fruits(100))).values():
        tests = [number for number, side in turn.items() if side == "test"]
        ranges.add((min(tests), max(tests)))
    assert len(ranges) > 15


def test_frames_of_both_folders_are_one_turn() -> None:
    folders = defaultdict(set)
    for path, side in draw_sides(film_fruits(328, labels=3)).items():
        folders[side].add(path.partition("/")[0])
    assert set(folders) == {"train", "test", "gap"}
    assert all(found == {"Training", "Test"} for found in folders.values())


@pytest.mark.parametrize("name", ["{}_100.jpg", "r_{}_100.jpg", "r0_{}.jpg", "{}.png", "{}.JPEG"])
def test_frame_names_of_both_editions_are_known(name: str) -> None:
    groups = assign(make_singles(100, name), "blocked", 0)["group"].to_pylist()
    assert len(set(groups)) == BLOCKS


@pytest.mark.parametrize(
    "name", ["IMG_{}.jpg", "{}a.jpg", "2019010{}_123456.jpg", "20190101_12345{}.jpg", "{}-1.jpg"]
)
def test_photos_with_other_names_are_groups_of_one(name: str) -> None:
    groups = assign(make_singles(100, name), "blocked", 0)["group"].to_pylist()
    assert len(set(groups)) == 100


@pytest.mark.parametrize("frames", [5, 11, 24])
def test_a_turn_of_few_frames_is_blocked_too(frames: int) -> None:
    """LIMIT leaves few frames; the angle of a gap still parts training and test frames."""
    whole, every = 330, 330 // frames
    thinned = film_fruits(whole, labels=15).to_pylist()[::every]
    apart = whole // BLOCKS - 1
    for turn in group_turns(draw_sides(tabulate(thinned))).values():
        first, last = min(turn), max(turn)
        span = last - first + 1
        for number, side in turn.items():
            for other in turn if side == "test" else ():
                distance = abs(other - number)
                if turn[other] == "train":
                    assert min(distance, span - distance) > min(apart, span // BLOCKS - 1)
    share = measure_shares(draw_sides(tabulate(thinned)))
    assert share["test"] == pytest.approx(0.2, abs=0.07)


# Random


def test_random_puts_a_fifth_on_the_test_side() -> None:
    share = measure_shares(draw_sides(make_singles(5000), "random"))
    assert share["test"] == pytest.approx(0.2, abs=0.02)
    assert share["train"] + share["test"] == 1


def test_a_new_photo_moves_no_other() -> None:
    before, after = draw_sides(make_singles(100), "random"), draw_sides(make_singles(101), "random")
    assert after.items() >= before.items()


@pytest.mark.parametrize("seed", [0, 7])
def test_random_follows_the_hash_of_seed_and_photo(seed: int) -> None:
    photos = make_singles(1000)
    for row in assign(photos, "random", seed).to_pylist():
        digest = hashlib.sha256(f"{seed}/{row['image_id']}".encode()).digest()
        drawn = int.from_bytes(digest[:8], "big") / 2**64
        assert row["side"] == ("test" if drawn < 0.2 else "train")


# Folder


def test_folder_takes_the_side_that_the_path_names() -> None:
    drawn = draw_sides(film_fruits(30, labels=2), "folder")
    for path, side in drawn.items():
        assert side == {"Training": "train", "Test": "test"}[path.partition("/")[0]]


def test_folder_names_the_photo_whose_path_names_no_side() -> None:
    photos = pa.concat_tables([film_fruits(30, labels=1), make_singles(1)])
    with pytest.raises(ValueError, match=r"SPLIT='folder'.* got 'fruit/IMG_0\.jpg'"):
        assign(photos, "folder", 0)


# All rules


@pytest.mark.parametrize("rule", ["blocked", "random", "folder"])
def test_all_paths_of_equal_bytes_take_the_side_of_the_first(rule: str) -> None:
    firsts = film_fruits(50, labels=2).to_pylist()
    twins = [
        make_row(f"{'Training' if number % 2 else 'Test'}/z/{number}_100.jpg", row["image_id"])
        for number, row in enumerate(firsts)
    ]
    rows = sorted(firsts + twins, key=lambda row: row["path"])
    image_ids = {row["path"]: row["image_id"] for row in rows}
    first = {row["image_id"]: row for row in reversed(rows)}
    alone = draw_sides(tabulate(first.values()), rule)
    for path, side in draw_sides(tabulate(rows), rule).items():
        assert side == alone[first[image_ids[path]]["path"]]


@pytest.mark.parametrize("rule", ["blocked", "random", "folder"])
def test_the_order_of_rows_does_not_matter(rule: str) -> None:
    photos = film_fruits(30, labels=4)
    shuffled = photos.take(list(range(len(photos)))[::-1])
    assert assign(photos, rule, 3).equals(assign(shuffled, rule, 3))


@pytest.mark.parametrize(
    ("rule", "differs"), [("blocked", True), ("random", True), ("folder", False)]
)
def test_the_seed_changes_the_splits_that_are_drawn(rule: str, differs: bool) -> None:
    photos = film_fruits(30, labels=4)
    assert (draw_sides(photos, rule, 0) != draw_sides(photos, rule, 1)) is differs


def test_the_draw_never_changes() -> None:
    """Another draw would change every accuracy that was ever reported."""
    turn = group_turns(draw_sides(film_fruits(30, labels=1)))["fruit 0", ""]
    assert {number for number, side in turn.items() if side == "test"} == set(range(9, 15))


# Written


@pytest.fixture
def run_uri(tmp_path: Path) -> str:
    return str(tmp_path)


def split(run_uri: str, photos: pa.Table, **parameters: Any) -> tuple[str, pa.Table]:
    """Split photos; return the fingerprint, and what the planner has of them by path."""
    with run_stage(run_uri, FEATURIZE) as stage, Planner() as planner:
        plan_photos(planner, photos)
        name = split_photos(stage, planner, Parameters(**parameters))
        return name, planner.read(
            "SELECT i.path, lower(hex(s.image_id)) AS image_id, s.side "
            "FROM sides AS s JOIN images AS i ON i.photo = s.photo ORDER BY i.path"
        )


def list_splits(run_uri: str) -> list[Location]:
    table = locate(run_uri) / "splits"
    return [table / name / SIDES / "part-00000.parquet" for name in table.list_folders()]


def test_a_split_is_written_once_and_read_later(run_uri: str) -> None:
    photos = film_fruits(30, labels=2)
    name, drawn = split(run_uri, photos)
    (file,) = list_splits(run_uri)
    assert file.parent.parent.name.startswith(f"{name}-")
    written = read_parquet(file)
    assert written.schema.equals(schemas.SPLITS.schema)
    assert written["path"].to_pylist() == sorted(photos["path"].to_pylist())
    assert written["group"].to_pylist() == assign(photos, "blocked", 0)["group"].to_pylist()
    assert written.drop_columns("group").equals(drawn)
    reversed_sides = written.set_column(
        3, "side", written["side"].take(list(range(len(written)))[::-1])
    )
    assert not reversed_sides.equals(written)
    write_parquet(file, reversed_sides)  # a second draw would not return this
    again, read = split(run_uri, photos)
    assert again == name
    assert read.equals(reversed_sides.drop_columns("group"))
    assert len(list_splits(run_uri)) == 1


def test_a_split_of_many_pieces_is_read_whole(run_uri: str) -> None:
    photos = make_singles(40_000)
    _, drawn = split(run_uri, photos)
    (first,) = list_splits(run_uri)
    assert len(list(first.parent.list_files())) > 1
    expected = assign(photos, "blocked", 0)
    assert drawn.equals(expected.drop_columns("group"))
    assert split(run_uri, photos)[1].equals(drawn)


def test_rule_seed_and_photos_make_another_split(run_uri: str) -> None:
    names = {
        split(run_uri, film_fruits(30, labels=2))[0],
        split(run_uri, film_fruits(30, labels=2), SEED=1)[0],
        split(run_uri, film_fruits(30, labels=2), SPLIT="random")[0],
        split(run_uri, film_fruits(31, labels=2))[0],
    }
    assert len(names) == len(list_splits(run_uri)) == 4


def test_every_rule_says_what_it_leaks() -> None:
    (rule,) = (field.metadata["rule"] for field in fields(Parameters) if field.name == "SPLIT")
    assert all(rule.accepts(name) for name in LEAKS)
    assert rule.description == f"one of {', '.join(map(repr, LEAKS))}"
