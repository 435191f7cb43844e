"""Decoding in a child process: what kills or stalls a decoder kills or stalls the child alone."""

import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.photos.decode import Limits, RejectedError, pixels
from helpers.photos.sandbox import Sandbox

LIMITS = Limits(pixels=100_000_000, aspect=20.0)
MIB = 1024**2

Encode = Callable[..., bytes]


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
            assert (array == pixels(open_image(content, LIMITS), 64)).all()
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
                pixels(open_image(content, LIMITS), 64)
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


def test_nothing_is_started_before_it_is_needed() -> None:
    with Sandbox():
        assert children() == []


def test_a_decode_that_takes_too_long_is_stopped(encoded: Encode) -> None:
    with Sandbox(seconds=0.5) as sandbox:
        begun = time.monotonic()
        error = refusal(sandbox, stalling())
        assert time.monotonic() - begun < 5
        assert (error.reason, error.detail) == ("decode_limit", "decoding took more than 0.5 s")
        assert children() == []
        assert sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS).shape == (50, 64, 3)


def test_a_child_whose_parent_is_gone_ends_by_itself(encoded: Encode) -> None:
    """It is stopped by its own alarm, here while the parent merely waits for longer."""
    with Sandbox(seconds=0.2) as sandbox:
        sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS)
        sandbox._seconds = 60.0
        error = refusal(sandbox, stalling())
    assert (error.reason, error.detail) == ("decode_limit", "the decoder died (SIGALRM)")


def test_a_decode_that_takes_too_much_memory_is_refused(encoded: Encode) -> None:
    content = encoded(Image.new("L", (7000, 7000)), "PNG")  # 196 MB as RGB
    with Sandbox(memory=256 * MIB) as sandbox:
        assert refusal(sandbox, content).reason == "decode_limit"
        assert sandbox.decode(encoded(photo(), "PNG"), 64, LIMITS).shape == (50, 64, 3)
    with Sandbox() as sandbox:
        assert sandbox.decode(content, 64, LIMITS).shape == (64, 64, 3)


def test_bytes_beyond_the_memory_are_refused(encoded: Encode) -> None:
    with Sandbox(memory=256 * MIB) as sandbox:
        assert refusal(sandbox, bytes(300 * MIB)).reason == "decode_limit"
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
