"""The optimisers of the tables, from optax.

Learning rate and weight decay are leaves of the optimiser's state (`optax.inject_hyperparams`), so
the members of a population may differ in them; the schedule is a factor on the learning rate.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from dm_jax import import_path
from dm_jax.train import config as config_lib
from dm_jax.train.schedules import Schedule


def create(config: config_lib.OptimizerConfig, factor: Schedule) -> optax.GradientTransformation:
    """The optimiser: clipping, L2 in the gradient, momentum or Adam, then the scheduled rate.

    As in PyTorch, momentum adds up gradients, which the rate of the step scales. Caffe adds up
    scaled steps, so there a change of the rate takes about 1 / (1 - momentum) steps to act in full.

    Its state holds `hyperparams["learning_rate"]` (before the factor) and `["weight_decay"]`.

    `config.name` may also be the import path of a function that takes this config and returns an
    `optax.GradientTransformation`, used in place of momentum or Adam. Decoupled weight decay
    belongs in this function, as in `optax.chain(optax.scale_by_adam(),
    optax.add_decayed_weights(5e-4))`, with `config.weight_decay` 0. The sign and the learning rate
    are applied after it: `optax.adam` already has both and would ascend.

    Raises:
      ValueError: there is no such function, it fails, or it returns something else, such as
        `optax.adam`.
    """
    direction = _custom(config) if ":" in config.name else _DIRECTIONS[config.name](config)

    def chain(learning_rate, weight_decay):
        """Clips, decays, finds the direction and scales; a run's state holds the two arguments."""
        return optax.chain(
            optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
            optax.add_decayed_weights(weight_decay, mask=_DECAYED[config.decay]),
            direction,
            optax.scale_by_schedule(factor),
            optax.scale_by_learning_rate(learning_rate),
        )

    return optax.inject_hyperparams(chain)(
        learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )


def _kernels(params):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


# Which leaves decay: in Caffe all of them, in He et al. 2019 only the kernels.
_DECAYED = {"all": None, "kernels": _kernels}


def _custom(config: config_lib.OptimizerConfig) -> optax.GradientTransformation:
    custom = import_path.call_function(config.name, config)
    if not isinstance(custom, optax.GradientTransformation):
        raise ValueError(
            f"{config.name} must return an optax.GradientTransformation, got {custom!r}"
        )
    if _descends(custom):
        raise ValueError(
            f"{config.name} must return a transformation without the sign and the learning rate, "
            "which are applied after it: optax.scale_by_adam(), not optax.adam(...)"
        )
    return custom


def _descends(custom: optax.GradientTransformation) -> bool:
    """Whether its first update goes against the gradient, so that it has the sign already."""
    params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    gradient = jax.tree.map(jnp.ones_like, params)
    with jax.ensure_compile_time_eval():
        try:
            update, _ = custom.update(gradient, custom.init(params), params)
            return bool(sum(leaf.sum() for leaf in jax.tree.leaves(update)) < 0)
        except Exception:  # made for other parameters
            return False


def _caffe_adam(delta: float) -> optax.GradientTransformation:
    """Adam as Caffe computes it: sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + delta).

    The bias correction does not apply to `delta`, the "epsilon hat" of Kingma and Ba 2015 (section
    2): with Table 7's deltas of 0.1 and 1 the first steps are some thirty times smaller than those
    of `optax.scale_by_adam`.
    """
    b1, b2 = 0.9, 0.999
    adam = optax.scale_by_adam(b1, b2)

    def update(
        gradient: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.ScaleByAdamState]:
        """The direction by the moments that `adam` keeps."""
        del params
        _, moments = adam.update(gradient, state)
        correction = jnp.sqrt(1 - b2**moments.count) / (1 - b1**moments.count)
        direction = jax.tree.map(
            lambda m, v: correction.astype(m.dtype) * m / (jnp.sqrt(v) + delta),
            moments.mu,
            moments.nu,
        )
        return direction, moments

    return optax.GradientTransformation(adam.init, update)


def _momentum(config: config_lib.OptimizerConfig) -> optax.GradientTransformation:
    if not config.momentum:
        return optax.identity()
    return optax.trace(config.momentum, nesterov=config.nesterov)


_DIRECTIONS: dict[str, Callable[[config_lib.OptimizerConfig], optax.GradientTransformation]] = {
    "sgd": _momentum,
    "adam": lambda config: optax.scale_by_adam(eps=config.epsilon),
    "caffe_adam": lambda config: _caffe_adam(config.epsilon),
}
