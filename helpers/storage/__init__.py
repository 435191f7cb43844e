"""Bytes: a folder or an S3 prefix, read and written by the same calls."""
