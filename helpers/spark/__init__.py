"""The engine: Spark's session, its tasks, and what its Python workers need."""
