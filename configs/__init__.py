"""Configurations: ml_collections ConfigDicts of plain values, one file per data set."""
