"""Decoding in a child process with limits of CPU time, wall-clock time and memory.

For large or intricate photos, and for every photo of a Spark task that is being retried: what
kills or stalls a decoder then kills or stalls the child alone.
"""

import contextlib
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.photos.decode import Limits, RejectedError, decode_rgb, open_image

CPU_SECONDS = 20.0  # a sound photo of 100 megapixels takes less than 5
WALL_SECONDS = 600.0  # for a child that gets no CPU time
MEMORY = 2 * 1024**3  # bytes of address space

_DYING_SECONDS = 60.0  # for the kernel to free the memory of a child that has died
_MIB = 1024**2


class Sandbox:
    """Decodes photos in one child process, started at first use and again after a death.

    Use it as a context manager.

    Parameters
    ----------
    cpu_seconds
        CPU time of the child per photo; the kernel kills the child at this limit.
    wall_seconds
        Longest wait for the child to take a photo, or to answer.
    memory
        Address space of the child in bytes.
    """

    def __init__(
        self,
        cpu_seconds: float = CPU_SECONDS,
        wall_seconds: float = WALL_SECONDS,
        memory: int = MEMORY,
    ) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._memory = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        self._child: _Child | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def decode(self, content: bytes, size: int, limits: Limits) -> NDArray[np.uint8]:
        """Open and decode a photo, as :mod:`helpers.photos.decode` does.

        Raises
        ------
        RejectedError
            As there; and for ``decode_limit``, if the photo meets a limit of the sandbox or kills
            the child.
        OSError
            If the child does not start: no photo is to blame for that.
        """
        if self._child is None or self._child.process.poll() is not None:
            self._stop()
            self._child = _Child(self._cpu_seconds, self._memory)
        channel = self._child.channel
        channel.limit_waiting(self._wall_seconds)
        request = {"size": size, "pixels": limits.pixels, "aspect": limits.aspect}
        try:
            channel.send(request, content)
            answer, body = channel.receive()
        except TimeoutError as error:
            self._stop()
            detail = f"decoding took more than {self._wall_seconds:g} s of wall-clock time"
            raise RejectedError("decode_limit", detail) from error
        except (EOFError, ConnectionError) as error:
            code = self._stop(patience=_DYING_SECONDS)
            raise RejectedError("decode_limit", self._explain(code)) from error
        if "reason" in answer:
            raise RejectedError(**answer)
        return np.frombuffer(body, np.uint8).reshape(answer["shape"])

    def _stop(self, patience: float = 0.0) -> int:
        if self._child is None:
            return 0
        child, self._child = self._child, None
        return child.stop(patience)

    def _explain(self, code: int) -> str:
        if code == -signal.SIGPROF:
            return f"decoding took more than {self._cpu_seconds:g} s of CPU time"
        if code == errno.ENOMEM:
            return f"decoding took more than {self._memory / _MIB:,.0f} MiB of memory"
        return f"the decoder died ({_death(code)})"


class _Child:
    """The process that decodes, and the way to talk to it."""

    def __init__(self, cpu_seconds: float, memory: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "helpers.photos.sandbox", str(cpu_seconds), str(memory)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Each thread of OpenBLAS would take its share of the address space.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        self.channel = _Channel(ours)
        self.channel.limit_waiting(WALL_SECONDS)
        try:
            self.channel.receive()
        except (TimeoutError, EOFError, ConnectionError) as error:
            code = self.stop(patience=_DYING_SECONDS)
            raise OSError(f"the decoding process does not start ({_death(code)})") from error

    def stop(self, patience: float = 0.0) -> int:
        """Give the process ``patience`` seconds to end, then kill it; its exit code."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.process.kill()
        self.channel.close()
        return self.process.wait()


class _Channel:
    """Messages over a socket: each a line of JSON, then bytes whose number the line tells."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._incoming = end.makefile("rb")

    def limit_waiting(self, seconds: float) -> None:
        """Raise ``TimeoutError`` where the other side neither sends nor reads for so long."""
        self._end.settimeout(seconds)

    def send(self, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
        line = json.dumps([head, len(body)]) + "\n"
        self._end.sendall(line.encode())
        self._end.sendall(body)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Wait for a message; ``EOFError`` if the other side ends before it is whole."""
        line = self._incoming.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        head, length = json.loads(line)
        body = self._incoming.read(length)
        if len(body) < length:
            raise EOFError
        return head, body

    def close(self) -> None:
        self._incoming.close()
        self._end.close()


def _death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(cpu_seconds: float, memory: int) -> None:
    """Answer requests from the socket that is the standard input, until it closes: the child."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = _Channel(socket.socket(fileno=sys.stdin.fileno()))
    channel.send({})  # ready
    with contextlib.suppress(EOFError):
        while True:
            request, content = channel.receive()
            # The kernel sends SIGPROF, which ends the process even inside a decoder's C code.
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            try:
                image = open_image(content, Limits(request["pixels"], request["aspect"]))
                rgb = decode_rgb(image, request["size"])
            except RejectedError as error:
                if error.reason == "decode_limit":  # it lacked memory
                    raise MemoryError from error
                channel.send({"reason": error.reason, "detail": error.detail})
            else:
                channel.send({"shape": rgb.shape}, np.ascontiguousarray(rgb).data.cast("B"))
            signal.setitimer(signal.ITIMER_PROF, 0)  # receiving the next photo is free


if __name__ == "__main__":
    try:
        _serve(float(sys.argv[1]), int(sys.argv[2]))
    except MemoryError:
        sys.exit(errno.ENOMEM)  # the parent says the limit
