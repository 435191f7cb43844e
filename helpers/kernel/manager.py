"""Starts the kernels of a run: they listen on files."""

import os
import shutil
import tempfile
import weakref
from typing import Any

import zmq
from jupyter_client.manager import AsyncKernelManager


class FileSocketKernelManager(AsyncKernelManager):
    """A kernel manager whose kernel listens on files in a new folder, not on TCP ports.

    Jupyter's own manager looks for free ports, and the kernel takes them a second later. If
    another process takes one in between, the kernel dies of ``Address already in use``. The
    folder goes with the manager.

    Raises
    ------
    OSError
        If the path of the folder for temporary files is too long for a socket's.
    """

    def __init__(self, **traits: Any) -> None:
        folder = tempfile.mkdtemp(prefix="kernel-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        address = f"{folder}/socket"
        excess = len(os.fsencode(f"{address}-5")) - zmq.IPC_PATH_MAX_LEN
        if excess > 0:
            raise OSError(
                f"TMPDIR must be {excess} bytes shorter for a kernel's sockets, "
                f"got {tempfile.gettempdir()}"
            )
        super().__init__(transport="ipc", ip=address, **traits)
