"""All config keys with their defaults, and protocols that several data sets share."""

import ml_collections


def base() -> ml_collections.ConfigDict:
    """All keys with defaults. Durations are "N steps", "N epochs" or "N examples"."""
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "data": {
                "name": "digits",
                "data_dir": "",  # "": TFDS's own default
                "augment": "none",  # none | crop_flip
                "resize": 256,  # streamed images are scaled to this height and width ...
                "crop": 224,  # ... and cropped to this
                "damaged": "raise",  # raise | skip: a streamed image that cannot be decoded
                "last_batch": "wrap",  # wrap | mask
                "validation": 0.0,  # share of the training set held out
                "validation_labels": "clean",  # clean | noisy
                "test": True,  # False in a parameter search
            },
            "noise": {
                "kind": "symmetric",
                "rate": 0.0,
                "seed": 0,
                "imbalance": "none",  # none | ratio | long_tail | step
                "ratio": 1.0,
            },
            "model": {
                "name": "mlp",  # docs/models.md, or package.module:Class
                "pretrained": "",  # file of ImageNet weights
                "dtype": "float32",
                "dropout": 0.0,
            },
            "loss": {
                "name": "DM",
                "normalization": "batch",  # batch | density | none
                "saturation": 1e-6,
                "class_weights": (),
                "schedule": {},  # EDF parameter -> final value, such as 2.0 or "cosine 2.0" ...
                "schedule_length": "0 steps",  # ... reached after this long
                "lam": 0.5,
                "beta": 8.0,
            },
            "optimizer": {
                "name": "sgd",  # sgd | adam | caffe_adam | package.module:function
                "learning_rate": 0.1,
                "momentum": 0.9,
                "nesterov": False,
                "epsilon": 1e-8,  # Adam's
                "weight_decay": 1e-4,  # L2 in the gradient
                "decay": "all",  # all | kernels
                "clip_norm": 0.0,  # 0: off
            },
            "schedule": {
                "name": "constant",  # constant | steps | inv | cosine | package.module:function
                "boundaries": (),
                "factor": 0.1,
                "gamma": 1e-5,
                "power": 0.75,
                "warmup": "0 steps",
            },
            "train": {
                "length": "1000 steps",
                "batch_size": 256,
                "log_every": "100 steps",
                "evaluate_every": "100 steps",
                "evaluate_batch": 1000,
                "checkpoint_every": "1000 steps",
                "keep_checkpoints": 2,
            },
            "parallel": {
                "mode": "jit",  # jit | pmap
                "devices": 0,  # 0: all
                "distributed": False,
                "coordinator": "",
                "processes": 0,
                "process": 0,
                "workers": 0,  # processes per host that decode streamed images
            },
        }
    )


def cifar(*, length: int) -> ml_collections.ConfigDict:
    """The protocol of the CIFAR tables: lr .1, divided by 10 after 1/2 and 11/15 of the steps."""
    config = base()
    config.data.augment = "crop_flip"
    config.schedule.name = "steps"
    config.schedule.boundaries = (f"{length // 2} steps", f"{length * 11 // 15} steps")
    config.train.length = f"{length} steps"
    config.train.log_every = "200 steps"
    config.train.evaluate_every = "1000 steps"
    config.train.checkpoint_every = "1000 steps"
    return config


def large(*, length: int, boundaries: tuple[int, ...]) -> ml_collections.ConfigDict:
    """The protocol of the streamed data sets: lr .01, decayed at the boundaries (in steps)."""
    config = base()
    config.data.augment = "crop_flip"
    config.optimizer.learning_rate = 0.01
    config.schedule.name = "steps"
    config.schedule.boundaries = tuple(f"{step} steps" for step in boundaries)
    config.train.length = f"{length} steps"
    config.train.evaluate_batch = 512
    return config
