"""Spark's Python workers take PySpark from where it is installed."""

from pathlib import Path

import pytest

from helpers.daemon import archives


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages, PySpark with its archives among them."""
    (tmp_path / "pyspark").mkdir()
    (tmp_path / "pyspark" / "__init__.py").touch()
    return tmp_path


def test_archives_of_the_installed_pyspark_are_left_out(packages: Path) -> None:
    home = packages / "pyspark"
    theirs = [str(home / "python" / "lib" / "pyspark.zip"), str(home / "jars" / "spark-core.jar")]
    mine = ["", "/photos/mine.zip", str(packages)]
    assert archives([*theirs, *mine], str(home)) == theirs


def test_archives_are_kept_where_pyspark_is_not_installed_beside_them(packages: Path) -> None:
    home = packages / "pyspark"
    archive = str(home / "python" / "lib" / "pyspark.zip")
    assert archives([archive], str(home)) == []  # its folder is not on the path
    (home / "__init__.py").unlink()
    assert archives([archive, str(packages)], str(home)) == []  # a Spark from elsewhere
    assert archives([archive, str(packages)], "") == []
