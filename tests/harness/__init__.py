"""Runs in processes of their own, faults at counted points, and the comparison of what they left.

Used by tests/faults and tests/s3.
"""
