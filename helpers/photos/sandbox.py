"""Decoding in a child process with a deadline and a memory limit.

For large or intricate photos, and for every photo of a Spark task that is being retried: what
kills or stalls a decoder then kills or stalls the child alone.
"""

import contextlib
import json
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from helpers.photos.decode import Limits, RejectedError, decode_rgb, open_image

SECONDS = 20.0
START_SECONDS = 60.0  # for Python and its imports, on a busy machine
MEMORY = 2 * 1024**3  # bytes of address space

_REQUEST = struct.Struct("<QIQd")  # bytes that follow, size, pixel limit, aspect limit
_ANSWER = struct.Struct("<?IIQ")  # decoded?, height, width, bytes that follow
_READY = b"!"  # the child's first word


class Sandbox:
    """Decodes photos in one child process, started at first use and again after a death.

    Use it as a context manager.
    """

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def decode(self, content: bytes, size: int, limits: Limits) -> NDArray[np.uint8]:
        """Open and decode a photo, as :mod:`helpers.photos.decode` does.

        Raises
        ------
        RejectedError
            As there; and for ``decode_limit``, if the photo takes too long, takes too much
            memory or kills the child.
        OSError
            If the child does not start: no photo is to blame for that.
        """
        child = self._started()
        deadline = time.monotonic() + self._seconds
        request = _REQUEST.pack(len(content), size, limits.pixels, limits.aspect)
        try:
            _write(child.stdin, request + content, deadline)
            answer = _read(child.stdout, _ANSWER.size, deadline)
            decoded, height, width, length = _ANSWER.unpack(answer)
            body = _read(child.stdout, length, deadline)
        except TimeoutError as error:
            self._stop()
            detail = f"decoding took more than {self._seconds:g} s"
            raise RejectedError("decode_limit", detail) from error
        except (EOFError, BrokenPipeError) as error:
            code = self._stop(patience=1.0)
            raise RejectedError("decode_limit", f"the decoder died ({_death(code)})") from error
        if not decoded:
            raise RejectedError(**json.loads(body))
        return np.frombuffer(body, np.uint8).reshape(height, width, 3)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._stop()
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "helpers.photos.sandbox",
                    str(self._memory),
                    str(self._seconds),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                # Each thread of OpenBLAS would take its share of the address space.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
            try:
                _read(self._child.stdout, len(_READY), time.monotonic() + START_SECONDS)
            except (TimeoutError, EOFError) as error:
                code = self._stop(patience=1.0)
                raise OSError(f"the decoding process does not start ({_death(code)})") from error
        return self._child

    def _stop(self, patience: float = 0.0) -> int:
        """End the child, and tell its exit code; a dying one gets ``patience`` seconds first."""
        if self._child is None:
            return 0
        child, self._child = self._child, None
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
        child.kill()
        code = child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        return code


def _death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()  # select.select knows no descriptor above 1023
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _write(pipe: IO[bytes] | None, content: bytes, deadline: float) -> None:
    assert pipe is not None
    os.set_blocking(pipe.fileno(), False)
    rest = memoryview(content)
    while rest:
        _wait(pipe.fileno(), select.POLLOUT, deadline)
        rest = rest[os.write(pipe.fileno(), rest) :]


def _read(pipe: IO[bytes] | None, length: int, deadline: float) -> bytes:
    assert pipe is not None
    gathered = bytearray()
    while len(gathered) < length:
        _wait(pipe.fileno(), select.POLLIN, deadline)
        chunk = os.read(pipe.fileno(), length - len(gathered))
        if not chunk:
            raise EOFError
        gathered += chunk
    return bytes(gathered)


def _serve(memory: int, seconds: float) -> None:
    """The child: a request from standard input, its answer to standard output, until the end."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    memory = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(_READY)
    answers.flush()
    while head := requests.read(_REQUEST.size):
        # The parent stops what takes too long; the alarm does where the parent was killed.
        signal.setitimer(signal.ITIMER_REAL, 2 * seconds)
        length, size, most_pixels, aspect = _REQUEST.unpack(head)
        try:
            rgb = decode_rgb(open_image(requests.read(length), Limits(most_pixels, aspect)), size)
        except RejectedError as error:
            body = json.dumps({"reason": error.reason, "detail": error.detail}).encode()
            answers.write(_ANSWER.pack(False, 0, 0, len(body)) + body)
        else:
            answers.write(_ANSWER.pack(True, rgb.shape[0], rgb.shape[1], rgb.nbytes))
            answers.write(np.ascontiguousarray(rgb).data)
        answers.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), float(sys.argv[2]))
