"""The commands prepare, train, reproduce, tune, report, benchmark, inspect and what they share."""
