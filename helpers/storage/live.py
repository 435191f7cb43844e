"""Live rows: those of a parts table that a catalogue reaches, one a key.

All sums, fits and reports count these rows alone, so a photo that was removed or changed since
is in no result, although its old rows still lie in the store.
"""

import pyarrow as pa
import pyarrow.compute as pc

from helpers.storage.parts import Parts
from helpers.storage.tables import KEY

PIXELS, REJECTS = "pixels", "rejects"


def photos(images: pa.Table, pixels: Parts, rejects: Parts) -> pa.Table:
    """What became of each photo of the catalogue.

    Parameters
    ----------
    images
        The catalogue's rows.
    pixels, rejects
        The stores that 02 writes.

    Returns
    -------
    pa.Table
        The catalogue's columns, sorted by path, and ``table`` (``pixels``, ``rejects``, or null:
        not tried), ``image_id``, ``height``, ``width``, ``reason``, ``attempt``, ``part``, ``row``.
    """
    passed = pixels.index([*KEY, "image_id", "height", "width"])
    refused = rejects.index([*KEY, "image_id", "reason", "attempt"])
    passed = passed.append_column("table", pa.repeat(PIXELS, len(passed)))
    refused = refused.append_column("table", pa.repeat(REJECTS, len(refused)))
    stored = pa.concat_tables([passed, refused], promote_options="default")
    # A photo that failed once and passed later counts as passed; else its last attempt counts.
    order = [("table", "ascending"), ("attempt", "descending"), ("part", "ascending")]
    live = first_of(stored, KEY, [*order, ("row", "ascending")])
    return images.join(live, KEY, join_type="left outer").sort_by("path")


def decoded(photos: pa.Table) -> pa.Table:
    """The photos that are in ``pixels``."""
    return photos.filter(pc.equal(photos["table"], PIXELS))


def distinct(photos: pa.Table) -> pa.Table:
    """One row for each distinct photo among those decoded: the first path's, sorted by path."""
    return first_of(decoded(photos), ["image_id"], [("path", "ascending")]).sort_by("path")


def features(photos: pa.Table, store: Parts) -> pa.Table:
    """``image_id``, ``part`` and ``row`` of the features of the decoded photos, by image_id."""
    wanted = distinct(photos).select(["image_id"])
    stored = first_of(
        store.index(["image_id"]), ["image_id"], [("part", "ascending"), ("row", "ascending")]
    )
    return stored.join(wanted, "image_id", join_type="left semi").sort_by("image_id")


def first_of(table: pa.Table, keys: list[str], order: list[tuple[str, str]]) -> pa.Table:
    """The first row of each key by ``order``; nulls come last."""
    rest = [name for name in table.column_names if name not in keys]
    firsts = [(name, "first", pc.ScalarAggregateOptions(skip_nulls=False)) for name in rest]
    grouped = table.sort_by(order).group_by(keys, use_threads=False).aggregate(firsts)
    return grouped.select([*keys, *(f"{name}_first" for name in rest)]).rename_columns(
        [*keys, *rest]
    )
