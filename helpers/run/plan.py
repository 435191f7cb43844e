"""Which rows of a run count, and what is left to do: SQL over its keys.

A row of a table in parts counts if the catalog reaches it. So a photo that was removed or changed
is in no result, although its old rows stay in the table.

Each statement defines a table of a :class:`helpers.run.planner.Planner` from those before it. The
statements use what DuckDB and Spark SQL have in common, so that a cluster can run them too. A
photo of the catalog is a number, ``photo``, in the order of the paths; a row of a table in parts
is a ``position``.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from helpers.run.parts import Parts
from helpers.run.planner import Planner
from helpers.run.schemas import IMAGES, MEMBERS

#: rejects that every run tries again: another read may succeed
RETRIED_REASONS = ("unreadable",)

_SAME_FILE = "k.path = i.path AND k.length = i.length AND k.modified = i.modified"

#: photo, image_id, position (in pixels): the photos that are in ``pixels``
DECODED = f"""
SELECT i.photo, min_by(k.image_id, k.position) AS image_id, min(k.position) AS position
FROM images AS i JOIN pixels AS k ON {_SAME_FILE}
GROUP BY i.photo
"""

#: photo, position (in rejects), reason, attempt: the last attempt of photos that are not decoded
REJECTED = f"""
SELECT i.photo,
       min_by(k.position, k.position - k.attempt * 281474976710656) AS position,
       min_by(k.reason, k.position - k.attempt * 281474976710656) AS reason,
       max(k.attempt) AS attempt
FROM images AS i JOIN rejects AS k ON {_SAME_FILE}
WHERE NOT EXISTS (SELECT 1 FROM decoded AS d WHERE d.photo = i.photo)
GROUP BY i.photo
"""

#: photo, attempt (the next one): the photos to decode
UNDECODED = """
SELECT i.photo, coalesce(r.attempt, 0) + 1 AS attempt
FROM images AS i LEFT JOIN rejected AS r ON r.photo = i.photo
WHERE NOT EXISTS (SELECT 1 FROM decoded AS d WHERE d.photo = i.photo)
  AND (r.photo IS NULL OR r.reason IN ({reasons}))
"""

#: image_id, photo, position (in pixels): the first photo, by path, of each distinct image
DISTINCT = """
SELECT image_id, min(photo) AS photo, min_by(position, photo) AS position
FROM decoded
GROUP BY image_id
"""

#: image_id, position (in pixels): the distinct photos that have no features
UNFEATURIZED = """
SELECT d.image_id, d.position
FROM distinct_photos AS d
WHERE NOT EXISTS (SELECT 1 FROM features AS k WHERE k.image_id = d.image_id)
"""

#: image_id, photo (its first), position (in features)
FEATURIZED = """
SELECT d.image_id, d.photo, min(k.position) AS position
FROM distinct_photos AS d JOIN features AS k ON k.image_id = d.image_id
GROUP BY d.image_id, d.photo
"""


#: unit, attempt, path, length, modified, and the packing of photos in an archive
DECODING_UNITS = """
WITH numbered AS (
    SELECT photo, attempt, row_number() OVER (PARTITION BY attempt ORDER BY photo) - 1 AS number
    FROM undecoded
)
SELECT CAST(n.attempt AS BIGINT) * 1000000000 + CAST(floor(n.number / {rows}) AS BIGINT) AS unit,
       n.attempt, i.path, i.length, i.modified, m.start, m.stored, m.method, m.crc
FROM numbered AS n
JOIN images AS i ON i.photo = n.photo
LEFT JOIN members AS m ON m.path = i.path
ORDER BY unit, n.photo
"""

#: unit, part and row (of pixels), image_id: photos whose pixels lie in one part make one unit
FEATURIZING_UNITS = """
SELECT p.number AS unit, p.part, u.position - p.number * 65536 AS row,
       lower(hex(u.image_id)) AS image_id
FROM unfeaturized AS u
JOIN pixels_parts AS p ON p.number = CAST(floor(u.position / 65536) AS BIGINT)
ORDER BY u.position
"""


def load_catalog(
    planner: Planner, images: Iterable[pa.Table], members: Iterable[pa.Table] = ()
) -> None:
    """Load the catalog: ``images`` with ``photo``, and ``members``; times in µs since 1970.

    Parameters
    ----------
    images
        The table ``images`` in pieces, sorted by path.
    members
        The table ``members`` in pieces; needed only to read photos.
    """
    schema = IMAGES.schema.append(pa.field("photo", pa.int64()))
    planner.load("images", schema, _number_photos(images))
    planner.load("members", MEMBERS.schema, members)


def match_photos(planner: Planner, pixels: Parts, rejects: Parts) -> None:
    """Find what became of each photo of the catalog: define ``decoded`` and ``rejected``."""
    planner.load_parts("pixels", pixels)
    planner.load_parts("rejects", rejects)
    planner.define("decoded", DECODED)
    planner.define("rejected", REJECTED)


def count_untried(planner: Planner) -> int:
    """Count the photos that are neither decoded nor rejected."""
    tried = planner.count("decoded") + planner.count("rejected")
    return planner.count("images") - tried


def find_undecoded(planner: Planner, retry_rejects: bool) -> int:
    """Find the photos to decode: define ``undecoded``; return their number.

    These are the photos that were not tried yet, and rejects that are worth another try.
    """
    reasons = "r.reason" if retry_rejects else ", ".join(f"'{name}'" for name in RETRIED_REASONS)
    planner.define("undecoded", UNDECODED.format(reasons=reasons))
    return planner.count("undecoded")


def find_distinct(planner: Planner) -> None:
    """Find one photo per distinct image: define ``distinct_photos``."""
    planner.define("distinct_photos", DISTINCT)


def match_features(planner: Planner, features: Parts) -> None:
    """Find the distinct photos with and without features: ``featurized``, ``unfeaturized``."""
    planner.load_parts("features", features)
    planner.define("featurized", FEATURIZED)
    planner.define("unfeaturized", UNFEATURIZED)


def _number_photos(images: Iterable[pa.Table]) -> Iterator[pa.Table]:
    first = 0
    for rows in images:
        photo = pa.array(np.arange(first, first + len(rows), dtype=np.int64))
        yield rows.append_column("photo", photo)
        first += len(rows)
