"""The books of a run: what was written, from what, and which rows count."""
