"""Clothing1M, a million photographs of 14 kinds of clothes, 38.5% of the labels wrong: Table 3.

    python -m experiments.train --config=configs/clothing1m.py:method=DM,lam=1,beta=2 \
        --config.parallel.workers=16 --workdir=DIR

ResNet-50 from the ImageNet weights in resnet50.safetensors or where --config.model.pretrained says
(a state dict with torchvision's names, docs/models.md; "" starts from random weights), 20,000
iterations, rate .01 divided by 10 at 10,000 and 15,000; 256x256 images, random crops of 224 and
flips. Published: CCE 71.7%, GCE 72.4%, DM(lambda=1, beta=2) 73.3%. One GPU with the CPU cores to
decode for it; the data must be prepared first (docs/data.md). Neither run nor timed here: the data
are not at hand.
"""

from configs import common, overrides


def get_config(arguments: str = ""):
    """`arguments`: see `configs.overrides.apply`."""
    config = common.large(length=20_000, boundaries=(10_000, 15_000))
    config.data.name = "clothing1m"
    config.model.name = "resnet50"
    config.model.pretrained = "resnet50.safetensors"
    config.loss.lam = 1.0
    config.loss.beta = 2.0
    config.optimizer.weight_decay = 2e-5
    # OURS: the paper does not say the batch. 256 makes the 20,000 iterations five epochs.
    config.train.batch_size = 256
    config.train.evaluate_every = "2000 steps"
    return overrides.apply(config, arguments)
