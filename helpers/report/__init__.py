"""What a run found, for readers: a summary, a page, the rejected photos."""
