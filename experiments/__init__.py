"""The commands: prepare data, train, reproduce a table, tune, report, benchmark, inspect."""
