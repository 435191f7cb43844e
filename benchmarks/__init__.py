"""The project measured beside its peers: ``python -m benchmarks`` (``make bench``)."""
