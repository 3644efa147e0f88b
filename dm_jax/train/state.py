"""The training state."""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from dm_jax.emphasis.edf import EDF
from dm_jax.models import pretrained as pretrained_lib

_KEPT = {"params", "batch_stats"}
_SOWN = {"auxiliary", "intermediates"}  # by a network, for one batch


@flax.struct.dataclass
class State:
    """Everything that changes in training or may differ between the members of a population.

    Attributes:
      step: int32 scalar, steps taken.
      params, batch_stats: the network's collections.
      opt_state: of the optax optimiser, learning rate and weight decay included.
      edf: the emphasis density function; schedules and sweeps move its parameters.
      rng: key of the run; step i draws from fold_in(rng, i).
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    edf: EDF
    rng: jax.Array


@functools.cache
def _compiled_init(model):
    """`model.init` as one program, which JAX caches, instead of one for each operation."""
    return jax.jit(functools.partial(model.init, train=False))


def create(
    model,
    optimizer,
    edf: EDF,
    *,
    seed,
    inputs: jax.Array | jax.ShapeDtypeStruct,
    pretrained: str = "",
) -> State:
    """The state before the first step.

    Args:
      model: a Flax module of `dm_jax.models`.
      optimizer: an optax transformation.
      edf: the emphasis density function at the start.
      seed: int, or a traced uint32 (populations map over it).
      inputs: [B, ...] preprocessed inputs, or a ShapeDtypeStruct of one; only shapes matter.
      pretrained: file with the weights to start from (`dm_jax.models.pretrained`); "" for none.

    Raises:
      ValueError: the model has variables in other collections than "params" and "batch_stats".
    """
    init_key, run_key = jax.random.split(jax.random.key(seed))
    blank = jnp.zeros(inputs.shape, inputs.dtype)
    try:
        init = _compiled_init(model)
    except TypeError:  # a custom network with a list as a field has no hash
        init = _compiled_init.__wrapped__(model)
    variables = init(init_key, blank)
    if other := sorted(set(variables) - _KEPT - _SOWN):
        raise ValueError(
            f"{type(model).__name__} has variables in the collections {', '.join(other)}; a run "
            "keeps 'params' and 'batch_stats' only"
        )
    if pretrained:
        variables = pretrained_lib.load(pretrained, variables)
    params = variables["params"]
    return State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        # A copy: an optimiser may keep the parameters themselves, and a step donates both.
        opt_state=jax.tree.map(jnp.copy, optimizer.init(params)),
        # As arrays, so that the state has the same types from the first step on.
        edf=jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), edf),
        rng=run_key,
    )
