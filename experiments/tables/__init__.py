"""The tables of the paper: their cells, how they are run, and what is recorded of them."""
