"""MARS, video person re-identification, 625 training and 636 test identities: Table 4.

    python -m experiments.train --config=configs/mars.py:method=DM --config.parallel.workers=16 \
        --workdir=DIR

GoogLeNet V2 (BN-Inception) classifies frames by identity: batch 180, 50,000 iterations, learning
rate .01, halved every 10,000; 256x256 images, random crops of 224 and flips. The test compares
tracklets by the mean of their frames' 1,024 features: mAP and CMC-1. Published: CCE 58.1% and
73.8%, DM 72.8% and 84.3%. DM's lambda .5 and beta 8 are ours; the paper does not give them. Needs
one GPU, enough CPU cores to decode images for it, and prepared data (docs/data.md). Not run or
timed here: the data are not available.
"""

from configs import common, overrides


def get_config(arguments: str = ""):
    """The config, changed by `arguments` (see `configs.overrides.apply`)."""
    config = common.large(length=50_000, boundaries=(10_000, 20_000, 30_000, 40_000))
    config.data.name = "mars"
    config.model.name = "inception_v2"
    config.schedule.factor = 0.5
    config.optimizer.weight_decay = 5e-4
    config.train.batch_size = 180
    # The features of 681,089 test frames cost as much as about 1,300 training steps.
    config.train.evaluate_every = "10000 steps"
    return overrides.apply(config, arguments)
