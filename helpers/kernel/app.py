"""The kernel's process: takes Jupyter's messages and sends the answers."""

import io
import logging
import os
import signal
import sys
import uuid
from base64 import b64encode
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

from helpers.kernel import cells, completion, execution, spec
from helpers.kernel.driver import Driver
from helpers.kernel.progress import progress
from helpers.storage import location

LANGUAGE: dict[str, object] = {
    "name": "python",
    "mimetype": "text/x-python",
    "file_extension": ".py",
    "pygments_lexer": "python3",
    "codemirror_mode": {"name": "python", "version": 3},
}


class PySparkKernel(Kernel):
    """Answers Jupyter as sparkmagic over Livy would."""

    implementation = spec.NAME
    implementation_version = "1"
    banner = "PySpark as over Livy: %%help tells what a cell may hold"
    language_info = LANGUAGE

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)  # type: ignore[no-untyped-call]
        self._driver = Driver()
        self._local: dict[str, Any] = {"__name__": "__main__"}

    @property
    def kernel_info(self) -> dict[str, Any]:
        """What Jupyter asks first; there is no debugger and there are no subshells."""
        return {**super().kernel_info, "supported_features": []}

    def set_parent(self, ident: Any, parent: Any, channel: str = "shell") -> None:
        """Let printed text belong to the cell that runs."""
        super().set_parent(ident, parent, channel)  # type: ignore[no-untyped-call]
        if channel == "shell":
            for stream in (self._stdout, self._stderr):
                stream.set_parent(parent)  # type: ignore[union-attr]  # ipykernel's OutStream

    async def do_execute(
        self, code: str, silent: bool, *_: Any, allow_stdin: bool = False, **__: Any
    ) -> dict[str, Any]:
        """Run a cell. Whatever it raises is the cell's failure, never the kernel's."""
        # A front end that can ask for input has a person before it. papermill cannot ask.
        watched = allow_stdin and not silent
        reply: dict[str, Any] = {"status": "ok", "payload": [], "user_expressions": {}}
        try:
            with self._progress() if watched else nullcontext():
                self._run(code)
        except BaseException as error:  # noqa: BLE001  SystemExit and KeyboardInterrupt as well
            if isinstance(error, KeyboardInterrupt):
                # A second interrupt would lose the reply. ipykernel restores the handler.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                self._driver.cancel()
            failure = execution.explain(error)
            if not silent:
                self.send_response(self.iopub_socket, "error", failure)  # type: ignore[no-untyped-call]
            reply = {"status": "error", **failure}
        return {**reply, "execution_count": self.execution_count}

    async def do_complete(self, code: str, cursor_pos: int) -> dict[str, Any]:
        """Complete the name before the cursor."""
        return completion.complete(code, cursor_pos, self._driver.namespace)

    async def do_inspect(self, code: str, cursor_pos: int, *_: Any, **__: Any) -> dict[str, Any]:
        """Describe the name at the cursor."""
        return completion.inspect(code, cursor_pos, self._driver.namespace)

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """Stop Spark with the kernel."""
        self._driver.stop()
        return {"status": "ok", "restart": restart}

    def _run(self, code: str) -> None:
        filename = execution.name_source(self.execution_count, code)
        match cells.parse(code, filename):
            case cells.Code() as cell:
                figure = self._driver.run(cell, filename)
                if figure is not None:
                    self._show({"image/png": b64encode(figure).decode("ascii")})
            case cells.Local(statements):
                execution.execute(statements, self._local, filename)
            case cells.Configure(settings, force):
                self._driver.configure(settings, force)
                print(self._driver.info())
            case cells.Info():
                print(self._driver.info())
            case cells.Help():
                print(cells.SUPPORTED)

    def _progress(self) -> AbstractContextManager[None]:
        display = {"display_id": str(uuid.uuid4())}
        message = "display_data"

        def show(line: str) -> None:
            nonlocal message
            self._show({"text/plain": line} if line else {}, message, display)
            message = "update_display_data"

        return progress(self._driver.status, show)

    def _show(
        self,
        data: dict[str, str],
        message: str = "display_data",
        transient: dict[str, str] | None = None,
    ) -> None:
        sys.stdout.flush()  # text that was printed before must stand before
        content = {"data": data, "metadata": {}, "transient": transient or {}}
        self.send_response(self.iopub_socket, message, content)  # type: ignore[no-untyped-call]


def serve(connection_file: str) -> None:
    """Run the kernel until Jupyter ends it or its parent process dies.

    Relative paths start at the project's folder. Where `helpers` is an installed wheel there is
    no such folder, and they start where Jupyter started the kernel.
    """
    root = location.project_root()
    if root is not None:
        os.chdir(root)
    logging.basicConfig(stream=sys.stderr)  # to the terminal, as Livy's driver keeps its log
    app = IPKernelApp.instance(
        kernel_class=PySparkKernel,
        connection_file=connection_file,
        capture_fd_output=False,  # the JVM's log belongs to the terminal, not to a cell
        log_level=logging.ERROR,  # else each kernel warns of the transport that Jupyter chose
    )
    app.initialize([])  # type: ignore[no-untyped-call]
    sys.displayhook = sys.__displayhook__  # a value is text among text, as over Livy
    sys.stdin = io.StringIO()  # input() ends at once, as over Livy
    app.start()  # type: ignore[no-untyped-call]
