"""The parts of the local kernel that need neither Spark nor Jupyter."""

import ast
import gc
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jedi
import parso.cache
import pytest

from helpers.kernel import cells, completion, execution, options, progress, spec
from helpers.kernel.__main__ import main
from helpers.kernel.app import PySparkKernel
from helpers.kernel.cells import CellError, Code, Configure, Help, Info, Local, parse
from helpers.kernel.driver import Driver
from helpers.kernel.manager import FileSocketKernelManager
from helpers.spark import environment, jvm


def code(source: str) -> Code:
    cell = parse(source)
    assert isinstance(cell, Code)
    return cell


# Cells


@pytest.mark.parametrize(
    ("source", "statements", "figure"),
    [
        ("", 0, None),
        ("# only a comment", 0, None),
        ("x = 1\nx", 2, None),
        ("x = (7\n% 4)", 1, None),
        ("'''\n%matplot plt\n'''", 1, None),
        ("%matplot plt", 0, "plt"),
        ("x = 1\n%matplot plt", 1, "plt"),
        ("x = 1\n\n%matplot  pyplot \n\n", 1, "pyplot"),
    ],
)
def test_code(source: str, statements: int, figure: str | None) -> None:
    assert len(code(source).statements) == statements
    assert code(source).figure == figure


def test_headed_cells() -> None:
    assert parse("%%info") == Info()
    assert parse("%%info \n\n") == Info()
    assert parse("%%help") == Help()
    assert parse('%%configure\n{"name": "x"}') == Configure({"name": "x"}, force=False)
    assert parse("%%configure -f\n{}") == Configure({}, force=True)
    assert parse("%%configure --force\n{}") == Configure({}, force=True)
    local = parse("%%local\nx = 1\ny")
    assert isinstance(local, Local)
    assert [statement.lineno for statement in local.statements] == [2, 3]


@pytest.mark.parametrize(
    "source",
    [
        "%matplot",
        "%matplot 1",
        "%matplot plt, 1",
        "%matplotlib inline",
        "x = 1\n%timeit x",
        "x = 1\n%%time",
        "%%",
        "%%time\n1",
        "%%local -o x\n1",
        "%%configure -g\n{}",
        "!ls",
        "  !ls",
        "x?",
        "?x",
    ],
)
def test_what_livy_would_not_do_is_refused(source: str) -> None:
    with pytest.raises(CellError, match="does not work") as refusal:
        parse(source)
    assert cells.SUPPORTED in str(refusal.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("%matplot plt\nx = 1", "last line"),
        ("%matplot plt\n%matplot plt", "last line"),
        ("%matplot plt\n# a figure", "last line"),
        ("%%info\n1", "must stand alone"),
        ("%%configure\nname", "JSON object.*received 'name'"),
        ("%%configure", "JSON object"),
        ("%%configure\n[1]", "JSON object"),
    ],
)
def test_misuse_is_told(source: str, message: str) -> None:
    with pytest.raises(CellError, match=message):
        parse(source)


@pytest.mark.parametrize("source", ["x =", "x = 1\n  y = 2", "x =\n%matplot plt", "%%local\nx ="])
def test_no_python(source: str) -> None:
    with pytest.raises(SyntaxError):
        parse(source)


# Options


def test_livys_fields_are_sparks_options() -> None:
    settings = {
        "driverMemory": "2g",
        "executorCores": 3,
        "numExecutors": 4,
        "name": "fruit",
        "jars": ["a.jar", "b.jar"],
        "heartbeatTimeoutInSecond": 60,
        "conf": {"spark.ui.enabled": False, "spark.driver.memory": "1g", "spark.port": 4041},
    }
    assert options.spark_conf(settings) == {
        "spark.driver.memory": "2g",
        "spark.executor.cores": "3",
        "spark.executor.instances": "4",
        "spark.app.name": "fruit",
        "spark.jars": "a.jar,b.jar",
        "spark.ui.enabled": "false",
        "spark.port": "4041",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory": "2g"}, "driverMemory.*received 'memory'"),
        ({"driverMemory": 2}, "driverMemory must be a JSON string, received 2"),
        ({"numExecutors": "4"}, "numExecutors must be a JSON whole number, received '4'"),
        ({"numExecutors": True}, "numExecutors must be a JSON whole number, received True"),
        ({"jars": "a.jar"}, "jars must be a JSON array"),
        ({"jars": [1]}, "jars"),
        ({"conf": []}, "conf must be a JSON object"),
        ({"conf": {"spark.x": None}}, "spark.x must be a string or a number, received None"),
    ],
)
def test_wrong_fields(settings: dict[str, object], message: str) -> None:
    with pytest.raises(CellError, match=message):
        options.spark_conf(settings)


# Execution


@pytest.fixture(autouse=True)
def plain_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "displayhook", sys.__displayhook__)


def test_the_last_value_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    execution.execute(code("1\nx = 2\nfor i in range(x):\n    i").statements, {})
    assert capsys.readouterr().out == "0\n1\n"


def test_text_is_withheld_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    with execution.text_withheld():
        execution.execute(code("print('seen')\n5").statements, {})
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "'seen'" in shown.err
    assert "5" not in shown.err


def test_values_are_withheld_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with execution.text_withheld():
        execution.execute(code("5").statements, {})
    assert capsys.readouterr() == ("", "")
    assert sys.displayhook is sys.__displayhook__


def test_a_failing_cell_shows_what_it_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), execution.text_withheld():
        execution.execute(code("print('seen')\n1 / 0").statements, {})
    assert capsys.readouterr() == ("seen\n", "")


def test_a_figure_needs_its_module() -> None:
    with pytest.raises(CellError, match="'plt' is not defined"):
        execution.png({}, "plt")


def fail(source: str, namespace: dict[str, Any] | None = None) -> dict[str, Any]:
    filename = execution.name_source(7, source)
    with pytest.raises(BaseException) as failure:  # noqa: PT011, PT012
        cell = parse(source, filename)
        assert isinstance(cell, Code | Local)
        execution.execute(cell.statements, namespace if namespace is not None else {}, filename)
    return execution.explain(failure.value)


def test_an_exception_is_told_from_the_cell_on() -> None:
    told = fail("def f():\n    return 1 / 0\n\nf()")
    assert told["ename"] == "ZeroDivisionError"
    assert told["evalue"] == "division by zero"
    assert told["traceback"] == [
        "Traceback (most recent call last):",
        '  File "<cell 7>", line 4, in <module>',
        "    f()",
        '  File "<cell 7>", line 2, in f',
        "    return 1 / 0",
        "           ~~^~~",
        "ZeroDivisionError: division by zero",
    ]


def test_lines_are_counted_from_the_head_of_the_cell() -> None:
    assert '  File "<cell 7>", line 3, in <module>' in fail("%%local\n\n1 / 0")["traceback"]


def test_frames_of_libraries_are_kept_and_the_kernels_are_not() -> None:
    told = fail("import json\njson.loads('x')")
    assert any("json/decoder.py" in line for line in told["traceback"])
    assert not any("helpers/kernel" in line for line in told["traceback"])
    driver = Driver(no_spark, no_end)
    told = fail("display(1)", driver.namespace)
    assert told["ename"] == "NameError"
    assert not any("helpers/kernel" in line for line in told["traceback"])


def test_a_syntax_error_shows_the_place_alone() -> None:
    assert fail("x = 1\ny = = 2")["traceback"][0] == '  File "<cell 7>", line 2'
    assert fail("await x")["traceback"][0] == '  File "<cell 7>", line 1'


def test_a_fault_of_the_kernel_shows_all_frames() -> None:
    with pytest.raises(TypeError) as fault:
        execution.execute([ast.Pass()], {})
    assert any("execution.py" in line for line in execution.explain(fault.value)["traceback"])


def test_an_interrupt_shows_the_cells_frames_alone_and_what_was_done() -> None:
    def interrupted() -> None:
        try:
            raise OSError("in a library")
        except OSError:
            raise KeyboardInterrupt from None

    told = fail("def f():\n    interrupted()\nf()", {"interrupted": interrupted})
    assert told["ename"] == "KeyboardInterrupt"
    assert told["traceback"] == [
        "Traceback (most recent call last):",
        '  File "<cell 7>", line 3, in <module>',
        "    f()",
        '  File "<cell 7>", line 2, in f',
        "    interrupted()",
        "KeyboardInterrupt: the cell was interrupted, and Spark's jobs were cancelled",
    ]


def test_every_exception_of_a_group_is_told() -> None:
    told = fail("raise ExceptionGroup('two', [ValueError('a'), TypeError('b')])")
    assert told["ename"] == "ExceptionGroup"
    assert "    | ValueError: a" in told["traceback"]
    assert "    | TypeError: b" in told["traceback"]


def test_an_exception_that_has_no_text_is_told_all_the_same() -> None:
    told = fail("class Odd(Exception):\n    def __str__(self):\n        1 / 0\nraise Odd")
    assert told["ename"] == "Odd"
    assert isinstance(told["evalue"], str)


# Driver


class FakeContext:
    def __init__(self, jobs: dict[int, list[tuple[int, int]]] | None = None) -> None:
        self.jobs = jobs or {}
        self.cancelled = False

    version = "3.5.8"
    master = "local[2]"
    applicationId = "local-1"
    uiWebUrl = None

    def cancelAllJobs(self) -> None:
        self.cancelled = True

    def statusTracker(self) -> "FakeContext":
        return self

    def getActiveJobsIds(self) -> list[int]:
        return list(self.jobs)

    def getJobInfo(self, job: int) -> SimpleNamespace:
        return SimpleNamespace(stageIds=[(job, i) for i in range(len(self.jobs[job]))])

    def getStageInfo(self, stage: tuple[int, int]) -> SimpleNamespace:
        done, total = self.jobs[stage[0]][stage[1]]
        return SimpleNamespace(numCompletedTasks=done, numTasks=total)


class Sessions:
    """Builds and ends sessions that are no Spark, and remembers."""

    def __init__(self) -> None:
        self.built: list[Mapping[str, str]] = []
        self.ended: list[Any] = []

    def build(self, conf: Mapping[str, str]) -> Any:
        self.built.append(conf)
        return SimpleNamespace(sparkContext=FakeContext())

    def end(self, session: Any) -> None:
        self.ended.append(session)


def no_spark(_: Mapping[str, str]) -> Any:
    raise RuntimeError("no Java")


def no_end(session: Any) -> None:
    raise AssertionError(f"{session} was never built")


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def driver(sessions: Sessions) -> Driver:
    return Driver(sessions.build, sessions.end)


def test_spark_starts_at_its_first_use(driver: Driver, sessions: Sessions) -> None:
    driver.run(code("def f():\n    return sc\nprint(len('spark'))"), "<cell 1>")
    assert sessions.built == []
    assert "has not started" in driver.info()
    driver.run(code("context = f()"), "<cell 2>")
    driver.run(code("same = spark.sparkContext is context"), "<cell 3>")
    assert driver.namespace["same"]
    assert sessions.built == [{}]
    assert "Spark 3.5.8, local[2], local-1" in driver.info()


def test_a_name_of_the_users_own_stays(driver: Driver) -> None:
    driver.run(code("sc = 'mine'\nspark\nkept = sc"), "<cell 1>")
    assert driver.namespace["kept"] == "mine"


def test_unknown_names_are_unknown(driver: Driver) -> None:
    with pytest.raises(NameError, match="'nothing' is not defined"):
        driver.run(code("nothing"), "<cell 1>")


def test_configure_begins_anew(driver: Driver, sessions: Sessions) -> None:
    driver.configure({"driverMemory": "1g"}, force=False)
    driver.configure({"name": "second"}, force=False)
    driver.run(code("x = spark"), "<cell 1>")
    assert sessions.built == [{"spark.app.name": "second"}]
    with pytest.raises(CellError, match="session has begun"):
        driver.configure({}, force=False)
    with pytest.raises(CellError, match="'nonsense'"):
        driver.configure({"nonsense": 1}, force=True)
    assert sessions.ended == []
    first = driver.namespace["x"]
    driver.configure({"driverMemory": "2g"}, force=True)
    assert sessions.ended == [first]
    assert driver.namespace == {}
    assert '{"driverMemory": "2g"}' in driver.info()
    assert driver.namespace["spark"] is not first
    assert sessions.built[1:] == [{"spark.driver.memory": "2g"}]


def test_the_session_begins_with_the_first_cell_whether_spark_runs_or_not(driver: Driver) -> None:
    driver.run(code("x = 1"), "<cell 1>")
    with pytest.raises(CellError, match="session has begun"):
        driver.configure({}, force=False)


def test_a_failed_start_can_be_tried_again(sessions: Sessions) -> None:
    fails = iter([True, False])
    driver = Driver(lambda conf: (no_spark if next(fails) else sessions.build)(conf), sessions.end)
    with pytest.raises(RuntimeError, match="no Java"):
        driver.run(code("spark"), "<cell 1>")
    assert driver.status() == ""
    driver.run(code("x = spark"), "<cell 2>")
    assert len(sessions.built) == 1


def test_stop_and_cancel(driver: Driver, sessions: Sessions) -> None:
    driver.stop()
    driver.cancel()
    spark = driver.session()
    driver.cancel()
    assert spark.sparkContext.cancelled  # type: ignore[attr-defined]
    driver.stop()
    driver.stop()
    assert sessions.ended == [spark]


def test_status_while_spark_starts() -> None:
    told: list[str] = []

    def start(_: object) -> Any:
        told.append(starting.status())

    starting = Driver(start, no_end)
    starting.session()
    assert told == ["Spark is starting ..."]


def test_status_while_spark_works(driver: Driver) -> None:
    assert driver.status() == ""
    spark: Any = driver.session()
    assert driver.status() == ""
    spark.sparkContext.jobs = {1: [(3, 4), (0, 4)], 2: [(1, 2)]}
    assert driver.status() == progress.bar(4, 10)


# The JVM


def test_sparks_own_handler_of_interrupts_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(_: Mapping[str, str]) -> str:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return "a session"

    monkeypatch.setattr("helpers.spark.session.start_session", build)
    before = signal.getsignal(signal.SIGINT)
    assert jvm.start({}) == "a session"  # type: ignore[comparison-overlap]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_session_that_has_stopped_has_no_tasks_and_none_to_cancel() -> None:
    stopped: Any = SimpleNamespace(sparkContext=SimpleNamespace())
    assert jvm.tasks(stopped) == (0, 0)
    jvm.cancel(stopped)


# Progress


def test_a_bar() -> None:
    assert progress.bar(4, 10).endswith("4 of 10 tasks")
    assert progress.bar(4, 10).count("#") == 16


def watch(lines: Iterator[str]) -> list[str]:
    shown: list[str] = []
    used_up = threading.Event()

    def status() -> str:
        try:
            return next(lines)
        except StopIteration:
            used_up.set()
            return last[0]

    last = [""]

    def show(line: str) -> None:
        last[0] = line
        shown.append(line)

    with progress.progress(status, show, period=0.001):
        assert used_up.wait(timeout=10)
    return shown


def test_a_line_is_shown_when_it_changes_and_none_stays() -> None:
    assert watch(iter(["", "a", "a", "b"])) == ["a", "b", ""]
    assert watch(iter(["a", ""])) == ["a", ""]


def test_nothing_to_tell_shows_nothing() -> None:
    assert watch(iter(["", ""])) == []


# Completion


@pytest.fixture
def jedis_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """jedi's cache in an empty folder, and nothing that earlier tests left in memory."""
    monkeypatch.setattr(jedi.settings, "cache_directory", str(tmp_path))
    parso.cache.parser_cache.clear()
    return tmp_path


@pytest.mark.parametrize("length", [0, 10, 1000])
def test_a_cut_file_in_jedis_cache_is_no_matter(jedis_cache: Path, length: int) -> None:
    assert "strip" in completion.complete("''.st", 5, {})["matches"]
    written = list(jedis_cache.rglob("*.pkl"))
    assert written
    for file in written:
        file.write_bytes(file.read_bytes()[:length])
    parso.cache.parser_cache.clear()
    assert "strip" in completion.complete("''.st", 5, {})["matches"]
    assert completion.inspect("len", 3, {})["found"]


@pytest.mark.usefixtures("jedis_cache")
def test_completion_counts_characters_of_the_whole_cell() -> None:
    found = completion.complete("'é'\nmeasu + 1", 9, {"measured": 1})
    assert found["matches"] == ["measured"]
    assert (found["cursor_start"], found["cursor_end"]) == (4, 9)
    assert completion.complete("nothing_like_it", 15, {})["matches"] == []


@pytest.mark.usefixtures("jedis_cache")
def test_completion_does_not_start_spark(driver: Driver) -> None:
    for name in ("spark", "sc"):
        assert completion.complete(f"{name}.ra", len(name) + 3, driver.namespace)["matches"] == []
        assert not completion.inspect(name, 2, driver.namespace)["found"]
    assert "has not started" in driver.info()


@pytest.mark.usefixtures("jedis_cache")
@pytest.mark.parametrize(
    ("source", "at", "begins"),
    [
        ("measure", 3, "measure(width: int)"),
        ("measure(", 8, "measure(width: int)"),
        ("measure(1, ", 11, "measure(width: int)"),
        ("measure(len", 11, "len("),
        ("(", 1, ""),
        ("unknown", 3, ""),
    ],
)
def test_inspection_is_of_the_name_or_the_call_around(source: str, at: int, begins: str) -> None:
    def measure(width: int) -> None:
        pass

    reply = completion.inspect(source, at, {"measure": measure})
    assert reply["found"] == bool(begins)
    assert reply["data"].get("text/plain", "").startswith(begins)


# Kernel


def test_a_second_interrupt_does_not_lose_the_reply_to_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(Driver, "cancel", lambda _: signal.raise_signal(signal.SIGINT))
    kernel = PySparkKernel()
    monkeypatch.setattr(kernel, "send_response", lambda *message: sent.append(message[2]))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = kernel.do_execute("raise KeyboardInterrupt", silent=False)
        with pytest.raises(StopIteration) as end:
            answer.send(None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert end.value.value["ename"] == "KeyboardInterrupt"
    assert [failure["ename"] for failure in sent] == ["KeyboardInterrupt"]


# Sockets


def test_the_folder_of_sockets_goes_with_the_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    manager = FileSocketKernelManager()
    [folder] = tmp_path.iterdir()
    assert manager.get_connection_info()["ip"] == f"{folder}/socket"
    assert folder.stat().st_mode & 0o077 == 0  # who can write to a socket can run code
    del manager
    gc.collect()
    assert not folder.exists()


def test_a_path_too_long_for_a_socket_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(OSError, match=r"TMPDIR must be \d+ bytes shorter .*/x+$"):
        FileSocketKernelManager()
    gc.collect()
    assert not list(folder.iterdir())


# Kernelspec


def test_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["install", "--prefix", str(tmp_path)])
    main(["install", "--prefix", str(tmp_path)])
    file = tmp_path / "share" / "jupyter" / "kernels" / "pysparkkernel" / "kernel.json"
    assert str(file.parent) in capsys.readouterr().out
    content = json.loads(file.read_text())
    assert content["argv"][0] == sys.executable
    assert "{connection_file}" in content["argv"]
    assert content["display_name"] == "PySpark"
    assert content["language"] == "python"
    assert content["env"] == {"MPLBACKEND": "Agg", **environment.MEMORY}


def test_install_is_for_this_environment_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["install", "--help"])
    assert sys.prefix in capsys.readouterr().out.replace("\n", "").replace(" ", "")


def test_the_command_line_asks_for_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "install" in capsys.readouterr().err


def test_kernelspec_is_found_by_jupyter(tmp_path: Path) -> None:
    from jupyter_client.kernelspec import KernelSpecManager

    folder = spec.install(tmp_path)
    manager = KernelSpecManager(kernel_dirs=[str(folder.parent)])
    assert manager.get_kernel_spec("pysparkkernel").metadata == {"supported_encryption": ["curve"]}
