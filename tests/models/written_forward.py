"""The networks once more, in plain NumPy and float64: the oracle of the equality tests."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from numpy.lib.stride_tricks import sliding_window_view

DRAWS = {
    "kernel": lambda random, shape: random.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape),
    "scale": lambda random, shape: random.uniform(0.1, 0.5, shape),
    "bias": lambda random, shape: random.normal(0, 0.1, shape),
    "mean": lambda random, shape: random.normal(0, 0.1, shape),
    "var": lambda random, shape: random.uniform(0.5, 1.5, shape),
}


def random_variables(model, shape, seed=0):
    """Variables of a network, float32 NumPy, with no scale at one and no bias or mean at zero."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
    drawn = {
        path: DRAWS[path[-1]](random, leaf.shape).astype(np.float32)
        for path, leaf in traverse_util.flatten_dict(shapes).items()
    }
    return traverse_util.unflatten_dict(drawn)


def relu(x):
    return np.maximum(x, 0)


def convolve(x, kernel, stride):
    """Cross-correlation of [B, H, W, C] with HWIO (or IO: 1x1), zero padding of half a kernel."""
    kernel = kernel.reshape((1, 1) * (kernel.ndim == 2) + kernel.shape)
    side = kernel.shape[0]
    half = side // 2
    x = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    windows = sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))


def pool(x, stride, before, after, reduce, fill):
    """3x3 pool over [B, H, W, C] padded with ``fill``."""
    pads = ((0, 0), (before, after), (before, after), (0, 0))
    x = np.pad(x, pads, constant_values=fill)
    return reduce(sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::stride, ::stride], axis=(4, 5))


class Forward:
    """Looks variables up by path; normalises by the batch, and records it, or by given moments.

    Attributes:
      parameters: by path, float64.
      moments: (mean, variance) by path, to normalise by; None to normalise by the batch.
      seen: (mean, variance) of the batch by path.
    """

    def __init__(self, variables, moments=None):
        parameters = traverse_util.flatten_dict(variables["params"], sep="/")
        self.parameters = {path: np.asarray(leaf, np.float64) for path, leaf in parameters.items()}
        self.moments = moments
        self.seen = {}

    def unit(self, x, path, stride=1):
        """Convolution and batch normalisation."""
        x = convolve(x, self.parameters[f"{path}/conv/kernel"], stride)
        self.seen[path] = x.mean((0, 1, 2)), x.var((0, 1, 2))
        mean, var = (self.moments or self.seen)[path]
        scale, bias = (self.parameters[f"{path}/norm/{leaf}"] for leaf in ("scale", "bias"))
        return (x - mean) / np.sqrt(var + 1e-5) * scale + bias

    def active(self, x, path, stride=1):
        return relu(self.unit(x, path, stride))

    def biased(self, x, path, stride=1):
        """Convolution with a bias, and ReLU."""
        kernel, bias = (self.parameters[f"{path}/conv/{leaf}"] for leaf in ("kernel", "bias"))
        return relu(convolve(x, kernel, stride) + bias)

    def classify(self, x):
        weights, bias = (self.parameters[f"classifier/dense/{leaf}"] for leaf in ("kernel", "bias"))
        return x.mean((1, 2)) @ weights + bias


def resnet44(net, x):
    x = net.active(x, "ConvNorm_0")
    for block in range(21):
        stride = 2 if block in (7, 14) else 1
        y = net.active(x, f"Block_{block}/ConvNorm_0", stride)
        y = net.unit(y, f"Block_{block}/ConvNorm_1")
        if stride == 2:
            half = x.shape[-1] // 2
            x = np.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (half, half)))
        x = relu(x + y)
    return net.classify(x)


def resnet18_32(net, x):
    x = net.active(x, "conv1")
    for stage in range(1, 5):
        for block in range(2):
            name = f"layer{stage}_{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = net.active(x, f"{name}/conv1", stride)
            y = net.unit(y, f"{name}/conv2")
            if stride == 2:
                x = net.unit(x, f"{name}/downsample", 2)
            x = relu(x + y)
    return net.classify(x)


def resnet50(net, x):
    x = pool(net.active(x, "conv1", 2), 2, 1, 1, np.max, -np.inf)
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            name = f"layer{stage}_{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = net.active(x, f"{name}/conv1")
            y = net.active(y, f"{name}/conv2", stride)
            y = net.unit(y, f"{name}/conv3")
            if block == 0:
                x = net.unit(x, f"{name}/downsample", stride)
            x = relu(x + y)
    return net.classify(x)


def response_normalised(x):
    """By the squares of five neighbouring channels."""
    squares = np.pad(x**2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    sums = sliding_window_view(squares, 5, axis=-1).sum(-1)
    return x / (1 + 1e-4 / 5 * sums) ** 0.75


def googlenet(net, x):
    x = pool(net.biased(x, "conv1", 2), 2, 0, 1, np.max, -np.inf)
    x = net.biased(net.biased(response_normalised(x), "conv2_reduce"), "conv2")
    return nine_modules(net, net.biased, pool(response_normalised(x), 2, 0, 1, np.max, -np.inf))


def googlenet_32(net, x):
    x = net.active(net.active(net.active(x, "conv1"), "conv2_reduce"), "conv2")
    return nine_modules(net, net.active, x)


def nine_modules(net, unit, x):
    """1x1; 1x1 and 3x3; 1x1 and 5x5; max pool and 1x1; the image is halved before 4a and 5a."""
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        if name in ("4a", "5a"):
            x = pool(x, 2, 0, 1, np.max, -np.inf)
        path = f"inception_{name}"
        y1 = unit(x, f"{path}/branch1_conv1")
        y2 = unit(unit(x, f"{path}/branch2_conv1"), f"{path}/branch2_conv2")
        y3 = unit(unit(x, f"{path}/branch3_conv1"), f"{path}/branch3_conv2")
        y4 = unit(pool(x, 1, 1, 1, np.max, -np.inf), f"{path}/pool_projection")
        x = np.concatenate([y1, y2, y3, y4], -1)
    return net.classify(x)


def inception_v2(net, x):
    x = pool(net.active(x, "conv1", 2), 2, 0, 1, np.max, -np.inf)
    x = net.active(net.active(x, "conv2_reduce"), "conv2")
    x = pool(x, 2, 0, 1, np.max, -np.inf)
    for name in ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        module = strided if name in ("3c", "4e") else plain
        x = module(net, x, f"inception_{name}")
    return net.classify(x)


def plain(net, x, name):
    """1x1; 1x1 and 3x3; 1x1 and two 3x3; pool and 1x1: the maximum in 5b, else the mean."""
    y2 = net.active(net.active(x, f"{name}/branch2_conv1"), f"{name}/branch2_conv2")
    y3 = net.active(net.active(x, f"{name}/branch3_conv1"), f"{name}/branch3_conv2")
    y3 = net.active(y3, f"{name}/branch3_conv3")
    last = name == "inception_5b"
    pooled = pool(x, 1, 1, 1, np.max if last else np.mean, -np.inf if last else 0)
    y4 = net.active(pooled, f"{name}/pool_projection")
    return np.concatenate([net.active(x, f"{name}/branch1_conv1"), y2, y3, y4], -1)


def strided(net, x, name):
    """1x1 and 3x3/2; 1x1, 3x3 and 3x3/2; max pool/2."""
    y1 = net.active(net.active(x, f"{name}/branch1_conv1"), f"{name}/branch1_conv2", 2)
    y2 = net.active(net.active(x, f"{name}/branch2_conv1"), f"{name}/branch2_conv2")
    y2 = net.active(y2, f"{name}/branch2_conv3", 2)
    return np.concatenate([y1, y2, pool(x, 2, 0, 1, np.max, -np.inf)], -1)
