"""What the measurements share: processes, builds, the systems under comparison, load, tables.

Python's standard library alone, so that nothing has to be installed to measure.
"""
