"""Completion and inspection of names, with jedi, on the live namespace."""

import pickle
import shutil
from typing import Any

import jedi


def complete(code: str, cursor: int, namespace: dict[str, Any]) -> dict[str, Any]:
    """Answer Jupyter's complete_request with the names that fit before `cursor`, in characters."""
    found = _ask("complete", code, cursor, namespace)
    typed = found[0].get_completion_prefix_length() if found else 0
    return {
        "status": "ok",
        "matches": [name.name for name in found],
        "cursor_start": cursor - typed,
        "cursor_end": cursor,
        "metadata": {},
    }


def inspect(code: str, cursor: int, namespace: dict[str, Any]) -> dict[str, Any]:
    """Answer Jupyter's inspect_request with the signature and docstring of a name.

    It is the name at `cursor`, or else the function whose arguments are being typed there.
    """
    named = _ask("help", code, cursor, namespace)
    names = [name for name in named if name.type != "keyword"]  # to jedi a bracket is a keyword
    names = names or _ask("get_signatures", code, cursor, namespace)
    text = "\n\n".join(filter(None, (name.docstring() for name in names)))
    data = {"text/plain": text} if text else {}
    return {"status": "ok", "found": bool(data), "data": data, "metadata": {}}


def _ask(question: str, code: str, cursor: int, namespace: dict[str, Any]) -> list[Any]:
    """Call one of jedi's methods, which count lines from 1 and columns from 0."""
    before = code[:cursor]
    line, column = before.count("\n") + 1, cursor - (before.rfind("\n") + 1)

    def answer() -> list[Any]:
        return list(getattr(jedi.Interpreter(code, [namespace]), question)(line, column))

    try:
        return answer()
    except (EOFError, pickle.UnpicklingError):
        # A process that was killed while it wrote to jedi's cache left half a file there.
        shutil.rmtree(jedi.settings.cache_directory, ignore_errors=True)
        return answer()
