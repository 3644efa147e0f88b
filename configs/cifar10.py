"""CIFAR-10: Tables 2, 7 and 9, Figures 2 and 5 to 11.

    python -m experiments.train --config=configs/cifar10.py:method=DM,rate=0.4 --workdir=DIR

The protocol of Table 9: ResNet-56, batch 256, 100,000 iterations; published there at symmetric
noise 0.4: CCE 60.9% at the end (82.8% best), DM(lambda=0.5, beta=12) 79.9% (85.1%). Table 2 takes
`model=googlenet_32,steps=30000`. One GPU, not timed here; on 2 CPU cores use
`model=resnet20,steps=300`, as a check that everything works.
"""

from configs import common, overrides


def get_config(arguments: str = ""):
    """`arguments`: see `configs.overrides.apply`."""
    config = common.cifar(length=100_000)
    config.data.name = "cifar10"
    config.model.name = "resnet56"
    # Tables 2 and 7 do not say beta; 12 is Table 9's for lambda .5.
    config.loss.beta = 12.0
    return overrides.apply(config, arguments)
