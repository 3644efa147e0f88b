"""Training: state, step, parallelism, loop, checkpoints, writers."""
