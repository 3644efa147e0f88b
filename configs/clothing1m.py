"""Clothing1M, a million photographs of 14 classes of clothes, 38.5% of labels wrong: Table 3.

    python -m experiments.train --config=configs/clothing1m.py:method=DM,lam=1,beta=2 \
        --config.parallel.workers=16 --workdir=DIR

ResNet-50 from the ImageNet weights in resnet50.safetensors or --config.model.pretrained (a state
dict with torchvision's names, docs/models.md; "" starts from random weights), 20,000 iterations,
learning rate .01, divided by 10 at 10,000 and 15,000; 256x256 images, random crops of 224 and
flips. Published: CCE 71.7%, GCE 72.4%, DM(lambda=1, beta=2) 73.3%. Needs one GPU, enough CPU cores
to decode images for it, and prepared data (docs/data.md). Not run or timed here: the data are not
available.
"""

from configs import common, overrides


def get_config(arguments: str = ""):
    """The config, changed by `arguments` (see `configs.overrides.apply`)."""
    config = common.large(length=20_000, boundaries=(10_000, 15_000))
    config.data.name = "clothing1m"
    config.model.name = "resnet50"
    config.model.pretrained = "resnet50.safetensors"
    config.loss.lam = 1.0
    config.loss.beta = 2.0
    config.optimizer.weight_decay = 2e-5
    # OURS: the paper does not give the batch size. With 256, 20,000 iterations are five epochs.
    config.train.batch_size = 256
    config.train.evaluate_every = "2000 steps"
    return overrides.apply(config, arguments)
