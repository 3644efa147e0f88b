"""CIFAR-100: Tables 1 and 6.

    python -m experiments.train --config=configs/cifar100.py:method=DM,rate=0.4 --workdir=DIR

ResNet-44, batch 256, 30,000 iterations, learning rate .1, divided by 10 at 15,000 and 22,000.
Published at symmetric noise 0.4: CCE 53.2%, GCE 58.6%, DM(lambda=0.5) 61.0% (Table 1; 59.3% in
Table 6 with beta=8). Measured with `model.dtype=bfloat16`, one seed: 43.7%, 58.5% and 56.8%; at
best 49.8%, 58.8% and 59.3%. Six minutes on an H200 that trained three runs at once; too slow for a
CPU. The README lists the ten measured cells.
"""

from configs import common, overrides


def get_config(arguments: str = ""):
    """The config, changed by `arguments` (see `configs.overrides.apply`)."""
    config = common.cifar(length=30_000)
    config.data.name = "cifar100"
    config.model.name = "resnet44"
    return overrides.apply(config, arguments)
