"""Runs of the stages in a driver process of their own, with a fault where one is given."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PATIENCE = 600.0  # seconds a run may take on a busy machine


@dataclass(frozen=True)
class Fault:
    """A fault: what happens at the ``at``-th event of a kind; see ``site/sitecustomize.py``."""

    event: str
    match: str
    at: int
    victim: str | None = None
    until: str | None = None

    def to_json(self) -> str:
        return json.dumps({k: v for k, v in vars(self).items() if v is not None})


@dataclass(frozen=True)
class Outcome:
    """How a driver ended; ``new`` and ``seconds`` are of the stages that it finished."""

    code: int
    new: dict[str, int]
    seconds: dict[str, float]
    wall: float
    stderr: str

    @property
    def error(self) -> str:
        """The last line of its standard error."""
        return (self.stderr.strip().splitlines() or [""])[-1]


@dataclass(frozen=True)
class Runs:
    """Starts drivers on one run; their counts are kept in ``counts``."""

    parameters: Mapping[str, Any]
    counts: Path
    conf: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return str(self.parameters["RUN_URI"])

    @property
    def passes(self) -> int:
        """Photos pushed through a network so far, by all drivers together."""
        return self._count("passes")

    @property
    def struck(self) -> bool:
        return self._count("struck") > 0

    def run(self, *stages: str, fault: Fault | None = None, **options: Any) -> Outcome:
        """Run the stages in a driver, and wait until it ends."""
        with self.start(*stages, fault=fault, **options) as driver:
            return driver.wait()

    @contextlib.contextmanager
    def start(
        self,
        *stages: str,
        fault: Fault | None = None,
        copies: Path | None = None,
        before: Sequence[str] = (),
    ) -> Iterator["Driver"]:
        """Start a driver that runs the stages; it is killed where the block leaves it running.

        Parameters
        ----------
        copies
            Folder that gets a copy of the run after each stage.
        before
            Words that the driver's command begins with, such as ``setpriv``.
        """
        added = make_environment(self.counts, fault)
        executor = {f"spark.executorEnv.{name}": value for name, value in added.items()}
        spec: dict[str, Any] = {
            "stages": stages,
            "parameters": dict(self.parameters),
            "conf": {**executor, **self.conf},
        }
        if copies is not None:
            spec["copies"] = str(copies)
        with Driver(
            [*before, sys.executable, str(HERE / "drive.py"), json.dumps(spec)],
            {**os.environ, **self.environment, **added},
            self.counts,
        ) as driver:
            yield driver

    def _count(self, name: str) -> int:
        file = self.counts / name
        return file.stat().st_size if file.exists() else 0


def make_environment(counts: Path, fault: Fault | None = None) -> dict[str, str]:
    """Make the environment of a driver whose passes are counted and which a fault strikes."""
    counts.mkdir(parents=True, exist_ok=True)
    modules = [str(HERE / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(modules), "FAULT_COUNTS": str(counts)}
    return environment | ({"FAULT": fault.to_json()} if fault else {})


class Driver:
    """A process that runs stages; as a context manager it leaves no process behind."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        logs: Path,
    ) -> None:
        self._started = time.monotonic()
        number = len(list(logs.glob("*.out")))
        self._out, self._err = (logs / f"{number}.{name}" for name in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its JVM is of the same group
        self.process.wait()

    def wait(self, timeout: float = PATIENCE) -> Outcome:
        """Wait until the driver ends."""
        code = self.process.wait(timeout)
        lines = [
            json.loads(line) for line in self._out.read_text().splitlines() if line.startswith("{")
        ]
        return Outcome(
            code=code,
            new={line["stage"]: line["new"] for line in lines if "new" in line},
            seconds={line["stage"]: line["seconds"] for line in lines},
            wall=time.monotonic() - self._started,
            stderr=self._err.read_text(),
        )


def wait_until(condition: Any, seconds: float, what: str) -> None:
    """Wait until ``condition()`` is true; raise if it is not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.2)
