"""Multilayer perceptron: Table 5 classifies paragraph vectors with one hidden layer of 8."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dm_jax.models.layers import Classifier, check_floating, wide


class MLP(nn.Module):
    """Linear layers with ReLU between them, xavier-uniform weights and zero biases.

    Attributes:
      num_classes: number of logits.
      hidden: sizes of the hidden layers; () is a linear classifier.
      dropout: rate before the classifier.
      axis_name: mapped axis of the batch; see `layers.Dropout`.
      dtype: of the hidden layers.
    """

    num_classes: int
    hidden: tuple[int, ...] = (8,)
    dropout: float = 0.0
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        if any(size < 1 for size in self.hidden):
            raise ValueError(f"hidden takes positive sizes, got {self.hidden}")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        train: bool = False,
        where: jax.Array | None = None,
        features: bool = False,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Logits [B, num_classes]; with ``features`` also the last hidden layer [B, hidden[-1]].

        Args:
          x: float [B, ...], flattened to [B, d].
          train: whether to drop.
          where: ignored, for there are no batch statistics.
          features: whether to return the features too.

        Raises:
          TypeError: ``x`` is not floating.
        """
        del where
        check_floating("mlp", x)
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        xavier = nn.initializers.xavier_uniform()
        for size in self.hidden:
            x = nn.relu(nn.Dense(size, True, self.dtype, wide(self.dtype), kernel_init=xavier)(x))
        x = x.astype(wide(self.dtype))
        logits = Classifier(
            self.num_classes, self.dropout, self.axis_name, xavier, name="classifier"
        )(x, train)
        return (logits, x) if features else logits
