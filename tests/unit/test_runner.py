"""The command line: parameters, executed notebooks, report, rejects."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import papermill
import psutil
import pyarrow as pa
import pytest
from harness.notebooks import (
    list_printed,
    make_figure,
    make_notebook,
    make_printed,
    make_text_cell,
    read_notebook,
    write_notebook,
)
from moto import mock_aws

from helpers import runner
from helpers.cli import FAILED, INTERRUPTED, OK, REFUSED, main
from helpers.kernel import spec
from helpers.parameters import NOTEBOOKS, Parameters, declared
from helpers.report import rejects
from helpers.report.page import write_page
from helpers.report.summary import summarize
from helpers.run import results, schemas
from helpers.run.manifest import FORMAT, PREPROCESS, Record, Run
from helpers.stages.ingest import ingest
from helpers.stages.preprocess import fingerprint_pixels
from helpers.storage import s3
from helpers.storage.location import Location, locate

PARAMETER_FILES = sorted((runner.find_notebooks() / "params").glob("*.yaml"))

PNG = "iVBORw0KGgo="

MANIFEST = {
    "format": FORMAT,
    "parameters": {"BACKBONE": "mobilenet_v2", "WEIGHTS": "sample"},
    "counts": {
        "found": 1234,
        "skipped": {"hidden": 3, "limit": 1},
        "images": 1230,
        "duplicates": 2,
        "rejects": {"empty": 1, "truncated": 9},
        "pixels": 1220,
        "features": 1218,
    },
    "features": {"width": 1280, "alpha": 0.35},
    "pca": {"components": 41, "explained_variance": 0.9012, "fitted_rows": 900},
    "classify": {
        "split": "blocked",
        "classifier": "logistic_regression",
        "accuracy": 0.9876,
        "macro_f1": 0.98,
        "baselines": {
            "majority_class": {"accuracy": 0.07, "macro_f1": 0.01},
            "shuffled_labels": {"accuracy": 0.06, "macro_f1": 0.05},
        },
    },
    "stages": {
        "02_preprocess": {"seconds": 2.04, "images": 1230, "images_per_second": 602.9},
    },
    "history": [],
}


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of five small notebooks in place of the project's; each prints its parameters."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in NOTEBOOKS:
        defaults = "\n".join(f"{key} = {value!r}" for key, value in declared(name).items())
        shown = ", ".join(f"{key}={{{key}!r}}" for key in declared(name))
        made = make_notebook(defaults, f'print(f"{shown}")')
        write_notebook(made, folder / f"{name}.ipynb")
    monkeypatch.setattr(runner, "find_notebooks", lambda: folder)
    return folder


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a mock S3."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="fruit")
        monkeypatch.setattr(s3, "client", lambda: client)
        yield "fruit"


def write_manifest(place: Location, manifest: dict[str, Any] = MANIFEST) -> None:
    (place / "manifest.json").write(json.dumps(manifest).encode())


class TestParameters:
    def test_none_are_needed(self) -> None:
        assert runner.read_parameters(None, []) == {}

    def test_a_pair_wins_over_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "p.yaml"
        file.write_text("LIMIT: 3\nSTANDARDIZE: false\n")
        given = runner.read_parameters(file, [("LIMIT", "5"), ("COMPONENTS", "0.8")])
        assert given == {"LIMIT": 5, "STANDARDIZE": False, "COMPONENTS": 0.8}

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("COMPONENTS", "300", 300),
            ("COMPONENTS", "5e-1", 0.5),
            ("SAMPLE_FRACTION", "1", 1),
            ("STANDARDIZE", "False", False),
            ("STANDARDIZE", "true", True),
            ("PIXELS", "1234567890123456", "1234567890123456"),
            ("FEATURES", "12345678e0123456", "12345678e0123456"),
            ("SOURCE_URI", "2024", "2024"),
        ],
    )
    def test_a_value_is_read_by_its_parameters_type(
        self, name: str, text: str, value: object
    ) -> None:
        read = runner.read_parameters(None, [(name, text)])[name]
        assert read == value
        assert type(read) is type(value)

    @pytest.mark.parametrize(
        ("pair", "message"),
        [
            (("COMPONENT", "3"), "no notebook declares the parameter 'COMPONENT'.*COMPONENTS"),
            (("components", "3"), "no notebook declares the parameter 'components'.*COMPONENTS"),
            (("LIMIT", "many"), "LIMIT must be of type int, got 'many'"),
            (("LIMIT", "1.5"), "LIMIT must be of type int, got 1.5"),
            (("STANDARDIZE", "1"), "STANDARDIZE must be of type bool, got 1"),
            (("SPLIT", "stratified"), "SPLIT must be one of .* got 'stratified'"),
            (("COMPONENTS", "nan"), "COMPONENTS must be .* got nan"),
            (("RUN_URI", "gs://bucket/run"), "s3:// or s3a://, got 'gs://bucket/run'"),
        ],
    )
    def test_what_no_notebook_takes_is_refused(self, pair: tuple[str, str], message: str) -> None:
        with pytest.raises((ValueError, TypeError), match=message):
            runner.read_parameters(None, [pair])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("LIMITS: 3", "no notebook declares the parameter 'LIMITS'; nearest: LIMIT"),
            ("3: 3", "no notebook declares the parameter '3'"),
            ("LIMIT: three", "LIMIT must be of type int, got 'three'"),
            ("PIXELS: 1234567890123456", "PIXELS must be of type str, got 1234567890123456"),
            ("LIMIT: [", "must be YAML: .*line 1"),
            ("- LIMIT", "must hold lines of NAME: VALUE, got \\['LIMIT'\\]"),
        ],
    )
    def test_a_bad_file_is_refused_in_one_line(
        self, tmp_path: Path, text: str, message: str
    ) -> None:
        file = tmp_path / "p.yaml"
        file.write_text(text)
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            runner.read_parameters(file, [])
        assert "\n" not in str(caught.value)

    def test_an_empty_file_leaves_the_defaults(self, tmp_path: Path) -> None:
        file = tmp_path / "p.yaml"
        file.write_text("# nothing yet\n")
        assert runner.read_parameters(file, []) == {}

    @pytest.mark.parametrize("file", PARAMETER_FILES, ids=lambda file: file.stem)
    def test_the_projects_files_are_valid(self, file: Path) -> None:
        given = runner.read_parameters(file, [])
        assert {"SOURCE_URI", "RUN_URI"} <= given.keys()

    def test_the_sample_file_says_the_defaults(self) -> None:
        sample = runner.read_parameters(runner.find_notebooks() / "params" / "sample.yaml", [])
        assert Parameters(**sample) == Parameters()

    @pytest.mark.parametrize("name", NOTEBOOKS)
    def test_papermill_finds_in_a_notebook_what_it_declares(
        self, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        found = papermill.inspect_notebook(runner.find_notebooks() / f"{name}.ipynb")
        # Papermill cannot read a line whose comment holds an equals sign, and says so in the log.
        assert [record.getMessage() for record in caplog.records] == []
        assert list(found) == list(declared(name))


class TestExecute:
    def test_a_notebook_is_run_with_parameters(self, notebooks: Path, tmp_path: Path) -> None:
        output = tmp_path / "out.ipynb"
        runner.execute(notebooks / "05_classify.ipynb", output, {"SEED": 7})
        assert list_printed(read_notebook(output)) == [
            "RUN_URI='runs/sample', SEED=7, PCA='current', CLASSIFIER='logistic_regression'\n"
        ]

    def test_a_failing_cell_is_named_and_the_notebook_kept(self, tmp_path: Path) -> None:
        source, output = tmp_path / "failing.ipynb", tmp_path / "out.ipynb"
        write_notebook(
            make_notebook("A = 1", "print(A)", "raise ValueError('no fruit')", "2"), source
        )
        with pytest.raises(runner.NotebookError) as caught:
            runner.execute(source, output, {})
        assert str(caught.value) == "failing failed in cell [3]\nValueError: no fruit"
        assert list_printed(read_notebook(output)) == ["1\n"]

    def test_java_frames_do_not_bury_an_error(self, tmp_path: Path) -> None:
        source, output = tmp_path / "failing.ipynb", tmp_path / "out.ipynb"
        message = (
            "o1.save\n: IOException: full\n\tat a.B.c(B.java:1)\nCaused by: D: x\n\t... 75 more\n"
        )
        write_notebook(make_notebook("A = 1", f"raise ValueError({message!r})"), source)
        with pytest.raises(runner.NotebookError) as caught:
            runner.execute(source, output, {})
        assert str(caught.value).splitlines()[1:] == [
            "ValueError: o1.save",
            ": IOException: full",
            "Caused by: D: x",
        ]
        assert "B.java" in output.read_text()

    def test_a_dead_kernel_is_told_from_a_failing_cell(self, tmp_path: Path) -> None:
        source, output = tmp_path / "dying.ipynb", tmp_path / "out.ipynb"
        write_notebook(make_notebook("A = 1", "print(A)", "import os; os._exit(1)"), source)
        with pytest.raises(runner.NotebookError) as caught:
            runner.execute(source, output, {})
        first, second = str(caught.value).split("\n")
        assert first == "dying failed in cell [3]"
        assert second.startswith("DeadKernelError: the kernel's process died")
        assert list_printed(read_notebook(output)) == ["1\n"]

    def test_a_missing_kernel_is_named_with_its_cure(
        self, notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(spec, "NAME", "nosuchkernel")
        with pytest.raises(runner.NotebookError, match=r"install nosuchkernel by `.* install`"):
            runner.execute(notebooks / "01_ingest.ipynb", tmp_path / "out.ipynb", {})

    @pytest.fixture
    def starts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A file with a line per start of a kernel that dies at once, unless told to live."""
        starts = tmp_path / "starts"
        script = (
            "import os, sys; from pathlib import Path\n"
            "starts = Path(sys.argv[1]); lives = starts.with_name('lives')\n"
            "starts.open('a').write('start\\n')\n"
            "if not lives.exists() or len(starts.read_text().split()) < 2: sys.exit('no kernel')\n"
            "os.execv(sys.executable, [sys.executable, '-m', 'helpers.kernel', 'serve',\n"
            "    '--connection-file', sys.argv[2]])\n"
        )
        kernel = {
            "argv": [sys.executable, "-c", script, str(starts), "{connection_file}"],
            "display_name": "dies",
            "language": "python",
        }
        folder = tmp_path / "jupyter" / "kernels" / "dies"
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps(kernel))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        monkeypatch.setattr(spec, "NAME", "dies")
        return starts

    def test_a_kernel_that_does_not_come_up_is_started_again(
        self, starts: Path, notebooks: Path, tmp_path: Path
    ) -> None:
        starts.with_name("lives").touch()
        output = tmp_path / "out.ipynb"
        runner.execute(notebooks / "01_ingest.ipynb", output, {})
        assert len(list_printed(read_notebook(output))) == 1
        assert starts.read_text().split() == ["start", "start"]

    def test_a_kernel_that_does_not_come_up_twice_is_told_in_one_line(
        self, starts: Path, notebooks: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(runner.NotebookError) as caught:
            runner.execute(notebooks / "01_ingest.ipynb", tmp_path / "out.ipynb", {})
        assert str(caught.value) == (
            "01_ingest cannot start\n"
            "RuntimeError: Kernel died before replying to kernel_info, twice"
        )
        assert starts.read_text().split() == ["start", "start"]

    def test_an_interrupt_ends_the_kernel_as_well(self, tmp_path: Path) -> None:
        source, output = tmp_path / "slow.ipynb", tmp_path / "out.ipynb"
        write_notebook(make_notebook("A = 1", "import time; time.sleep(600)"), source)
        script = (
            "import signal, sys; from pathlib import Path; from helpers import runner\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "try: runner.execute(Path(sys.argv[1]), Path(sys.argv[2]), {})\n"
            "except KeyboardInterrupt: sys.exit(130)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, source, output], stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not (
                output.exists() and '"execution_count": 1' in output.read_text()
            ):
                time.sleep(0.2)
            children = psutil.Process(process.pid).children(recursive=True)
            assert children
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []


class TestRun:
    @pytest.mark.usefixtures("notebooks")
    def test_each_notebook_is_given_what_it_declares(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place = tmp_path / "run"
        write_manifest(locate(str(place)))
        given = ["-p", "RUN_URI", str(place), "-p", "LIMIT", "4", "-p", "SEED", "3"]
        code = main(["run", *given, "--only", "05_classify", "01_ingest"])
        assert code == OK
        executed = {
            path.name: list_printed(read_notebook(path)) for path in (place / "notebooks").iterdir()
        }
        assert executed == {
            "01_ingest.ipynb": [
                f"SOURCE_URI='data_sample', RUN_URI='{place}', LABEL_LEVEL=1, LIMIT=4, "
                "SAMPLE_FRACTION=1.0\n"
            ],
            "05_classify.ipynb": [
                f"RUN_URI='{place}', SEED=3, PCA='current', CLASSIFIER='logistic_regression'\n"
            ],
        }
        lines = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"01_ingest +\d+\.\d s", lines[0])
        assert re.fullmatch(r"05_classify +\d+\.\d s", lines[1])
        assert lines[3].split(maxsplit=1) == [
            "Photos",
            "1,234 found: 1,230 taken, 4 skipped: 3 hidden, 1 limit",
        ]
        assert lines[-1].split() == ["Report", str(place / "report.html")]
        assert "1,230 taken" in (place / "report.html").read_text()

    def test_a_failing_cell_fails_the_run(
        self, notebooks: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        failing = make_notebook("RUN_URI = ''", "raise ValueError('a\\nb')")
        write_notebook(failing, notebooks / "02_preprocess.ipynb")
        place = tmp_path / "run"
        code = main(["run", "-p", "RUN_URI", str(place), "--only", "02_preprocess", "03_featurize"])
        assert code == FAILED
        shown = capfd.readouterr()
        assert shown.err.splitlines()[-3:] == [
            "02_preprocess failed in cell [3]",  # the second holds the parameters given
            "ValueError: a",
            "b",
        ]
        kept = place / "notebooks" / "02_preprocess.ipynb"
        assert str(kept) in shown.out
        assert [path.name for path in (place / "notebooks").iterdir()] == [kept.name]
        assert not (place / "report.html").exists()

    @pytest.mark.usefixtures("notebooks")
    def test_refused_parameters_start_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        place = tmp_path / "run"
        assert main(["run", "-p", "RUN_URI", str(place), "-p", "LIMITS", "3"]) == REFUSED
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err == ("error: no notebook declares the parameter 'LIMITS'; nearest: LIMIT\n")
        assert not place.exists()

    def test_a_missing_parameter_file_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", "--params", "nosuch.yaml"]) == REFUSED
        assert "nosuch.yaml" in capsys.readouterr().err

    def test_an_unknown_notebook_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["run", "--only", "06_dream"])
        assert caught.value.code == REFUSED
        assert "06_dream" in capsys.readouterr().err

    def test_an_interrupt_has_its_exit_code(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(runner, "run_notebooks", interrupted)
        assert main(["run"]) == INTERRUPTED
        assert "goes on where it stopped" in capsys.readouterr().err

    def test_a_wheel_holds_no_notebooks(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(runner, "project_root", lambda: None)
        assert main(["run", "-p", "RUN_URI", str(tmp_path / "run")]) == FAILED
        assert "the notebooks are not on this machine" in capsys.readouterr().err

    @pytest.mark.usefixtures("notebooks")
    def test_a_bucket_takes_notebooks_and_report(self, bucket: str) -> None:
        place = locate(f"s3://{bucket}/run")
        write_manifest(place)
        said: list[str] = []
        runner.run_notebooks({"RUN_URI": place.uri}, ["01_ingest"], said.append)
        assert b"SAMPLE_FRACTION=1.0" in (place / "notebooks" / "01_ingest.ipynb").read()
        assert b"1,230 taken" in (place / "report.html").read()
        assert said[-1].split() == ["Report", f"s3://{bucket}/run/report.html"]

    def test_a_bucket_keeps_a_failed_notebook(self, notebooks: Path, bucket: str) -> None:
        failing = make_notebook("RUN_URI = ''", "raise ValueError('no fruit')")
        write_notebook(failing, notebooks / "01_ingest.ipynb")
        place = locate(f"s3://{bucket}/run")
        with pytest.raises(runner.NotebookError, match="no fruit"):
            runner.run_notebooks({"RUN_URI": place.uri}, ["01_ingest"], lambda _: None)
        assert b"no fruit" in (place / "notebooks" / "01_ingest.ipynb").read()


class TestSummary:
    def test_it_says_what_became_of_every_photo(self) -> None:
        assert summarize(MANIFEST) == [
            ("Photos", "1,234 found: 1,230 taken, 4 skipped: 3 hidden, 1 limit"),
            ("Rejected", "10: 1 empty, 9 truncated"),
            ("Duplicates", "2 (same bytes under another path)"),
            ("Features", "1,218 photos x 1,280 (mobilenet_v2, weights sample)"),
            ("PCA", "41 components explain 90.1% of the variance, fitted on 900 photos"),
            ("Accuracy", "98.8%, macro F1 0.980 (logistic_regression, split blocked)"),
            (
                "Baselines",
                "7.0%, macro F1 0.010 (majority_class); 6.0%, macro F1 0.050 (shuffled_labels)",
            ),
            ("02_preprocess", "2.0 s, 1,230 photos, 603 per second"),
        ]

    def test_it_says_no_more_than_the_stages_that_finished(self) -> None:
        assert summarize({"format": FORMAT, "history": []}) == []
        found = {"found": 2, "skipped": {}, "images": 2}
        assert summarize({"counts": found}) == [("Photos", "2 found: 2 taken, 0 skipped")]

    def test_random_weights_are_said_loudly(self) -> None:
        used = {"parameters": {"BACKBONE": "vgg16", "WEIGHTS": "random"}}
        features = dict(summarize({**MANIFEST, **used}))["Features"]
        assert "weights random: THESE FEATURES MEAN NOTHING" in features


class TestReport:
    @pytest.fixture
    def page(self, tmp_path: Path) -> str:
        run = Run(locate(str(tmp_path / "<run>")))
        write_manifest(run.location)
        for name in ("03_featurize", "04_pca"):
            executed = make_notebook("A = 1", "print('<b>shown</b>')")
            executed.cells.insert(1, make_text_cell("Two fruits\nof *many*."))
            executed.cells[2].outputs = [make_printed("<b>shown</b>\n"), make_figure(PNG)]
            executed.cells.append(make_text_cell("Next: [04 PCA](04_pca.ipynb)"))
            executed.metadata["papermill"] = {"end_time": "2026-01-02T03:04:05.678+00:00"}
            place = tmp_path / "<run>" / "notebooks" / f"{name}.ipynb"
            place.parent.mkdir(exist_ok=True)
            write_notebook(executed, place)
        return write_page(run).read().decode()

    def test_it_needs_no_other_file_and_no_host(self, page: str) -> None:
        sources = re.findall(r"""(?:src|href|action|data)\s*=\s*["']?([^"'\s>]+)""", page)
        assert sources
        assert all(source.startswith(("data:", "#")) for source in sources)
        assert "<script" not in page
        assert "<link" not in page
        assert "@import" not in page
        assert "url(" not in page

    def test_the_summary_comes_first(self, page: str) -> None:
        assert page.index("41 components explain") < page.index("03_featurize.ipynb, executed")
        assert page.index("03_featurize.ipynb, exec") < page.index("04_pca.ipynb, exec")
        assert "2026-01-02 03:04" in page

    def test_figures_and_text_are_shown_and_code_is_folded(self, page: str) -> None:
        assert page.count(f'alt="Two fruits of *many*." src="data:image/png;base64,{PNG}"') == 2
        assert "&lt;b&gt;shown&lt;/b&gt;\n" in page
        assert "<b>shown</b>" not in page
        unfolded = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
        assert "input_area" in page
        assert 'class="input_area"' not in unfolded

    def test_only_the_parameters_are_open(self, page: str) -> None:
        assert page.count('<details open="">') == 2
        assert page.count("<details>") == 2

    def test_names_are_escaped(self, page: str) -> None:
        assert "&lt;run&gt;" in page
        assert "<run>" not in page

    def test_links_to_neighbors_stay_within_the_page(self, page: str) -> None:
        assert 'href="#04_pca">04 PCA</a>' in page
        assert page.count('id="04_pca"') == 1
        assert "ipynb)" not in page

    def test_a_run_without_notebooks_has_none(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no notebook was executed"):
            write_page(Run(locate(str(tmp_path))))


class TestRejects:
    NAMES = (
        "Test/a/b.jpg",
        "Test/a_b.jpg",
        "Test/empty.jpg",
        "Test/good.jpg",
        "Test/passed later.jpg",
        'Test/quote"\nline ' + "é" * 110 + ".jpg",
    )

    @pytest.fixture
    def run(self, folder_of: Callable[..., Path], tmp_path: Path) -> Run:
        """A run whose 02 rejected some photos, one of them only at its first attempt."""
        source = folder_of({name: name.encode() for name in self.NAMES})
        run = Run(locate(str(tmp_path / "run")))
        parameters = Parameters(SOURCE_URI=str(source), RUN_URI=run.location.uri)
        catalog = ingest(parameters).catalog
        name = fingerprint_pixels(parameters)
        pixels, refused = results.open_pixels(run, name)
        rows = {row["path"]: row for row in catalog.read_images().to_pylist()}

        def reject(path: str, attempt: int, content: bytes | None, reason: str) -> dict[str, Any]:
            key = {column: rows[path][column] for column in schemas.KEY}
            detail = f"attempt {attempt}"
            extra = {"reason": reason, "detail": detail, "attempt": attempt, "content": content}
            return {**key, "image_id": None, **extra}

        odd = self.NAMES[-1]
        first = [
            reject("Test/a/b.jpg", 1, b"first", "truncated"),
            reject("Test/passed later.jpg", 1, b"no", "truncated"),
            reject(odd, 1, b"odd", "truncated"),
            reject("Test/empty.jpg", 1, None, "empty"),
        ]
        second = [
            reject("Test/a/b.jpg", 2, b"second", "truncated"),
            reject("Test/a_b.jpg", 2, b"like it", "truncated"),
        ]
        for part, stored in (("part-1.parquet", first), ("part-2.parquet", second)):
            refused.write(part, pa.Table.from_pylist(stored, schema=schemas.REJECTS.schema))
        good = [
            {
                **{column: rows[path][column] for column in schemas.KEY},
                "image_id": "0" * 64,
                "kind": "PNG RGB 1 x 1",
                "height": 1,
                "width": 1,
                "pixels": b"rgb",
            }
            for path in ("Test/good.jpg", "Test/passed later.jpg")
        ]
        pixels.write("part-3.parquet", pa.Table.from_pylist(good, schema=schemas.PIXELS.schema))
        lineage = {"images": catalog.snapshot.fingerprint, "pixels": name}
        run.append(Record(PREPROCESS, "r", lineage, parameters.fingerprint_inputs("pixels")))
        return run

    def test_the_rejects_that_count_are_exported(self, run: Run, tmp_path: Path) -> None:
        to = tmp_path / "out"
        assert rejects.export_rejects(run.location, to) == {"truncated": 3, "empty": 1}
        with (to / "rejects.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["path"] for row in rows] == [
            "Test/a/b.jpg",
            "Test/a_b.jpg",
            "Test/empty.jpg",
            self.NAMES[-1],
        ]
        assert [row["attempt"] for row in rows] == ["2", "2", "1", "1"]
        assert rows[0]["detail"] == "attempt 2"
        assert rows[0]["length"] == str(len("Test/a/b.jpg"))
        contents = [(to / row["file"]).read_bytes() if row["file"] else None for row in rows]
        assert contents == [b"second", b"like it", None, b"odd"]
        written = {path for path in to.rglob("*") if path.is_file()}
        assert written == {to / row["file"] for row in rows if row["file"]} | {to / "rejects.csv"}
        assert {path.parent.name for path in written} == {"truncated", "out"}

    @pytest.mark.parametrize(
        "path",
        [
            "../../etc/passwd.jpg",
            "/root.jpg",
            "a\nb\x1b[0m.jpg",
            "\\\\host\\x.jpg",
            "🍎" * 60 + ".jpg",
        ],
    )
    def test_a_hostile_path_makes_a_plain_file_name(self, path: str) -> None:
        name = rejects.name_file(12, path)
        assert name.startswith("0012_")
        assert name.endswith(".jpg")
        assert name.isprintable()
        assert Path(name).name == name
        assert len(os.fsencode(name)) <= 255

    def test_the_command_counts_by_reason(
        self, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        to = tmp_path / "out"
        assert main(["rejects", run.location.uri, "--to", str(to)]) == OK
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert lines[:2] == [["1", "empty"], ["3", "truncated"]]
        assert lines[2][:2] == ["4", "rejected;"]

    def test_a_folder_that_holds_something_is_refused(
        self, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        assert main(["rejects", run.location.uri, "--to", str(tmp_path / "out")]) == REFUSED
        assert "--to must be an empty folder, got" in capsys.readouterr().err
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]

    def test_a_run_without_02_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["rejects", str(tmp_path / "none"), "--to", str(tmp_path / "out")]) == REFUSED
        assert "01_ingest has not finished" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class TestHelp:
    @pytest.mark.parametrize("command", [[], ["run"], ["rejects"]])
    def test_help_loads_no_heavy_library(self, command: list[str]) -> None:
        script = (
            "import sys\nfrom helpers.cli import main\n"
            f"try: main({[*command, '--help']!r})\n"
            "except SystemExit as end: assert end.code == 0\n"
            "heavy = {'pyspark', 'papermill', 'nbconvert', 'numpy', 'pyarrow', 'boto3'}\n"
            "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("usage: fruit-features")
        assert done.stderr == "[]\n"

    def test_run_lists_every_parameter(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["run", "--help"])
        shown = capsys.readouterr().out
        for name in NOTEBOOKS:
            for parameter, default in declared(name).items():
                assert f"  {parameter} = {default!r}\n" in shown
