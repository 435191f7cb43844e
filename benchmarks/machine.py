"""The machine that was measured on: processor, memory, versions; no names of hosts or people."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from helpers.network.spec import read_instruction_set
from helpers.run.manifest import installed_versions
from helpers.spark import session

_MORE_LIBRARIES = ("scikit-learn", "scipy", "nncf")


def describe() -> dict[str, Any]:
    """Describe the machine as JSON values; ``load`` counts the processes that wanted to run."""
    return {
        "processor": _read_processor(),
        "instruction_set": read_instruction_set(),
        "cores": session.count_cores(),
        "memory_gib": round(session.measure_memory() / session.GIB, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "java": _read_java(),
        "versions": installed_versions() | _read_more_versions(),
        "load": round(os.getloadavg()[0], 2),
    }


def _read_processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _read_java() -> str:
    release = session.find_java() / "release"
    lines = release.read_text().splitlines() if release.exists() else []
    fields = dict(line.partition("=")[::2] for line in lines)
    return fields.get("JAVA_VERSION", "unknown").strip('"')


def _read_more_versions() -> dict[str, str]:
    installed = {}
    for name in _MORE_LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
