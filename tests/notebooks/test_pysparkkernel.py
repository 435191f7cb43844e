"""The local kernel as Jupyter and papermill see it: a process that answers messages."""

import ast
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from conformance import CASES, Case, Seen, kernel, run, sparkmagic
from harness.notebooks import make_notebook, read_notebook, write_notebook
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from helpers import runner
from helpers.kernel import spec

ROOT = Path(__file__).parents[2]
Running = tuple[KernelManager, BlockingKernelClient]

SLOW_JOB = "sc.parallelize(range(4), 4).foreach(lambda _: __import__('time').sleep({seconds}))"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("prefix")
    spec.install(prefix)
    return prefix


@pytest.fixture(scope="module")
def kernels(prefix: Path) -> Path:
    return prefix / "share" / "jupyter" / "kernels"


@pytest.fixture
def running(kernels: Path) -> Iterator[Running]:
    with kernel(kernels) as pair:
        yield pair


def pid(manager: KernelManager) -> int:
    assert manager.provisioner is not None
    return int(manager.provisioner.pid)  # type: ignore[attr-defined]


def jvms(process: int) -> list[psutil.Process]:
    children = psutil.Process(process).children(recursive=True)
    return [child for child in children if child.name() == "java"]


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def first_text(client: BlockingKernelClient, request: str) -> str:
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") == request and message["msg_type"] == "stream":
            return str(message["content"]["text"])


def failure(client: BlockingKernelClient, request: str) -> dict[str, Any]:
    while True:
        message = client.get_shell_msg(timeout=30)
        if message["parent_header"].get("msg_id") == request:
            assert message["content"]["status"] == "error"
            return dict(message["content"])


# Conformance


@pytest.fixture(scope="module")
def here(kernels: Path) -> dict[str, Seen]:
    with kernel(kernels) as (_, client):
        return {case.name: [run(client, cell) for cell in case.cells][-1] for case in CASES}


@pytest.fixture(scope="module")
def over_livy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    url = os.environ.get("LIVY_URL")
    if not url:
        pytest.skip("LIVY_URL names no Livy server")
    python = os.environ.get("SPARKMAGIC_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import sparkmagic"], capture_output=True).returncode:
        pytest.skip(f"{python} has no sparkmagic; SPARKMAGIC_PYTHON may name one that has")
    cases = [case for case in CASES if case.livy != "elsewhere"]
    with kernel(sparkmagic(tmp_path_factory.mktemp("sparkmagic"), python, url)) as (_, client):
        return {
            case.name: [run(client, cell, timeout=600) for cell in case.cells][-1] for case in cases
        }


def check(case: Case, seen: Seen) -> None:
    assert seen.figures == case.figures
    if case.text is not None:
        assert seen.stdout.strip() == case.text
    assert re.search(case.mentions, seen.stdout + seen.stderr)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cell_here(case: Case, here: dict[str, Seen]) -> None:
    seen = here[case.name]
    check(case, seen)
    assert bool(seen.error) == bool(case.error)
    assert re.search(case.error, seen.error)
    shown = {
        kind
        for message in seen.messages
        if message["msg_type"] == "display_data"
        for kind in message["content"]["data"]
    }
    assert shown <= {"image/png"}
    assert {message["msg_type"] for message in seen.messages} <= {"stream", "display_data", "error"}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.livy == "same"], ids=lambda case: case.name
)
def test_cell_over_livy(case: Case, over_livy: dict[str, Seen]) -> None:
    seen = over_livy[case.name]
    check(case, seen)
    assert re.search(case.error, seen.error + seen.stderr)
    assert bool(seen.error + seen.stderr) == bool(case.error)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.livy == "silent"], ids=lambda case: case.name
)
def test_cell_that_loses_something_over_livy(case: Case, over_livy: dict[str, Seen]) -> None:
    assert not over_livy[case.name].error


def test_text_that_livy_would_lose_is_told(here: dict[str, Seen]) -> None:
    assert "Not shown" in here["text is not shown beside a figure"].stderr
    assert here["values are not shown beside a figure"].stderr == ""


def test_a_traceback_begins_in_the_cell(here: dict[str, Seen]) -> None:
    assert here["an exception"].error.splitlines()[1:4] == [
        "Traceback (most recent call last):",
        here["an exception"].error.splitlines()[2],
        "    1 / 0",
    ]
    assert re.match(r'  File "<cell \d+>", line 1', here["an exception"].error.splitlines()[2])
    assert "helpers/kernel" not in here["no display"].error


# The process


def test_opens_at_once_and_without_a_jvm(kernels: Path) -> None:
    begin = time.monotonic()
    with kernel(kernels) as (manager, client):
        assert run(client, "import sys; 'pyspark' in sys.modules").stdout == "False\n"
        assert time.monotonic() - begin < 10
        assert psutil.Process(pid(manager)).children() == []


def test_tells_what_it_is(running: Running) -> None:
    _, client = running
    content = client.kernel_info(reply=True, timeout=10)["content"]
    assert content["language_info"]["name"] == "python"
    assert content["supported_features"] == []


def test_paths_start_at_the_projects_root(kernels: Path, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("")
    with kernel(kernels, cwd=str(tmp_path)) as (_, client):
        assert run(client, "import os\nos.getcwd()").stdout.strip() == repr(str(ROOT))
        # Over Livy a module that lies beside the notebook is far from the driver.
        assert "ModuleNotFoundError" in run(client, "import beside").error


def test_text_appears_while_a_cell_runs(running: Running) -> None:
    _, client = running
    times = []
    begin = time.monotonic()

    def note(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            times.append(time.monotonic() - begin)

    code = "import time\nprint('now')\ntime.sleep(2)"
    client.execute_interactive(code, allow_stdin=False, output_hook=note)
    assert len(times) == 1
    assert times[0] < 1.9


def test_completes_and_inspects(running: Running) -> None:
    _, client = running
    run(client, "def measured(width: int) -> int:\n    'Tell the width.'\n    return width")
    content = client.complete("x = meas", reply=True, timeout=10)["content"]
    assert content["matches"] == ["measured"]
    assert (content["cursor_start"], content["cursor_end"]) == (4, 8)
    content = client.inspect("measured(", 3, reply=True, timeout=10)["content"]
    assert "measured(width: int)" in content["data"]["text/plain"]
    assert "Tell the width." in content["data"]["text/plain"]
    assert not client.inspect("unknown", reply=True, timeout=10)["content"]["found"]


def test_an_interrupt_ends_the_cell_alone(running: Running) -> None:
    manager, client = running
    request = client.execute("kept = 1\nprint('on')\nimport time\ntime.sleep(60)")
    assert first_text(client, request) == "on\n"
    manager.interrupt_kernel()
    assert failure(client, request)["ename"] == "KeyboardInterrupt"
    assert run(client, "kept").stdout == "1\n"


def test_ends_with_its_parent(kernels: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from conformance import kernel, run\n"
        f"with kernel(Path({str(kernels)!r})) as (manager, client):\n"
        "    run(client, 'spark')\n"
        "    print(manager.provisioner.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        family = [psutil.Process(process), *jvms(process)]
        assert len(family) == 2
        parent.kill()
    assert eventually(lambda: not any(map(alive, family)))


# Spark


@pytest.fixture(scope="module")
def with_spark(kernels: Path) -> Iterator[Running]:
    with kernel(kernels) as (manager, client):
        assert run(client, "spark.range(2).count()").stdout == "2\n"
        yield manager, client


def test_a_watched_job_has_a_bar_that_goes(with_spark: Running) -> None:
    _, client = with_spark
    seen = run(client, SLOW_JOB.format(seconds=1.5), watched=True)
    kinds = [message["msg_type"] for message in seen.messages]
    assert kinds[0] == "display_data"
    assert len(kinds) > 1
    assert set(kinds[1:]) == {"update_display_data"}
    ids = {message["content"]["transient"]["display_id"] for message in seen.messages}
    assert len(ids) == 1
    first, last = seen.messages[0]["content"]["data"], seen.messages[-1]["content"]["data"]
    assert re.fullmatch(r"Spark: [#.]{40} \d of 4 tasks", first["text/plain"])
    assert last == {}


def test_no_bar_when_nobody_watches(with_spark: Running) -> None:
    _, client = with_spark
    assert run(client, SLOW_JOB.format(seconds=1.5)).messages == []


def test_an_interrupt_cancels_sparks_jobs(with_spark: Running) -> None:
    manager, client = with_spark
    cell = "print('on')\n" + SLOW_JOB.format(seconds="pause")
    run(client, "pause = 60")
    request = client.execute(cell)
    assert first_text(client, request) == "on\n"
    time.sleep(2)
    manager.interrupt_kernel()
    told = failure(client, request)
    assert told["evalue"] == "the cell was interrupted, and Spark's jobs were cancelled"
    assert len(told["traceback"]) == 4  # the cell's own line, and no frame of py4j
    active = "len(sc.statusTracker().getActiveJobsIds())"
    assert eventually(lambda: run(client, active).stdout == "0\n")
    run(client, "pause = 0")
    assert run(client, cell).stdout == "on\n"


def test_configure_starts_spark_anew(with_spark: Running) -> None:
    manager, client = with_spark
    before = jvms(pid(manager))
    seen = run(client, '%%configure -f\n{"driverMemory": "512m", "numExecutors": 2}')
    assert '"driverMemory": "512m"' in seen.stdout
    assert "Spark has not started" in seen.stdout
    assert eventually(lambda: not any(map(alive, before)))
    # In one process the heap is the driver's memory, and is fixed when the JVM starts.
    memory = "sc._jvm.java.lang.Runtime.getRuntime().maxMemory() // 2**20"
    assert 480 <= int(run(client, memory).stdout) <= 512
    assert run(client, "spark.conf.get('spark.executor.instances')").stdout == "'2'\n"
    assert "Spark 3.5" in run(client, "%%info").stdout
    # So does a JVM that has died.
    (jvm,) = jvms(pid(manager))
    jvm.kill()
    assert run(client, "spark.range(3).count()").error
    run(client, "%%configure -f\n{}")
    assert run(client, "spark.range(3).count()").stdout == "3\n"
    assert len(jvms(pid(manager))) == 1


def test_an_interrupt_in_the_cell_that_starts_spark_and_the_jvms_end(kernels: Path) -> None:
    with kernel(kernels) as (manager, client):
        request = client.execute("sc\nprint('on')\n" + SLOW_JOB.format(seconds=60))
        assert first_text(client, request) == "on\n"
        time.sleep(2)
        manager.interrupt_kernel()
        assert failure(client, request)["ename"] == "KeyboardInterrupt"
        assert run(client, "spark.range(3).count()").stdout == "3\n"
        family = [psutil.Process(pid(manager)), *jvms(pid(manager))]
        assert len(family) == 2
    assert eventually(lambda: not any(map(alive, family)))


# papermill

FIGURE_CELL = "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1))\n%matplot plt"


def papermill(
    prefix: Path, tmp_path: Path, cells: list[str], *arguments: str
) -> tuple[subprocess.CompletedProcess[str], nbformat.NotebookNode]:
    write_notebook(make_notebook(*cells), tmp_path / "in.ipynb")
    papermill = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", *arguments]
    environment = {**os.environ, "JUPYTER_PATH": str(prefix / "share" / "jupyter")}
    done = subprocess.run(
        papermill, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    return done, read_notebook(tmp_path / "out.ipynb")


def test_papermill_sets_parameters(prefix: Path, tmp_path: Path) -> None:
    cells = ["LIMIT = 0", "LIMIT + 1", FIGURE_CELL]
    done, notebook = papermill(prefix, tmp_path, cells, "-p", "LIMIT", "41")
    assert done.returncode == 0, done.stderr
    nbformat.validate(notebook)
    assert notebook.metadata.language_info.name == "python"
    assert [cell.source for cell in notebook.cells][1] == "# Parameters\nLIMIT = 41\n"
    assert [output.text for output in notebook.cells[2].outputs] == ["42\n"]
    assert [list(output.data) for output in notebook.cells[3].outputs] == [["image/png"]]


def test_papermill_stops_at_an_error(prefix: Path, tmp_path: Path) -> None:
    cells = ["LIMIT = 0", "raise ValueError(f'LIMIT is {LIMIT}')", "1"]
    done, notebook = papermill(prefix, tmp_path, cells)
    assert done.returncode == 1
    assert "ValueError: LIMIT is 0" in done.stderr
    assert notebook.cells[-1].execution_count is None
    assert "ValueError: LIMIT is 0" in json.dumps(notebook)


def test_a_kernel_of_the_runner_listens_on_files(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(prefix / "share" / "jupyter"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source, output = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    cell = (
        "import psutil\n"
        "sorted({c.laddr for c in psutil.Process().net_connections('unix') if c.laddr})"
    )
    write_notebook(make_notebook(cell), source)
    runner.execute(source, output, {})
    shown = read_notebook(output).cells[0].outputs[0].text
    sockets = [Path(path) for path in ast.literal_eval(shown)]
    assert [path.name for path in sockets] == [f"socket-{number}" for number in range(1, 6)]
    assert {path.parent.parent for path in sockets} == {tmp_path}
    gc.collect()
    assert not list(tmp_path.glob("kernel-*"))
