"""Decoding in a child process: what kills or stalls a decoder kills or stalls the child alone."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.photos.decode import Limits, RejectedError, decode_rgb, open_image
from helpers.photos.sandbox import Sandbox

LIMITS = Limits(pixels=100_000_000, aspect=20.0)
MIB = 1024**2

Encode = Callable[..., bytes]

# Decodes a photo, prints its child's process id, decodes another, and stays.
PARENT = """
    import os, sys, threading
    from pathlib import Path
    from helpers.photos.decode import Limits
    from helpers.photos.sandbox import Sandbox

    first, second = (Path(file).read_bytes() for file in sys.argv[1:])
    limits = Limits(pixels=100_000_000, aspect=20.0)
    with Sandbox(cpu_seconds=1.0) as sandbox:
        sandbox.decode(first, 64, limits)
        print(Path(f"/proc/self/task/{os.getpid()}/children").read_text(), flush=True)
        sandbox.decode(second, 64, limits)
        threading.Event().wait()
"""


def children() -> list[int]:
    """Process ids of this process's children, zombies among them, but for another test's JVM."""
    tasks = Path("/proc/self/task").iterdir()
    pids = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() != "java"]


def kill_child() -> int:
    """Kill the one child, and wait until it is dead, but not reaped."""
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    return child


def cpu_seconds(process: int) -> float:
    """CPU time that a process took so far, in ticks of 10 ms."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def is_running(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state != "Z"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def photo(width: int = 90, height: int = 50) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


def stalling() -> bytes:
    """A progressive JPEG that repeats its last scan so often that it takes minutes."""
    file = io.BytesIO()
    Image.new("L", (1500, 1500), 10).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last_scan = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last_scan * 100_000 + b"\xff\xd9"


def refusal(sandbox: Sandbox, content: bytes) -> RejectedError:
    with pytest.raises(RejectedError) as rejected:
        sandbox.decode(content, 64, LIMITS)
    return rejected.value


def test_its_answers_are_those_of_this_process(encoded: Encode) -> None:
    kinds = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")
    with Sandbox() as sandbox:
        for kind in kinds:
            content = encoded(photo(), kind)
            array = sandbox.decode(content, 64, LIMITS)
            assert array.dtype == np.uint8
            assert (array == decode_rgb(open_image(content, LIMITS), 64)).all()
        assert len(children()) == 1


def test_its_refusals_are_those_of_this_process(encoded: Encode) -> None:
    contents = [
        b"",
        b"text",
        encoded(photo(), "PNG")[:300],
        encoded(Image.new("L", (1, 90)), "BMP"),
    ]
    with Sandbox() as sandbox:
        for content in contents:
            with pytest.raises(RejectedError) as here:
                decode_rgb(open_image(content, LIMITS), 64)
            there = refusal(sandbox, content)
            assert (there.reason, there.detail) == (here.value.reason, here.value.detail)


def test_limits_and_size_travel_with_each_photo(encoded: Encode) -> None:
    content = encoded(photo(90, 50), "PNG")
    with Sandbox() as sandbox:
        assert sandbox.decode(content, 64, LIMITS).shape == (50, 64, 3)
        assert sandbox.decode(content, 32, LIMITS).shape == (32, 32, 3)
        with pytest.raises(RejectedError, match="too_many_pixels"):
            sandbox.decode(content, 64, Limits(100, 20.0))
        with pytest.raises(RejectedError, match="extreme_aspect"):
            sandbox.decode(content, 64, Limits(10_000, 1.5))


def test_a_photo_beyond_the_pipes_buffer_passes_whole(encoded: Encode) -> None:
    image = photo(700, 600)
    with Sandbox() as sandbox:
        array = sandbox.decode(encoded(image, "BMP"), 700, LIMITS)
    assert (array == np.asarray(image)).all()


def test_the_child_imports_no_spark_no_tensorflow_and_no_tables() -> None:
    code = "import helpers.photos.sandbox, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.split(".")[0] for name in done.stdout.split()}
    assert imported >= {"numpy", "PIL"}
    assert not imported & {
        "pyspark",
        "py4j",
        "tensorflow",
        "keras",
        "openvino",
        "pandas",
        "pyarrow",
    }


def test_nothing_is_started_before_it_is_needed() -> None:
    with Sandbox():
        assert children() == []


def test_a_decode_that_takes_too_much_cpu_time_is_stopped(encoded: Encode) -> None:
    with Sandbox(cpu_seconds=0.5) as sandbox:
        error = refusal(sandbox, stalling())
        assert error.reason == "decode_limit"
        assert error.detail == "decoding took more than 0.5 s of CPU time"
        assert children() == []
        assert sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS).shape == (50, 64, 3)


def test_each_photo_has_the_whole_cpu_time(encoded: Encode) -> None:
    content = encoded(photo(2000, 2000), "PNG")
    limit = 1.0
    with Sandbox(cpu_seconds=limit) as sandbox:
        sandbox.decode(content, 64, LIMITS)
        (child,) = children()
        while cpu_seconds(child) < 2 * limit:
            sandbox.decode(content, 64, LIMITS)
        assert children() == [child]


def test_a_sound_photo_passes_though_its_child_gets_no_cpu_for_longer_than_the_cpu_limit(
    encoded: Encode,
) -> None:
    with Sandbox(cpu_seconds=0.5) as sandbox:
        sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS)
        (child,) = children()
        os.kill(child, signal.SIGSTOP)
        timer = threading.Timer(1.5, os.kill, (child, signal.SIGCONT))
        timer.start()
        begun = time.monotonic()
        assert sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS).shape == (50, 64, 3)
        assert time.monotonic() - begun > 1.4
        timer.join()
        assert children() == [child]


@pytest.mark.parametrize("side", [50, 1000], ids=["waits for the answer", "waits to send"])
def test_a_child_that_gets_no_cpu_is_stopped_at_the_limit_of_wall_clock_time(
    encoded: Encode, side: int
) -> None:
    with Sandbox(wall_seconds=2.0) as sandbox:
        sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS)
        (child,) = children()
        os.kill(child, signal.SIGSTOP)
        error = refusal(sandbox, encoded(photo(side, side), "PNG"))
        assert error.reason == "decode_limit"
        assert error.detail == "decoding took more than 2 s of wall-clock time"
        assert children() == []
        assert sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS).shape == (50, 64, 3)


@pytest.mark.parametrize("decodes", [False, True], ids=["idle", "decoding"])
def test_a_child_whose_parent_is_killed_ends_by_itself(
    encoded: Encode, tmp_path: Path, decodes: bool
) -> None:
    sound, endless = tmp_path / "sound.png", tmp_path / "endless.jpg"
    sound.write_bytes(encoded(photo(), "PNG"))
    endless.write_bytes(stalling())
    second = endless if decodes else sound
    command = [sys.executable, "-c", textwrap.dedent(PARENT), str(sound), str(second)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.2)
        parent.kill()
    deadline = time.monotonic() + 30
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_decode_that_takes_too_much_memory_is_refused(encoded: Encode) -> None:
    content = encoded(Image.new("L", (7000, 7000)), "PNG")  # 196 MB as RGB
    with Sandbox(memory=256 * MIB) as sandbox:
        error = refusal(sandbox, content)
        assert error.reason == "decode_limit"
        assert error.detail == "decoding took more than 256 MiB of memory"
        assert sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS).shape == (50, 64, 3)
    with Sandbox() as sandbox:
        assert sandbox.decode(content, 64, LIMITS).shape == (64, 64, 3)


def test_bytes_beyond_the_memory_are_refused(encoded: Encode) -> None:
    with Sandbox(memory=256 * MIB) as sandbox:
        error = refusal(sandbox, bytes(300 * MIB))
        assert error.reason == "decode_limit"
        assert error.detail == "decoding took more than 256 MiB of memory"
        assert sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS).shape == (50, 64, 3)


def test_a_photo_that_kills_the_child_is_refused_and_the_next_one_decoded(
    encoded: Encode,
) -> None:
    with Sandbox() as sandbox:
        sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS)
        killer = threading.Timer(0.3, os.kill, (children()[0], signal.SIGKILL))
        killer.start()
        error = refusal(sandbox, stalling())
        assert (error.reason, error.detail) == ("decode_limit", "the decoder died (SIGKILL)")
        assert children() == []
        assert sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS).shape == (50, 64, 3)


def test_a_child_that_died_between_two_photos_is_replaced_without_blame(encoded: Encode) -> None:
    content = encoded(photo(), "PNG")
    with Sandbox() as sandbox:
        sandbox.decode(content, 64, LIMITS)
        first = kill_child()
        assert sandbox.decode(content, 64, LIMITS).shape == (50, 64, 3)
        (second,) = children()
        assert second != first


def test_twenty_deaths_leave_no_zombie_and_no_descriptor(encoded: Encode) -> None:
    content = encoded(photo(), "PNG")
    before = descriptors()
    with Sandbox() as sandbox:
        for _ in range(20):
            sandbox.decode(content, 64, LIMITS)
            kill_child()
    assert children() == []
    assert descriptors() == before


def test_a_child_that_does_not_start_is_no_photos_fault(
    encoded: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    before = descriptors()
    with Sandbox() as sandbox:
        for _ in range(50):
            with pytest.raises(OSError, match=r"does not start \(exit code 1\)"):
                sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS)
    assert children() == []
    assert descriptors() == before


def test_descriptors_above_1023_are_served(encoded: Encode) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(1100):
            held.enter_context(Path(os.devnull).open())
        with Sandbox() as sandbox:
            assert sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS).shape == (50, 64, 3)


def test_an_error_inside_the_block_ends_the_child(encoded: Encode) -> None:
    def fail() -> None:
        with Sandbox() as sandbox:
            sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert children() == []
