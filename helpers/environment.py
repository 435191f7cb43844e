"""Variables of the environment that the Python processes of a run start with."""

#: Memory that is freed goes back to the machine. Arrow's own allocator keeps it; glibc (others
#: ignore its variables) keeps as much in an arena of each thread, and what arrays of up to 32 MiB
#: took, unless it is told from which size on to give back.
MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024),
}
#: Numeric libraries take one thread: Spark has a task on each core.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
