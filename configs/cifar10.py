"""CIFAR-10: Tables 2, 7 and 9, Figures 2 and 5 to 11.

    python -m experiments.train --config=configs/cifar10.py:method=DM,rate=0.4 --workdir=DIR

The protocol of Table 9: ResNet-56, batch 256, 100,000 iterations. Published at symmetric noise 0.4:
CCE 60.9% at the end (82.8% at best), DM(lambda=0.5, beta=12) 79.9% (85.1%). Table 2 uses
`model=googlenet_32,steps=30000` (published at symmetric noise 0.4: CCE 74%, DM(lambda=0.5) 80%).
Table 7 uses `steps=30000,optimizer.learning_rate=0.01` (CCE 61.7%, DM 83.8%). Needs one GPU (not
run, not timed); on 2 CPU cores, `model=resnet20,steps=300` checks that everything works.
"""

from configs import common, overrides


def get_config(arguments: str = ""):
    """The config, changed by `arguments` (see `configs.overrides.apply`)."""
    config = common.cifar(length=100_000)
    config.data.name = "cifar10"
    config.model.name = "resnet56"
    # Tables 2 and 7 do not give beta; Table 9 has 12 for lambda .5.
    config.loss.beta = 12.0
    return overrides.apply(config, arguments)
