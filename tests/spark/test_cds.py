"""Shared classes: written for this Java, mapped by its JVM, of no harm where they do not fit."""

import os
import subprocess
import sys
import textwrap

import pytest

from helpers.spark import session

WRITTEN = """
    from helpers import cds

    cds.write()
"""
STARTED = """
    options = session.make_java_options(session.find_java())
    spark = session.start_session({"spark.driver.extraJavaOptions": f"{options} {sys.argv[2]}"})
    print(spark.range(3).count())
    spark.stop()
"""


def run(code, classes, option=""):
    """A process of its own, whose sessions have their shared classes in this file."""
    elsewhere = """
        import sys
        from pathlib import Path
        from helpers import session

        session.locate_class_archive = lambda home: Path(sys.argv[1])
    """
    script = textwrap.dedent(elsewhere) + textwrap.dedent(code)
    environment = {k: v for k, v in os.environ.items() if k not in session.CLASS_PATH_VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", script, classes, option],
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.mark.slow
def test_classes_are_written_and_mapped(tmp_path):
    classes = tmp_path / "a folder" / "classes.jsa"
    written = run(WRITTEN, classes)
    assert written.returncode == 0, written.stderr
    assert list(classes.parent.iterdir()) == [classes]
    started = run(STARTED, classes, "-Xshare:on")  # fails where they are not mapped
    assert started.stdout.splitlines()[-1:] == ["3"], started.stderr


def test_classes_that_do_not_fit_are_ignored_without_a_word(tmp_path):
    damaged = tmp_path / "classes.jsa"
    damaged.write_bytes(b"no classes" * 1000)
    started = run(STARTED, damaged)
    assert started.stdout.splitlines()[-1:] == ["3"], started.stderr
    assert "shared" not in (started.stdout + started.stderr).lower()


def test_a_java_that_writes_no_classes_is_quoted(tmp_path, monkeypatch):
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho the disk is full\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(session, "find_java", lambda: tmp_path / "java")
    monkeypatch.setattr(cds, "_loaded", lambda *_: "a.jar")
    with pytest.raises(cds.ArchiveError, match="the disk is full"):
        cds.write()
    assert not list(tmp_path.rglob("*.jsa"))
