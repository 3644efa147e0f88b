"""BN-Inception, also called GoogLeNet V2 (Ioffe and Szegedy, 2015, Figure 5), of Table 4.

Widths are those of the Caffe model used in re-identification and of its PyTorch port. The paper's
figure differs in two places: its first convolution is depthwise separable, and the sizes it lists
for 4c and 4d do not add up.
"""

import functools

import jax

from dm_jax.models.inception import Inception
from dm_jax.models.layers import ConvNorm, check_images, global_mean, max_pool
from dm_jax.models.network import Network

# name: 1x1; reduction and 3x3; reduction and both 3x3; pool; its projection. A module without 1x1
# has stride 2 and passes its pool through.
MODULES = {
    "3a": (64, (64, 64), (64, 96), "mean", 32),
    "3b": (64, (64, 96), (64, 96), "mean", 64),
    "3c": (0, (128, 160), (64, 96), "max", 0),
    "4a": (224, (64, 96), (96, 128), "mean", 128),
    "4b": (192, (96, 128), (96, 128), "mean", 128),
    "4c": (160, (128, 160), (128, 160), "mean", 128),
    "4d": (96, (128, 192), (160, 192), "mean", 128),
    "4e": (0, (128, 192), (192, 256), "max", 0),
    "5a": (352, (192, 320), (160, 224), "mean", 128),
    "5b": (352, (192, 320), (192, 224), "max", 128),
}


class InceptionV2(Network):
    """A stem, ten Inception modules with batch normalisation, and the classifier.

    It has 1024 features. The sides of the images, 224 in the paper, must be multiples of 32, as
    strided convolutions and the pools beside them would otherwise differ in size.
    """

    def check(self, x: jax.Array) -> None:
        check_images("inception_v2", x, min_size=32, multiple=32)

    def embed(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        unit = functools.partial(ConvNorm, axis_name=self.axis_name, dtype=self.dtype)
        x = unit(64, 7, 2, name="conv1")(x, train, where)
        x = unit(64, 1, name="conv2_reduce")(max_pool(x, 2, (0, 1)), train, where)
        x = max_pool(unit(192, 3, name="conv2")(x, train, where), 2, (0, 1))
        for name, (single, three, double, pool, projection) in MODULES.items():
            branches = (
                *([((single, 1),)] if single else []),
                ((three[0], 1), (three[1], 3)),
                ((double[0], 1), (double[1], 3), (double[1], 3)),
            )
            stride = 1 if single else 2
            module = Inception(unit, branches, pool, projection, stride, name=f"inception_{name}")
            x = module(x, train, where)
        return global_mean(x)
