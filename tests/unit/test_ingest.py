"""01: which files of a source are taken, which rule skips the others, and that none is lost."""

import hashlib
import io
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.parameters import KAGGLE, Parameters
from helpers.photos.archive import Packing
from helpers.photos.source import Photo
from helpers.run.manifest import Run, StaleError
from helpers.run.results import Catalog, read_catalog
from helpers.stages.ingest import COMPLETE, SKIP_RULES, ingest
from helpers.storage.base import Entry
from helpers.storage.local import LocalLocation
from helpers.storage.location import locate

FolderOf = Callable[..., Path]
Take = Callable[..., Catalog]
TIME = 1_589_716_800  # seconds: 2020-05-17 12:00 UTC

FRUIT = {
    "Training/Apple Red/0_100.jpg": b"apple 0",
    "Training/Apple Red/1_100.jpg": b"apple 1",
    "Training/Limón/r_0_100.png": b"limon",
    "Test/Apple Red/2_100.JPEG": b"apple 2",
    "Test/Limón/50% off.webp": b"",
    "top.gif": b"top",
}


@pytest.fixture
def run_uri(tmp_path: Path) -> str:
    return str(tmp_path / "run")


@pytest.fixture
def take(run_uri: str) -> Take:
    """Ingest a source: ``take(path, LIMIT=3)``."""

    def ingest_source(source: object, **parameters: Any) -> Catalog:
        return ingest(Parameters(SOURCE_URI=str(source), RUN_URI=run_uri, **parameters)).catalog

    return ingest_source


def list_paths(catalog: Catalog) -> list[str]:
    paths: list[str] = catalog.read_images()["path"].to_pylist()
    return paths


def list_labels(catalog: Catalog) -> dict[str, str]:
    images = catalog.read_images()
    return dict(zip(images["path"].to_pylist(), images["label"].to_pylist(), strict=True))


def list_photos(catalog: Catalog) -> list[Photo]:
    packing = {
        row.pop("path"): Packing(**row)
        for piece in catalog.iterate_members()
        for row in piece.to_pylist()
    }
    images = catalog.read_images()
    columns = (images["path"], images["length"], images["modified"].cast(pa.int64()))
    keys = zip(*(column.to_pylist() for column in columns), strict=True)
    return [Photo(path, length, time, packing.get(path)) for path, length, time in keys]


# What is taken


def test_the_catalog_has_path_label_side_length_and_time(take: Take, folder_of: FolderOf) -> None:
    source = folder_of({"Training/Apple/0_100.jpg": b"123"})
    os.utime(source / "Training/Apple/0_100.jpg", ns=(0, TIME * 10**9 + 123_456_789))
    (row,) = take(source).read_images().to_pylist()
    assert row.pop("modified").isoformat() == "2020-05-17T12:00:00.123456+00:00"
    assert row == {
        "path": "Training/Apple/0_100.jpg",
        "label": "Apple",
        "folder_side": "train",
        "length": 3,
    }


def test_rows_are_sorted_by_path(take: Take, folder_of: FolderOf) -> None:
    assert list_paths(take(folder_of(FRUIT))) == sorted(FRUIT)


def test_no_image_is_opened(
    take: Take, folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(folder_of(FRUIT))

    def guard(name: str) -> None:
        method = getattr(LocalLocation, name)

        def refuse(location: LocalLocation, *args: Any, **kwargs: Any) -> Any:
            assert not location.path.startswith(source)
            return method(location, *args, **kwargs)

        monkeypatch.setattr(LocalLocation, name, refuse)

    guard("read")
    guard("open")
    assert len(list_paths(take(source))) == len(FRUIT)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (1, {"a/b/c/1.jpg": "c", "a/2.jpg": "a", "3.jpg": "source"}),
        (2, {"a/b/c/1.jpg": "b", "a/2.jpg": "source"}),
        (3, {"a/b/c/1.jpg": "a"}),
        (4, {"a/b/c/1.jpg": "source"}),
    ],
)
def test_the_label_is_the_folder_at_label_level(
    level: int, expected: dict[str, str], take: Take, folder_of: FolderOf
) -> None:
    source = folder_of({"a/b/c/1.jpg": b"", "a/2.jpg": b"", "3.jpg": b""})
    catalog = take(source, LABEL_LEVEL=level)
    assert list_labels(catalog) == expected
    left = {"no_label": 3 - len(expected)} if len(expected) < 3 else {}
    assert catalog.counts["skipped"] == left


@pytest.mark.parametrize(
    ("path", "side"),
    [
        ("Training/a/1.jpg", "train"),
        ("train/a/1.jpg", "train"),
        ("TEST/a/1.jpg", "test"),
        ("a/Test/1.jpg", "test"),
        ("Training/test/1.jpg", "test"),
        ("Test/training/1.jpg", "train"),
        ("testing/a/1.jpg", None),
        ("a/test.jpg", None),
        ("a/1.jpg", None),
    ],
)
def test_the_side_is_the_nearest_folder_that_names_one(
    path: str, side: str | None, take: Take, folder_of: FolderOf
) -> None:
    assert take(folder_of({path: b""})).read_images()["folder_side"].to_pylist() == [side]


@pytest.mark.parametrize(
    "name",
    ["a b.jpg", "é.jpg", "e\u0301.jpg", "100%.jpg", "%41.jpg", "q'\".jpg", "n\nl.jpg", "🍎.jpg"],
)
def test_odd_names_are_kept(name: str, take: Take, folder_of: FolderOf) -> None:
    catalog = take(folder_of({f"ä {name}/{name}": b"123"}))
    assert list_labels(catalog) == {f"ä {name}/{name}": f"ä {name}"}
    (photo,) = list_photos(catalog)
    assert catalog.source.read(photo) == b"123"


# What is skipped


def test_every_file_is_taken_or_skipped_by_a_rule(take: Take, folder_of: FolderOf) -> None:
    source = folder_of(
        {
            **FRUIT,
            ".DS_Store": b"",
            "Training/.hidden/1.jpg": b"",
            "_work/1.jpg": b"",
            "a/_1.jpg": b"",
            "readme.txt": b"",
            "a/archive.zip": b"",
            "a/jpg": b"",
            b"a/\xff.jpg".decode("utf-8", "surrogateescape"): b"",
        }
    )
    (source / "linked").symlink_to("Training")
    catalog = take(source)
    assert list_paths(catalog) == sorted(FRUIT)
    assert catalog.counts["skipped"] == {
        "folder_marker": 1,
        "hidden": 4,
        "name_not_utf8": 1,
        "other_ending": 3,
    }
    assert set(catalog.counts["skipped"]) <= set(SKIP_RULES)


@pytest.mark.parametrize(
    "ending", ["jpg", "JPG", "jpe", "jfif", "tif", "TIFF", "bmp", "heic", "avif"]
)
def test_endings_of_images_are_taken_in_any_case(
    ending: str, take: Take, folder_of: FolderOf
) -> None:
    assert list_paths(take(folder_of({f"a/1.{ending}": b""}))) == [f"a/1.{ending}"]


def test_a_glob_takes_what_it_matches_and_counts_the_rest(take: Take, folder_of: FolderOf) -> None:
    catalog = take(f"{folder_of(FRUIT)}/Training/*/*.jpg")
    assert list_labels(catalog) == {
        "Apple Red/0_100.jpg": "Apple Red",
        "Apple Red/1_100.jpg": "Apple Red",
    }
    assert catalog.counts["skipped"] == {"outside_glob": 1}


def test_a_glob_below_the_folder_of_a_class_keeps_its_label(
    take: Take, folder_of: FolderOf
) -> None:
    catalog = take(f"{folder_of(FRUIT)}/Training/Apple Red/*")
    assert set(list_labels(catalog).values()) == {"Apple Red"}


@pytest.fixture
def many(folder_of: FolderOf) -> Path:
    sizes = {"a": 10, "b": 3, "c": 1}
    return folder_of(
        {f"{label}/{each}.jpg": b"" for label, size in sizes.items() for each in range(size)}
    )


@pytest.mark.parametrize(
    ("parameters", "classes", "skipped"),
    [
        ({"LIMIT": 2}, {"a": 2, "b": 2, "c": 1}, {"limit": 9}),
        ({"LIMIT": 10}, {"a": 10, "b": 3, "c": 1}, {}),
        ({"SAMPLE_FRACTION": 0.5}, {"a": 5, "b": 2, "c": 1}, {"sample_fraction": 6}),
        ({"SAMPLE_FRACTION": 0.01}, {"a": 1, "b": 1, "c": 1}, {"sample_fraction": 11}),
        (
            {"SAMPLE_FRACTION": 0.5, "LIMIT": 3},
            {"a": 3, "b": 2, "c": 1},
            {"limit": 2, "sample_fraction": 6},
        ),
    ],
)
def test_limit_and_sample_fraction_are_per_class(
    parameters: dict[str, Any],
    classes: dict[str, int],
    skipped: dict[str, int],
    many: Path,
    take: Take,
) -> None:
    catalog = take(many, **parameters)
    counts = catalog.read_images()["label"].value_counts().to_pylist()
    assert {each["values"]: each["counts"] for each in counts} == classes
    assert catalog.counts["skipped"] == skipped


def test_a_larger_sample_contains_the_smaller_one(many: Path, take: Take) -> None:
    for name, values in (("LIMIT", range(1, 11)), ("SAMPLE_FRACTION", (0.1, 0.3, 0.5, 0.9))):
        before: set[str] = set()
        for value in values:
            now = set(list_paths(take(many, **{name: value})))
            assert now >= before
            before = now


def test_a_sample_is_drawn_by_the_hash_of_the_path(many: Path, take: Take) -> None:
    by_hash = sorted(
        (f"a/{each}.jpg" for each in range(10)),
        key=lambda path: hashlib.sha256(path.encode()).hexdigest(),
    )
    drawn = [path for path in list_paths(take(many, LIMIT=4)) if path.startswith("a/")]
    assert drawn == sorted(by_hash[:4])


def test_a_listing_of_many_pieces_is_one_catalog(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 25th file is no image, and every class lies in every piece."""
    source = LocalLocation(str(tmp_path / "source"))
    Path(source.path).mkdir()
    entries = [
        Entry(f"{n % 7}/{n:05d}.{'jpg' if n % 25 else 'txt'}", n, n * 10**6) for n in range(50_000)
    ]
    list_files = LocalLocation.list_files
    with monkeypatch.context() as patch:
        patch.setattr(
            LocalLocation,
            "list_files",
            lambda location: iter(entries) if location == source else list_files(location),
        )
        catalog = take(source.uri)
    assert catalog.counts == {"found": 50_000, "images": 48_000, "skipped": {"other_ending": 2_000}}
    assert len(list(catalog.iterate_images())) > 1
    taken = sorted(
        (entry for entry in entries if entry.path.endswith(".jpg")), key=lambda entry: entry.path
    )
    images = catalog.read_images()
    assert images["path"].to_pylist() == [entry.path for entry in taken]
    assert images["label"].to_pylist() == [entry.path[0] for entry in taken]
    assert images["length"].to_pylist() == [entry.length for entry in taken]
    assert images["modified"].cast(pa.int64()).to_pylist() == [entry.modified for entry in taken]


# Folders, archives, downloads


def pack_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(zipfile.ZipInfo(name, (2020, 5, 17, 12, 0, 0)), content)
    return path


def pack_tar(
    path: Path, files: dict[str, bytes], mode: str = "w", links: Iterable[str] = ()
) -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, content in files.items():
            item = tarfile.TarInfo(name)
            item.size, item.mtime = len(content), TIME
            file.addfile(item, io.BytesIO(content))
        for name in links:
            item = tarfile.TarInfo(name)
            item.type, item.linkname = tarfile.SYMTYPE, "1.jpg"
            file.addfile(item)
    return path


def read_rows(catalog: Catalog) -> list[tuple[Any, ...]]:
    """Path inside the source, label, side and bytes of each photo."""
    images = catalog.read_images().to_pylist()
    return [
        (
            row["path"].rpartition("!/")[2],
            row["label"],
            row["folder_side"],
            catalog.source.read(photo),
        )
        for row, photo in zip(images, list_photos(catalog), strict=True)
    ]


def test_a_folder_and_an_archive_of_the_same_photos_give_the_same_rows(
    take: Take, folder_of: FolderOf, tmp_path: Path
) -> None:
    files = {**FRUIT, "readme.txt": b"", ".hidden.jpg": b""}
    sources = [
        folder_of(files, "fruit"),
        f"{folder_of(files, 'fruit')}/**",
        pack_zip(tmp_path / "fruit.zip", files),
        pack_tar(tmp_path / "fruit.tar", files),
        pack_tar(tmp_path / "fruit.tar.gz", files, "w:gz"),
    ]
    catalogs = [take(source) for source in sources]
    assert all(read_rows(catalog) == read_rows(catalogs[0]) for catalog in catalogs)
    skipped = {"hidden": 1, "other_ending": 1}
    assert all(catalog.counts["skipped"] == skipped for catalog in catalogs)


def test_the_path_of_a_photo_in_an_archive_begins_with_its_name(take: Take, tmp_path: Path) -> None:
    catalog = take(pack_zip(tmp_path / "fruit.zip", {"a/1.jpg": b"123"}))
    assert list_labels(catalog) == {"fruit.zip!/a/1.jpg": "a"}
    (row,) = catalog.read_images().to_pylist()
    assert (row["length"], row["modified"].timestamp()) == (3, TIME)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_later_of_two_members_with_one_name_counts(take: Take, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "fruit.zip", "w") as file:
        for content in (b"first", b"the second"):
            file.writestr("a/1.jpg", content)
    catalog = take(tmp_path / "fruit.zip")
    assert [row[3] for row in read_rows(catalog)] == [b"the second"]
    assert catalog.counts["skipped"] == {"superseded": 1}


@pytest.mark.parametrize(("name", "mode"), [("fruit.tar", "w"), ("fruit.tar.gz", "w:gz")])
def test_links_in_an_archive_are_counted(name: str, mode: str, take: Take, tmp_path: Path) -> None:
    source = pack_tar(tmp_path / name, {"a/1.jpg": b"123"}, mode, links=["a/2.jpg", "a/3.jpg"])
    for _ in range(2):  # the second time it is unpacked already
        catalog = take(source)
        assert len(catalog.read_images()) == 1
        assert catalog.counts == {"found": 3, "images": 1, "skipped": {"not_a_file": 2}}


@pytest.mark.parametrize("pack", [pack_zip, pack_tar])
def test_names_that_lead_outside_an_archive_are_counted(
    pack: Callable[..., Path], take: Take, tmp_path: Path
) -> None:
    name = "fruit.zip" if pack is pack_zip else "fruit.tar"
    catalog = take(pack(tmp_path / name, {"a/1.jpg": b"1", "../2.jpg": b"2", "./a/3.jpg": b"3"}))
    assert list_labels(catalog) == {f"{name}!/a/1.jpg": "a", f"{name}!/a/3.jpg": "a"}
    assert catalog.counts["skipped"] == {"not_a_file": 1}


def test_the_later_of_two_unpacked_members_with_one_name_counts(take: Take, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "fruit.tar.gz", "w:gz") as file:
        for name, content in (("a/1.jpg", b"first"), ("a/./1.jpg", b"the second")):
            item = tarfile.TarInfo(name)
            item.size = len(content)
            file.addfile(item, io.BytesIO(content))
    catalog = take(tmp_path / "fruit.tar.gz")
    assert [row[3] for row in read_rows(catalog)] == [b"the second"]
    assert catalog.counts == {"found": 2, "images": 1, "skipped": {"superseded": 1}}


def test_an_archive_that_was_replaced_is_listed_anew(take: Take, tmp_path: Path) -> None:
    """The same names, lengths and dates in another order: other offsets."""
    photos = {"a/1.jpg": b"red", "b/2.jpg": b"yel"}
    first = take(pack_tar(tmp_path / "fruit.tar", photos))
    first.require_unchanged()
    source = pack_tar(tmp_path / "fruit.tar", dict(reversed(photos.items())))
    os.utime(source, (1, 1))
    with pytest.raises(StaleError, match=r"fruit\.tar was replaced since 01_ingest listed it"):
        first.require_unchanged()
    again = take(source)
    assert [row[3] for row in read_rows(again)] == [b"red", b"yel"]
    assert again.snapshot.fingerprint != first.snapshot.fingerprint


def test_a_compressed_archive_is_unpacked_once(take: Take, tmp_path: Path, run_uri: str) -> None:
    source = pack_tar(tmp_path / "fruit.tar.gz", FRUIT, "w:gz")
    first = take(source)
    assert first.source.base.uri.startswith(run_uri)
    tags = [(first.source.base / path).version_tag() for path in FRUIT]
    second = take(source)
    assert second.snapshot.fingerprint == first.snapshot.fingerprint
    assert [(second.source.base / path).version_tag() for path in FRUIT] == tags


def fill_disk(patch: pytest.MonkeyPatch, name: str) -> None:
    """Let every write of a file called ``name`` find the disk full."""
    write = LocalLocation.write

    def refuse(location: LocalLocation, content: bytes | memoryview) -> None:
        if location.name == name:
            raise OSError(28, "No space left on device")
        write(location, content)

    patch.setattr(LocalLocation, "write", refuse)


def test_an_unpacking_that_was_stopped_is_done_again(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pack_tar(tmp_path / "fruit.tar.gz", FRUIT, "w:gz")
    with monkeypatch.context() as patch:
        fill_disk(patch, COMPLETE)
        with pytest.raises(OSError, match="No space left"):
            take(source)
    assert len(list_paths(take(source))) == len(FRUIT)


def test_another_archive_of_the_same_name_is_another_source(take: Take, tmp_path: Path) -> None:
    for name, content in (("old", b"old"), ("new", b"new")):
        (tmp_path / name).mkdir()
        source = pack_tar(tmp_path / name / "fruit.tar.gz", {"a/1.jpg": content}, "w:gz")
        assert [row[3] for row in read_rows(take(source))] == [content]


def test_an_archive_that_has_changed_is_unpacked_anew(take: Take, tmp_path: Path) -> None:
    for files in ({"a/1.jpg": b"1"}, {"a/1.jpg": b"1", "a/2.jpg": os.urandom(500)}):
        source = pack_tar(tmp_path / "fruit.tar.gz", files, "w:gz")
        assert list_paths(take(source)) == sorted(files)


def test_a_download_from_kaggle_is_copied_below_the_run_once(
    take: Take,
    folder_of: FolderOf,
    run_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def download(handle: str) -> str:
        asked.append(handle)
        return str(folder_of(FRUIT, "kaggle's cache"))

    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=download))
    catalog = take(KAGGLE)
    assert list_paths(catalog) == sorted(FRUIT)
    assert catalog.counts["skipped"] == {}
    assert catalog.source.base.uri.startswith(run_uri)
    assert take(KAGGLE).snapshot.fingerprint == catalog.snapshot.fingerprint
    assert asked == ["moltean/fruits"]


def test_kaggle_without_kagglehub_says_what_to_install(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(ValueError, match=r"pip install '\.\[kaggle\]'"):
        take(KAGGLE)


def test_another_data_set_of_kaggle_is_refused(take: Take) -> None:
    with pytest.raises(ValueError, match="got 'kaggle://someone/else'"):
        take("kaggle://someone/else")


# Sources that are refused


def test_a_source_without_photos_is_refused_with_what_it_holds(
    take: Take, folder_of: FolderOf
) -> None:
    with pytest.raises(ValueError, match=r"must hold photos, got .*: 1 hidden, 2 other_ending$"):
        take(folder_of({"a/1.txt": b"", "b": b"", ".x.jpg": b""}))


@pytest.mark.parametrize("name", ["empty", "none/*.jpg"])
def test_an_empty_source_is_refused(name: str, take: Take, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"must hold photos, got .*: no file$"):
        take(tmp_path / name)


@pytest.mark.parametrize("name", ["none", "none.zip", "none.tar.gz"])
def test_a_missing_source_is_named(name: str, take: Take, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        take(tmp_path / name)


def test_a_damaged_archive_is_named(take: Take, tmp_path: Path) -> None:
    for name in ("fruit.zip", "fruit.tar", "fruit.tar.gz"):
        (tmp_path / name).write_bytes(b"no archive")
        with pytest.raises(ValueError, match=f"not a readable archive: .*{name}"):
            take(tmp_path / name)


def test_a_run_below_its_source_is_refused_and_nothing_written(folder_of: FolderOf) -> None:
    source = folder_of(FRUIT)
    for run in (source, source / "runs" / "1"):
        with pytest.raises(ValueError, match="must not lie inside each other"):
            ingest(Parameters(SOURCE_URI=str(source), RUN_URI=str(run)))
    assert sorted(entry.path for entry in LocalLocation(str(source)).list_files()) == sorted(FRUIT)


def test_a_source_below_its_run_is_refused(folder_of: FolderOf) -> None:
    source = folder_of(FRUIT)
    for uri in (source, f"{source}/*/*/*"):
        with pytest.raises(ValueError, match="must not lie inside each other"):
            ingest(Parameters(SOURCE_URI=str(uri), RUN_URI=str(source.parent)))


def test_a_link_does_not_hide_that_they_lie_inside_each_other(
    folder_of: FolderOf, tmp_path: Path
) -> None:
    source = folder_of(FRUIT)
    (tmp_path / "link").symlink_to(source)
    for one, other in ((source, tmp_path / "link" / "run"), (tmp_path / "link", source / "run")):
        with pytest.raises(ValueError, match="must not lie inside each other"):
            ingest(Parameters(SOURCE_URI=str(one), RUN_URI=str(other)))


def test_the_source_may_lie_beside_its_run(folder_of: FolderOf, tmp_path: Path) -> None:
    source = folder_of(FRUIT, "fruit")
    ingest(Parameters(SOURCE_URI=str(source), RUN_URI=str(tmp_path / "fruit run")))


def test_an_archive_may_lie_beside_its_run(tmp_path: Path) -> None:
    source = pack_zip(tmp_path / "fruit.zip", FRUIT)
    ingested = ingest(Parameters(SOURCE_URI=str(source), RUN_URI=str(tmp_path)))
    assert ingested.new == len(FRUIT)


# What is written


def list_snapshots(run_uri: str) -> list[str]:
    return locate(run_uri + "/images").list_folders()


def test_a_second_run_makes_no_second_snapshot(
    take: Take, folder_of: FolderOf, run_uri: str
) -> None:
    source = folder_of(FRUIT)
    first, second = take(source), take(source)
    assert first.snapshot.fingerprint == second.snapshot.fingerprint
    assert len(list_snapshots(run_uri)) == 1
    worked, idle = Run(locate(run_uri)).read_history()
    assert worked.seconds is not None
    assert idle.seconds is None
    assert (worked.photos, idle.photos) == (len(FRUIT), 0)


@pytest.mark.parametrize("change", ["added", "removed", "longer", "touched"])
def test_a_changed_source_makes_another_snapshot(
    change: str, take: Take, folder_of: FolderOf, run_uri: str
) -> None:
    source = folder_of(FRUIT)
    before = take(source).snapshot.fingerprint
    match change:
        case "added":
            (source / "new.jpg").touch()
        case "removed":
            (source / "top.gif").unlink()
        case "longer":
            status = (source / "top.gif").stat()
            (source / "top.gif").write_bytes(b"more")
            os.utime(source / "top.gif", ns=(status.st_atime_ns, status.st_mtime_ns))
        case "touched":
            os.utime(source / "top.gif", ns=(0, TIME * 10**9))
    assert take(source).snapshot.fingerprint != before
    assert len(list_snapshots(run_uri)) == 2


def test_other_labels_of_the_same_files_are_another_catalog(
    take: Take, folder_of: FolderOf
) -> None:
    source = folder_of({"a/b/1.jpg": b"", "a/b/2.jpg": b""})
    one, other = take(source), take(source, LABEL_LEVEL=2)
    assert one.snapshot.fingerprint != other.snapshot.fingerprint


def test_the_manifest_has_the_counts(take: Take, folder_of: FolderOf, run_uri: str) -> None:
    catalog = take(folder_of({**FRUIT, "readme.txt": b""}))
    manifest = Run(locate(run_uri)).read_manifest()
    assert manifest["counts"] == {"found": 7, "images": 6, "skipped": {"other_ending": 1}}
    assert manifest["fingerprints"] == {"images": catalog.snapshot.fingerprint}
    assert manifest["stages"]["01_ingest"]["images"] == 6


def test_the_catalog_is_plain_parquet(take: Take, folder_of: FolderOf, run_uri: str) -> None:
    catalog = take(folder_of(FRUIT))
    (snapshot,) = list_snapshots(run_uri)
    assert pq.read_table(f"{run_uri}/images/{snapshot}").equals(catalog.read_images())


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_the_catalog_that_is_read_equals_the_one_that_was_written(
    kind: str,
    take: Take,
    folder_of: FolderOf,
    tmp_path: Path,
    run_uri: str,
) -> None:
    match kind:
        case "folder":
            source = folder_of(FRUIT)
        case "zip":
            source = pack_zip(tmp_path / "fruit.zip", FRUIT)
        case _:
            source = pack_tar(tmp_path / "fruit.tar", FRUIT)
    catalog = take(source)
    run = Run(locate(run_uri))
    again = read_catalog(run, run.require("01_ingest"))
    assert again.read_images().equals(catalog.read_images())
    assert again.counts == catalog.counts
    assert read_rows(again) == read_rows(catalog)


def test_a_missing_catalog_is_named(take: Take, folder_of: FolderOf, run_uri: str) -> None:
    catalog = take(folder_of(FRUIT))
    run = Run(locate(run_uri))
    (snapshot,) = list_snapshots(run_uri)
    Path(run_uri, "images", snapshot, "_manifest.json").unlink()
    name = catalog.snapshot.fingerprint
    with pytest.raises(FileNotFoundError, match=f"no whole snapshot {name}"):
        read_catalog(run, run.require("01_ingest"))


def test_a_full_disk_leaves_no_catalog(
    take: Take,
    folder_of: FolderOf,
    run_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = folder_of(FRUIT)
    with monkeypatch.context() as patch:
        fill_disk(patch, "_manifest.json")
        with pytest.raises(OSError, match="No space left"):
            take(source)
    run = Run(locate(run_uri))
    assert run.read_history() == []
    assert len(list_paths(take(source))) == len(FRUIT)
    assert len(run.read_history()) == 1
