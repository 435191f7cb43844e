"""Bytes, tables, manifests and leases, in a folder or on S3 by the same calls."""
