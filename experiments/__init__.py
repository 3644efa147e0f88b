"""What a person runs: train, reproduce a table, tune, report, benchmark, inspect."""
