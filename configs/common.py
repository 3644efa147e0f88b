"""Every key a run has, with its default; the files beside this one change what they need to."""

import ml_collections

# The published settings of the losses: GCE's exponent is its paper's.
METHODS = {
    "DM": {"lam": 0.5, "beta": 8.0},
    "CCE": {},
    "MAE": {},
    "MSE": {},
    "GCE": {"q": 0.7},
    "Normal": {"psi": 0.5, "beta": 8.0},
    "Exponential": {"beta": 1.0},
    "Beta": {"alpha": 1.5, "eta": 2.0},
}


def base() -> ml_collections.ConfigDict:
    """All keys. Durations read "N steps", "N epochs" or "N examples"."""
    return ml_collections.ConfigDict(
        {
            "seed": 0,
            "data": {
                "name": "digits",
                "data_dir": "",  # "" is where TFDS looks by itself
                "augment": "none",  # none | crop_flip
                "last_batch": "wrap",  # wrap | mask
                "validation": 0.0,  # share of the training set held out
                "validation_labels": "clean",  # clean | noisy
            },
            "noise": {
                "kind": "symmetric",
                "rate": 0.0,
                "seed": 0,
                "imbalance": "none",  # none | ratio | long_tail | step
                "ratio": 1.0,
            },
            "model": {"name": "mlp", "dtype": "float32", "dropout": 0.0},
            "loss": {
                "name": "DM",
                "normalization": "batch",  # batch | density | none
                "saturation": 1e-6,
                "class_weights": (),
                "schedule": {},  # EDF parameter -> the value it moves to linearly ...
                "schedule_length": "0 steps",  # ... over this long
                "lam": 0.5,
                "beta": 8.0,
            },
            "optimizer": {
                "name": "sgd",  # sgd | adam
                "learning_rate": 0.1,
                "momentum": 0.9,
                "nesterov": False,
                "epsilon": 1e-8,  # Adam's
                "weight_decay": 1e-4,  # L2 in the gradient
                "decay": "all",  # all | kernels
                "clip_norm": 0.0,  # 0: off
            },
            "schedule": {
                "name": "constant",  # constant | steps | inv | cosine
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
                "devices": 0,  # 0: all there are
                "distributed": False,
                "coordinator": "",
                "processes": 0,
                "process": 0,
            },
        }
    )


def apply(config: ml_collections.ConfigDict, arguments: str) -> ml_collections.ConfigDict:
    """Changes a config by "method=DM,lam=0.5,beta=8,noise=symmetric,rate=0.4,seed=1".

    `method` is a loss, with "-DN" for normalisation over the batch (DM always has it); its
    parameters take their defaults unless given. Another scheme is "package.module:Class".

    Raises:
      ValueError: an argument that is not `name=value`, or not known.
    """
    given = dict(_pair(text) for text in arguments.split(",") if text)
    method = given.pop("method", None)
    if method is not None:
        name = method.removesuffix("-DN")
        for parameter in METHODS[config.loss.name]:
            del config.loss[parameter]
        config.loss.name = name
        config.loss.normalization = "batch" if name == "DM" or method != name else "none"
        config.loss.update(METHODS.get(name, {}))
    places = {"noise": (config.noise, "kind"), "rate": (config.noise, "rate")}
    places |= {key: (config.noise, key) for key in ("imbalance", "ratio")}
    places |= {"seed": (config, "seed"), "model": (config.model, "name")}
    for key, text in given.items():
        group, name = places.get(key, (config.loss, key))
        if group is config.loss and name not in config.loss and ":" not in config.loss.name:
            known = sorted(["method", *places, *METHODS.get(config.loss.name, {})])
            raise ValueError(f"unknown config argument {key!r}; known: {', '.join(known)}")
        group[name] = _value(text, like=group.get(name))
    return config


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"config arguments read name=value,name=value, got {text!r}")
    return name, value


def _value(text: str, *, like):
    if isinstance(like, str):
        return text
    return int(text) if isinstance(like, int) else float(text)
