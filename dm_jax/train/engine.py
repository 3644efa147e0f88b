"""What compiled training and evaluation have in common, wherever the data are."""

import abc
import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh

from dm_jax import metrics
from dm_jax.train import parallel
from dm_jax.train.plan import Plan
from dm_jax.train.setup import Experiment
from dm_jax.train.state import State
from dm_jax.train.step import make_evaluate_step, make_train_step, many_evaluations, many_steps

Result = TypeVar("Result")
# Calls that the devices may still compute while the host waits for an earlier one: enough that they
# never idle, few enough that a stop request is answered soon. With some thirty, simulated CPU
# devices deadlock: one waits in a sum for another that may not begin the call.
IN_FLIGHT = 2


def as_ready(results: Iterable[Result]) -> Iterator[Result]:
    """The results in order, each once it is ready, while the next `IN_FLIGHT` are computed."""
    waiting: collections.deque[Result] = collections.deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > IN_FLIGHT:
            yield jax.block_until_ready(waiting.popleft())
    yield from map(jax.block_until_ready, waiting)


class Engine(abc.ABC):
    """Compiled training and evaluation; `close` it when done.

    Attributes:
      experiment: of a population the first, with whose config and settings all members train.
      mesh, mode: of `dm_jax.train.parallel`.
      plan: the experiment's plan, with calls sized for the device.
    """

    experiment: Experiment

    def __init__(self, experiment: Experiment, mesh: Mesh, mode: str, plan: Plan):
        parallel.check_batch(mesh, experiment.config.train.batch_size)
        self.experiment, self.mesh, self.mode, self.plan = experiment, mesh, mode, plan
        self._placement = parallel.placement_mesh(mesh, mode)
        self._train_data: Any = None  # on the devices; what a block's indices refer to
        self._advance = self._compile(make_train_step, many_steps, donate=True)
        self._evaluate = self._compile(make_evaluate_step, many_evaluations, donate=False)

    @abc.abstractmethod
    def block(self, begin: int, end: int) -> Any:
        """The block of steps begin .. end - 1, on the devices."""

    @abc.abstractmethod
    def example_block(self) -> Any:
        """A block with the shapes of those of `plan.steps_per_call` steps."""

    @abc.abstractmethod
    def evaluate_all(self, state: State, *, last: bool) -> dict[str, Any]:
        """{"test_accuracy": ...} of all sets.

        Args:
          state: the state to evaluate.
          last: whether training has ended; only then the training set may be evaluated (`fit_*`).
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Stops what runs beside the training."""

    def advance(self, state: State, block: Any) -> tuple[State, metrics.Totals]:
        """(state, Totals) after the steps of a block; the state is donated."""
        return self._advance(state, self._train_data, block)

    def lower(self, state: State, block: Any) -> jax.stages.Lowered:
        """Lowers `advance` without running it, to read its HLO or its cost."""
        return self._advance.lower(state, self._train_data, block)

    def empty_totals(self, state: State) -> metrics.Totals:
        """Zero totals with the structure that `advance` returns."""
        return metrics.Totals.empty(jax.eval_shape(self.advance, state, self.example_block())[1])

    def memory(self, state: State) -> int:
        """Bytes of device memory for the compiled steps of a block and their arguments."""
        needed: Any = self.lower(state, self.example_block()).compile().memory_analysis()
        return needed.argument_size_in_bytes + needed.temp_size_in_bytes

    def place(self, tree: Any) -> Any:
        """Puts state or totals on the devices: replicates them on every one."""
        return parallel.replicate(tree, self._placement)

    def _compile(
        self, make_step: Callable[..., Any], many: Callable[..., Any], *, donate: bool
    ) -> Any:
        settings = self.experiment.settings
        return parallel.compile_step(
            lambda axis_name: many(make_step(settings, axis_name=axis_name)),
            self.mesh,
            self.mode,
            donate=donate,
        )
