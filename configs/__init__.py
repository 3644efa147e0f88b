"""Configurations: ml_collections ConfigDicts of plain values, one file per data set.

`common` holds what they share, `overrides` the arguments of their `get_config`.
"""
