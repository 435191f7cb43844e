"""The tables of a run: what a row is, and each column with its type and unit."""

from dataclasses import dataclass

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Column:
    """A column: its name, its type, and what its values are, with the unit."""

    name: str
    type: pa.DataType
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table of a run: where it lies below ``RUN_URI``, what a row is, and its columns.

    ``key`` names the columns in the index of a table in parts.
    """

    folder: str
    row: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Its columns as Arrow and Parquet know them."""
        return pa.schema([(column.name, column.type) for column in self.columns])


_PATH = Column("path", pa.string(), "path below `SOURCE_URI`; in an archive `photos.zip!/a/b.jpg`")
_LABEL = Column("label", pa.string(), "class: the name of the folder at `LABEL_LEVEL`")
_LENGTH = Column("length", pa.int64(), "bytes of the photo's file")
_MODIFIED = Column("modified", TIMESTAMP, "last change of the photo's file, µs since 1970, UTC")
_IMAGE_ID = Column("image_id", pa.string(), "SHA-256 of the photo's bytes, 64 hex digits")
_SIDE = Column("side", pa.string(), "`train`, `test` or `gap` (beside a border, in no fit)")

#: what a photo of the catalog is known by, in every table of 02
KEY = ["path", "length", "modified"]

IMAGES = Table(
    "images/<fingerprint>-<run>/images/",
    "a photo taken by 01",
    (
        _PATH,
        _LABEL,
        Column(
            "folder_side", pa.string(), "`train` or `test` if a folder of the path says so, or null"
        ),
        _LENGTH,
        _MODIFIED,
    ),
)
MEMBERS = Table(
    "images/<fingerprint>-<run>/_members/",
    "a photo in an archive that is read in place",
    (
        _PATH,
        Column("start", pa.int64(), "byte of the archive at which the member begins"),
        Column("stored", pa.int64(), "bytes that the member takes in the archive"),
        Column("method", pa.int64(), "compression method as in ZIP; 0 is none"),
        Column("crc", pa.int64(), "CRC-32 of the unpacked bytes; -1 in a tar"),
    ),
)
PIXELS = Table(
    "pixels/<fingerprint>/",
    "a photo decoded",
    (
        _PATH,
        _LENGTH,
        _MODIFIED,
        _IMAGE_ID,
        Column(
            "kind", pa.string(), "format, mode and size of the file, such as `JPEG RGB 100 x 100`"
        ),
        Column("height", pa.int32(), "pixels"),
        Column("width", pa.int32(), "pixels"),
        Column("pixels", pa.binary(), "RGB, 8 bits each, row by row: height x width x 3 bytes"),
    ),
    key=(*KEY, "image_id", "kind", "height", "width"),
)
REJECTS = Table(
    "rejects/<fingerprint>/",
    "a photo refused",
    (
        _PATH,
        _LENGTH,
        _MODIFIED,
        Column("image_id", pa.string(), "SHA-256 of the photo's bytes; null where not read"),
        Column("reason", pa.string(), "why, in one word of the list at the end of this page"),
        Column("detail", pa.string(), "why, in a sentence"),
        Column("attempt", pa.int32(), "1 for the first try, 2 for the second, ..."),
        Column("content", pa.binary(), "the photo's bytes; null where they could not be read"),
    ),
    key=(*KEY, "image_id", "reason", "attempt"),
)
FEATURES = Table(
    "features/<fingerprint>/",
    "a distinct photo",
    (
        _IMAGE_ID,
        Column("features", pa.list_(pa.float32()), "output of the network's layer, no unit"),
    ),
    key=("image_id",),
)
SPLITS = Table(
    "splits/<fingerprint>-<run>/sides/",
    "a photo decoded",
    (
        _PATH,
        _IMAGE_ID,
        Column("group", pa.string(), "photos that stay on one side: a block of frames, or one"),
        _SIDE,
    ),
)
SCORES = Table(
    "pca/<fingerprint>-<run>/scores/",
    "a distinct photo",
    (
        _IMAGE_ID,
        Column("path", pa.string(), "the photo's first path"),
        _LABEL,
        _SIDE,
        Column("scores", pa.list_(pa.float32()), "the photo on each component, no unit"),
    ),
)
PHOTOS = Table(
    "pca/<fingerprint>-<run>/photos/",
    "a photo decoded; its scores are in the file of the same name",
    (_PATH, _LABEL, _SIDE, _IMAGE_ID),
)
PREDICTIONS = Table(
    "classify/<fingerprint>-<run>/predictions/",
    "a photo decoded",
    (
        _PATH,
        _LABEL,
        _SIDE,
        Column("predicted", pa.string(), "class that the classifier finds most probable"),
        Column("probability", pa.float64(), "probability of that class, 0 to 1"),
    ),
)

TABLES = {
    "images": IMAGES,
    "members": MEMBERS,
    "pixels": PIXELS,
    "rejects": REJECTS,
    "features": FEATURES,
    "splits": SPLITS,
    "scores": SCORES,
    "photos": PHOTOS,
    "predictions": PREDICTIONS,
}
