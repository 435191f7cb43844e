"""What several folders of tests share.

Runs in processes of their own, faults at counted points, and the comparison of what they leave;
small runs in the tests' own session; reference data.
"""
