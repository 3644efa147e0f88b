"""The base class of the networks: common fields, the call and the classifier."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dm_jax.dtypes import at_least_float32
from dm_jax.models.layers import Classifier, check_floating


class Network(nn.Module):
    """A classifier of features, which a subclass computes in `embed`.

    A subclass may check its inputs in `check` and add fields, with defaults.

    Attributes:
      num_classes: number of logits.
      dropout: rate before the classifier.
      axis_name: mapped axis of the batch; see `norm.BatchNorm`. None under `jit`.
      dtype: of convolutions, hidden layers and activations.
    """

    num_classes: int
    dropout: float = 0.0
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    # Initialiser of the classifier; a class constant, not a field.
    kernel_init = staticmethod(nn.initializers.lecun_normal())

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        train: bool = False,
        where: jax.Array | None = None,
        features: bool = False,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """The logits [B, num_classes]; with `features` also the features [B, F].

        Args:
          x: float images [B, H, W, C], or vectors [B, ...] for "mlp".
          train: whether to use batch statistics and dropout.
          where: bool [B]; examples outside it do not enter the batch statistics.
          features: whether to return the features too.

        Returns:
          float32, or float64 if `dtype` is float64.

        Raises:
          TypeError: `x` is not floating.
          ValueError: the shape of `x` or `where` is not accepted, or `embed` returns anything
            but features.
        """
        self.check(x)
        where = None if where is None else jnp.asarray(where)
        if where is not None and (where.dtype != bool or where.shape != x.shape[:1]):
            raise ValueError(
                f"where must be bool [{x.shape[0]}], got {where.dtype} {list(where.shape)}"
            )
        embedded = self.embed(x.astype(self.dtype), train, where)
        shape = getattr(embedded, "shape", None)
        if shape is None or len(shape) != 2 or shape[0] != x.shape[0]:
            got = type(embedded).__name__ if shape is None else f"shape {list(shape)}"
            raise ValueError(
                f"embed of {type(self).__name__} must return features [B, F] with B = "
                f"{x.shape[0]}, got {got}"
            )
        embedded = embedded.astype(at_least_float32(embedded.dtype))
        classifier = Classifier(
            self.num_classes, self.dropout, self.axis_name, self.kernel_init, name="classifier"
        )
        logits = classifier(embedded, train)
        return (logits, embedded) if features else logits

    def check(self, x: jax.Array) -> None:
        """Raises TypeError or ValueError unless `x` is accepted; here, any floating input is."""
        check_floating(type(self).__name__, x)

    def embed(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        """The features to classify, [B, F], floating."""
        raise NotImplementedError(f"{type(self).__name__} must define embed(x, train, where)")
