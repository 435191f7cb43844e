"""Which rows of a parts table count, and what is left to do.

A row counts if the catalog reaches it. So a photo that was removed or changed is in no result,
although its old rows stay in the table.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from helpers.run.parts import Parts
from helpers.run.schemas import KEY

PIXELS, REJECTS = "pixels", "rejects"

#: rejects that every run tries again: another read may succeed
RETRIED_REASONS = ("unreadable",)


def match_photos(images: pa.Table, pixels: Parts, rejects: Parts) -> pa.Table:
    """Find what became of each photo of the catalog.

    Parameters
    ----------
    images
        Rows of the catalog.
    pixels, rejects
        The tables that 02 writes.

    Returns
    -------
    pa.Table
        The catalog's columns, sorted by path, and ``table`` (``pixels``, ``rejects``, or null if
        the photo was not tried), ``image_id``, ``height``, ``width``, ``reason``, ``attempt``,
        ``part``, ``row``.
    """
    passed = pixels.read_index([*KEY, "image_id", "height", "width"])
    rejected = rejects.read_index([*KEY, "image_id", "reason", "attempt"])
    passed = passed.append_column("table", pa.repeat(PIXELS, len(passed)))
    rejected = rejected.append_column("table", pa.repeat(REJECTS, len(rejected)))
    stored = pa.concat_tables([passed, rejected], promote_options="default")
    # A photo that was rejected and decoded later counts as decoded; else its last attempt counts.
    order = [("table", "ascending"), ("attempt", "descending"), ("part", "ascending")]
    latest = first_per_key(stored, KEY, [*order, ("row", "ascending")])
    return images.join(latest, KEY, join_type="left outer").sort_by("path")


def select_decoded(photos: pa.Table) -> pa.Table:
    """Select the photos that are in ``pixels``."""
    return photos.filter(pc.equal(photos["table"], PIXELS))


def select_rejected(photos: pa.Table) -> pa.Table:
    """Select the photos that are in ``rejects``."""
    return photos.filter(pc.equal(photos["table"], REJECTS))


def select_undecoded(photos: pa.Table, retry_rejects: bool) -> pa.Table:
    """Select the photos to decode: those not tried yet, and rejects that are worth another try."""
    again = pc.is_in(photos["reason"], pa.array(RETRIED_REASONS))
    if retry_rejects:
        again = pc.equal(photos["table"], REJECTS)
    wanted = pc.or_kleene(pc.is_null(photos["table"]), again)
    return photos.filter(pc.fill_null(wanted, False))


def select_distinct(photos: pa.Table) -> pa.Table:
    """Select one row per distinct decoded photo: that of its first path. Sorted by path."""
    return first_per_key(select_decoded(photos), ["image_id"], [("path", "ascending")]).sort_by(
        "path"
    )


def select_duplicates(photos: pa.Table) -> pa.Table:
    """Select the decoded photos whose bytes lie under several paths, by image_id and path."""
    decoded = select_decoded(photos)
    paths = decoded.group_by("image_id").aggregate([("path", "count")])
    repeated = paths.filter(pc.greater(paths["path_count"], 1)).select(["image_id"])
    return decoded.join(repeated, "image_id", join_type="left semi").sort_by(
        [("image_id", "ascending"), ("path", "ascending")]
    )


def select_without_features(distinct: pa.Table, features: Parts) -> pa.Table:
    """Select ``image_id``, ``part`` and ``row`` (of pixels) of the photos without features."""
    columns = ["image_id", "part", "row"]
    done = features.read_index(["image_id"]).select(["image_id"])
    return distinct.select(columns).join(done, "image_id", join_type="left anti")


def match_features(photos: pa.Table, features: Parts) -> pa.Table:
    """Find ``image_id``, ``part`` and ``row`` of the decoded photos' features, by image_id."""
    wanted = select_distinct(photos).select(["image_id"])
    stored = first_per_key(
        features.read_index(["image_id"]),
        ["image_id"],
        [("part", "ascending"), ("row", "ascending")],
    )
    return stored.join(wanted, "image_id", join_type="left semi").sort_by("image_id")


def group_rows_by_part(positions: pa.Table) -> Mapping[str, list[int]]:
    """Group ``part`` and ``row``: the rows of each part, in the order of ``positions``."""
    wanted: dict[str, list[int]] = {}
    parts, rows = positions["part"].to_pylist(), positions["row"].to_pylist()
    for part, row in zip(parts, rows, strict=True):
        wanted.setdefault(part, []).append(row)
    return wanted


def first_per_key(table: pa.Table, keys: list[str], order: list[tuple[str, str]]) -> pa.Table:
    """Select the first row of each key by ``order``; nulls come last."""
    rest = [name for name in table.column_names if name not in keys]
    firsts = [(name, "first", pc.ScalarAggregateOptions(skip_nulls=False)) for name in rest]
    grouped = table.sort_by(order).group_by(keys, use_threads=False).aggregate(firsts)
    return grouped.select([*keys, *(f"{name}_first" for name in rest)]).rename_columns(
        [*keys, *rest]
    )
