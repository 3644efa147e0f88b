"""Your own arrays in an .npz file (docs/data.md), without added label noise.

    python -m experiments.train --workdir=runs/own \
        --config='configs/own.py:data.name=npz:own.npz,model.hidden=64'

A fifth of the training set is held out for validation by its own labels. DM as in the paper's Table
6; other methods: `method=GCE`. For images: `model=resnet20,data.augment=crop_flip`. Time and
accuracy depend on your data.
"""

from configs import common, overrides


def get_config(arguments: str = ""):
    """The config, changed by `arguments` (see `configs.overrides.apply`)."""
    config = common.base()
    config.data.name = "npz:own.npz"
    config.data.validation = 0.2
    config.data.validation_labels = "noisy"
    config.model.hidden = (128,)
    config.train.length = "40 epochs"
    config.train.batch_size = 128
    for name in ("log_every", "evaluate_every", "checkpoint_every"):
        config.train[name] = "1 epochs"
    return overrides.apply(config, arguments)
