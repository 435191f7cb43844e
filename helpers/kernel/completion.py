"""Completion and inspection of names, by jedi over the live namespace."""

from typing import Any

import jedi  # type: ignore[import-untyped]


def complete(code: str, cursor: int, namespace: dict[str, Any]) -> dict[str, Any]:
    """Answer Jupyter's complete_request: names that fit before `cursor`, in characters."""
    found = jedi.Interpreter(code, [namespace]).complete(*_position(code, cursor))
    typed = found[0].get_completion_prefix_length() if found else 0
    return {
        "status": "ok",
        "matches": [name.name for name in found],
        "cursor_start": cursor - typed,
        "cursor_end": cursor,
        "metadata": {},
    }


def inspect(code: str, cursor: int, namespace: dict[str, Any]) -> dict[str, Any]:
    """Answer Jupyter's inspect_request: signature and docstring of the name at `cursor`."""
    names = jedi.Interpreter(code, [namespace]).help(*_position(code, cursor))
    text = "\n\n".join(filter(None, (name.docstring() for name in names)))
    data = {"text/plain": text} if text else {}
    return {"status": "ok", "found": bool(data), "data": data, "metadata": {}}


def _position(code: str, cursor: int) -> tuple[int, int]:
    """A place in the text as jedi counts: lines from 1, columns from 0."""
    before = code[:cursor]
    return before.count("\n") + 1, cursor - (before.rfind("\n") + 1)
