"""Vehicles-10, ten classes of CIFAR-100 (5,000 training images): Table 8.

    python -m experiments.train --config=configs/vehicles10.py:method=DM,rate=0.4 --workdir=DIR

As CIFAR-100: ResNet-44, batch 256, 30,000 iterations (here 1,536 epochs). Published at symmetric
noise 0.4: L2 44.8%, DM+L2 55.7%. Needs one GPU (not run, not timed). On 2 CPU cores,

    python -m experiments.reproduce --table=8 --rows=0.4 --columns=Baseline,DM,DM+L2 --seeds=3 \
        --set=model=resnet20,train.batch_size=64 --scale=0.15 --workdir=DIR

takes 27 to 62 minutes a run; measured (experiments/results/table8_rerun, three seeds):
57.7% for CCE, 63.7% for DM and 61.6% for DM+L2; without noise, two seeds, 81.7% for CCE and
76.4% for DM. docs/results.md has the other regularisers.
"""

from configs import common, overrides


def get_config(arguments: str = ""):
    """The config, changed by `arguments` (see `configs.overrides.apply`)."""
    config = common.cifar(length=30_000)
    config.data.name = "vehicles10"
    config.model.name = "resnet44"
    return overrides.apply(config, arguments)
