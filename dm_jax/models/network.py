"""What the networks for images have in common: their fields, their call and their classifier."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dm_jax.models.layers import Classifier, global_mean


class ImageNetwork(nn.Module):
    """A convolutional network; a subclass has the method `maps` and the inputs it can take.

    Attributes:
      num_classes: number of logits.
      dropout: rate before the classifier.
      axis_name: mapped axis of the batch; see `norm.BatchNorm`. None under ``jit``.
      dtype: of convolutions and activations.
    """

    num_classes: int
    dropout: float = 0.0
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        train: bool = False,
        where: jax.Array | None = None,
        features: bool = False,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Logits [B, num_classes]; with ``features`` also the pooled features [B, F].

        Args:
          x: float images [B, H, W, C].
          train: whether to use batch statistics and dropout.
          where: bool [B]; the other examples stay out of the batch statistics.
          features: whether to return the features too.

        Returns:
          Both float32, or float64 if ``dtype`` is.

        Raises:
          TypeError: ``x`` is not floating.
          ValueError: ``x`` is not [B, H, W, C], or the network cannot take the size.
        """
        self.check(x)
        pooled = global_mean(self.maps(x.astype(self.dtype), train, where))
        classifier = Classifier(self.num_classes, self.dropout, self.axis_name, name="classifier")
        logits = classifier(pooled, train)
        return (logits, pooled) if features else logits

    def check(self, x: jax.Array) -> None:
        """Raises TypeError or ValueError unless the network can take ``x``."""
        raise NotImplementedError

    def maps(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        """The last feature maps, [B, h, w, F]."""
        raise NotImplementedError
