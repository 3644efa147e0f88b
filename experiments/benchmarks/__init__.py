"""One module per benchmark, each with a `main(argv)`; see `experiments.benchmark`."""
