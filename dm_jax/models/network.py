"""What the networks have in common: their fields, their call and their classifier."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dm_jax.models.layers import Classifier, check_floating


class Network(nn.Module):
    """A classifier of features; a subclass computes them, by `embed`.

    It may say which inputs it can take, by `check`, and have fields of its own, with defaults.

    Attributes:
      num_classes: number of logits.
      dropout: rate before the classifier.
      axis_name: mapped axis of the batch; see `norm.BatchNorm`. None under ``jit``.
      dtype: of convolutions, hidden layers and activations.
    """

    num_classes: int
    dropout: float = 0.0
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    # Initialises the classifier; a constant of the class, not a field.
    kernel_init = staticmethod(nn.initializers.lecun_normal())

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        train: bool = False,
        where: jax.Array | None = None,
        features: bool = False,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Logits [B, num_classes]; with ``features`` also the features [B, F].

        Args:
          x: float images [B, H, W, C], or vectors [B, ...] for "mlp".
          train: whether to use batch statistics and dropout.
          where: bool [B]; the other examples stay out of the batch statistics.
          features: whether to return the features too.

        Returns:
          Both float32, or float64 if ``dtype`` is.

        Raises:
          TypeError: ``x`` is not floating.
          ValueError: the network cannot take the shape of ``x``.
        """
        self.check(x)
        embedded = self.embed(x.astype(self.dtype), train, where)
        classifier = Classifier(
            self.num_classes, self.dropout, self.axis_name, self.kernel_init, name="classifier"
        )
        logits = classifier(embedded, train)
        return (logits, embedded) if features else logits

    def check(self, x: jax.Array) -> None:
        """Raises TypeError or ValueError unless the network can take ``x``: any floats, here."""
        check_floating(type(self).__name__, x)

    def embed(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        """The features that are classified, [B, F], float32 or float64."""
        raise NotImplementedError
