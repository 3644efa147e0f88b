"""The baseline of the training benchmark: the same network, loss and optimiser in PyTorch.

Needs torch.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LAM, BETA = 0.5, 8.0


class Block(nn.Module):
    """Two 3x3 convolutions and a parameter-free shortcut, as in `dm_jax.models.resnet_cifar`."""

    def __init__(self, channels: int, features: int, stride: int):
        super().__init__()
        self.grow = (features - channels) // 2
        self.stride = stride
        self.first = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(features)
        self.second = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(features)

    def forward(self, x):
        y = functional.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.grow:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, self.grow, self.grow))
        return functional.relu(y + shortcut)


def resnet(depth: int, num_classes: int) -> nn.Module:
    """The 6n + 2 layers of He et al. (2016), section 4.2."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    channels = 16
    for features in (16, 32, 64):
        for block in range((depth - 2) // 6):
            stride = 2 if features > 16 and block == 0 else 1
            layers.append(Block(channels, features, stride))
            channels = features
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes)]
    return nn.Sequential(*layers)


class DMLoss(torch.autograd.Function):
    """Mean cross entropy whose gradient is that of the authors' PyTorch code."""

    @staticmethod
    def forward(context, logits, labels):
        probabilities = logits.float().softmax(-1)
        p = probabilities.gather(1, labels[:, None])
        weight = torch.exp(BETA * (p + 1e-8) ** LAM * (1 - p))
        direction = probabilities.scatter_add(1, labels[:, None], -torch.ones_like(p))
        context.save_for_backward(weight / weight.sum() / (2 * (1 - p) + 1e-8) * direction)
        return -p.log().mean()

    @staticmethod
    def backward(context, cotangent):
        (gradient,) = context.saved_tensors
        return cotangent * gradient, None


def training(depth: int, batch: int, dtype: str, *, compiled: bool) -> Callable[[int], None]:
    """Returns `steps(count)`, which trains on one prepared batch in CIFAR's shape, and waits.

    The network is channels_last; with dtype "bfloat16" it runs under autocast. There are no crops,
    flips or normalisation, which favours PyTorch.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = resnet(depth, 10).to(device)
    model = nn.utils.convert_conv2d_weight_memory_format(model, torch.channels_last)
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    random = np.random.default_rng(0)
    images = torch.tensor(random.normal(size=(batch, 3, 32, 32)), dtype=torch.float32)
    images = images.to(device, memory_format=torch.channels_last)
    labels = torch.tensor(random.integers(0, 10, batch), device=device)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
                logits = forward(images)
            DMLoss.apply(logits, labels).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return steps
