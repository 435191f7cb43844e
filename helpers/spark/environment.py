"""Environment variables that the Python processes of a run start with."""

#: Freed memory returns to the machine. Arrow's own allocator keeps it. glibc (others ignore its
#: variables) keeps as much per thread, and all arrays below 32 MiB unless it is told a threshold.
MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024),
}
#: Numeric libraries use one thread: Spark runs one task per core.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
