"""dm_jax: Derivative Manipulation (arXiv 1905.11233) in JAX."""

__version__ = "0.1.0"
