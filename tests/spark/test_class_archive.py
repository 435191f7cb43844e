"""Shared classes: written for this Java, mapped by its JVM, harmless where they do not fit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.spark import session

WRITE = "class_archive.write()"
START = """
options = session.make_java_options(session.find_java())
spark = session.start_session({"spark.driver.extraJavaOptions": f"{options} {sys.argv[2]}"})
print(spark.range(3).count())
spark.stop()
"""
HERE = """
import sys
from pathlib import Path
from helpers.spark import class_archive, session

session.locate_class_archive = lambda home: Path(sys.argv[1])
"""


def run_elsewhere(
    code: str, archive: Path, option: str = "", **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run code in a process whose sessions have their archive of classes in this file."""
    environment = {k: v for k, v in os.environ.items() if k not in session.CLASS_PATH_VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", HERE + code, archive, option],
        capture_output=True,
        text=True,
        env={**environment, **variables},
    )


@pytest.mark.slow
def test_classes_are_written_and_mapped(tmp_path: Path) -> None:
    archive = tmp_path / "a folder" / "classes.jsa"
    written = run_elsewhere(WRITE, archive)
    assert written.returncode == 0, written.stderr
    assert list(archive.parent.iterdir()) == [archive]
    started = run_elsewhere(START, archive, "-Xshare:on")  # fails where they are not mapped
    assert started.stdout.splitlines()[-1:] == ["3"], started.stderr


def test_classes_that_do_not_fit_are_ignored_without_a_word(tmp_path: Path) -> None:
    damaged = tmp_path / "classes.jsa"
    damaged.write_bytes(b"no classes" * 1000)
    started = run_elsewhere(START, damaged)
    assert started.stdout.splitlines()[-1:] == ["3"], started.stderr
    assert "shared" not in (started.stdout + started.stderr).lower()


def test_a_java_that_writes_no_classes_is_named(tmp_path: Path) -> None:
    real, home = session.find_java(), tmp_path / "java"
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    # This Java does not know the option that asks for the file.
    java.write_text(
        f"""#!/bin/bash
arguments=()
for argument in "$@"; do
  [[ $argument == -XX:ArchiveClassesAtExit=* ]] || arguments+=("$argument")
done
exec "{real}/bin/java" "${{arguments[@]}}"
"""
    )
    java.chmod(0o755)
    shutil.copy(real / "release", home)
    archive = tmp_path / "classes" / "classes.jsa"
    refused = run_elsewhere(WRITE, archive, JAVA_HOME=str(home))
    assert refused.stderr.splitlines()[-1].endswith(
        f"ArchiveError: {home} wrote no classes to {archive.parent}"
    )
    assert list(archive.parent.iterdir()) == []
