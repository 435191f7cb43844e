"""Variables of the environment that the Python processes of a run start with."""

#: Freed memory goes back to the machine, of the driver and of Spark's workers: Arrow's own
#: allocator keeps what it has freed; glibc keeps an arena a thread, and, once an array that large
#: has been freed, the pages of any array below 32 MiB.
MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024),
}
#: Numeric libraries take one thread: Spark has a task on each core.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
