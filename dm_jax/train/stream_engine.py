"""Training on a data set too large for memory: every step is fed one batch.

A batch is a function of its number (`dm_jax.data.stream`), so a resumed run requests the batch of
its step and nothing else has to be saved. Each host decodes its share of every batch; the first of
H hosts has examples 0, H, 2H, … of it. All sums are over the whole batch, so the number of hosts
only changes which example gets which dropout mask.

It is not known which labels are wrong: the given labels stand for the true ones, so `accuracy`
equals `accuracy_given` and `p_clean` is over all examples.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from dm_jax import metrics
from dm_jax.data.stream import Batch, Batching, Source, eval_stream, train_stream
from dm_jax.train import parallel, retrieval_eval
from dm_jax.train.build import StreamedExperiment
from dm_jax.train.engine import Engine, as_ready
from dm_jax.train.state import State
from dm_jax.train.step import many_evaluations


class StreamEngine(Engine):
    """Trains on a stream of batches, one step per call.

    Raises:
      ValueError: a batch that does not divide over the hosts and devices, or hosts with different
        numbers of devices.
    """

    experiment: StreamedExperiment

    def __init__(self, experiment: StreamedExperiment, mesh: Mesh, mode: str):
        parallel.check_equal_shares(mesh)
        config = experiment.config
        plan = dataclasses.replace(experiment.plan, max_steps_per_call=1)
        super().__init__(experiment, mesh, mode, plan)
        self._training = train_stream(
            experiment.dataset.train,
            self._batching(config.train.batch_size, experiment.dataset.num_classes),
            seed=config.seed,
            workers=config.parallel.workers,
        )
        self._embed = self._compile(retrieval_eval.make_embed_step, many_evaluations, donate=False)

    def block(self, begin: int, end: int) -> Any:
        """The block of step begin (= end - 1), in transfer to the devices; they need not wait.

        Workers prepare the next batches meanwhile, and the loop requests a block while the devices
        are still busy with the previous one.
        """
        self._training.seek(begin)
        return self._feed(next(self._training))

    def evaluate_all(self, state: State, *, last: bool) -> dict[str, Any]:
        """{"test_accuracy": ...} of the held-out sets; `test_mAP` and `test_CMC-k` for MARS.

        If damaged images are skipped, `test_examples` is the number of the others.
        """
        del last  # a pass over the training set would take as long as an epoch
        experiment = self.experiment
        values: dict[str, Any] = {}
        for name, source in experiment.dataset.held_out.items():
            if name != "test" or experiment.config.data.test:
                totals = self._classify(state, source)
                values |= {f"{name}_{key}": value for key, value in totals.means().items()}
                if experiment.config.data.damaged == "skip":
                    values[f"{name}_examples"] = jax.device_get(totals.counts["accuracy"])
        test = experiment.dataset.retrieval_test
        if test is not None and experiment.config.data.test:
            batches = self._results(self._embed, state, test.frames, num_classes=None)
            scores = retrieval_eval.scores(batches, test)
            values |= {f"test_{key}": value for key, value in scores.items()}
        return values

    def close(self) -> None:
        """Stops the workers."""
        self._training.close()

    def _classify(self, state: State, source: Source) -> metrics.Totals:
        """Totals over all images of a source."""
        classes = self.experiment.dataset.num_classes
        parts = self._results(self._evaluate, state, source, num_classes=classes)
        return functools.reduce(metrics.Totals.add, parts)

    def _results(
        self, step: Callable[..., Any], state: State, source: Source, *, num_classes: int | None
    ) -> Iterator[Any]:
        """The step's result for each batch of a source, while the next batches are decoded."""
        config = self.experiment.config
        size = min(config.train.evaluate_batch, len(source))
        batching = self._batching(-(-size // self.mesh.size) * self.mesh.size, num_classes)
        stream = eval_stream(source, batching, workers=config.parallel.workers)
        with contextlib.closing(stream):
            yield from as_ready(step(state, None, self._feed(batch)) for batch in stream)

    def _batching(self, batch_size: int, num_classes: int | None) -> Batching:
        config = self.experiment.config.data
        return Batching(
            batch_size,
            resize=config.resize,
            crop=config.crop,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            num_classes=num_classes,
            damaged=config.damaged,
        )

    def example_block(self) -> Any:
        """A block of zeros, so that nothing has to be decoded."""
        own = self.experiment.config.train.batch_size // jax.process_count()
        example = self.experiment.example
        images = np.zeros((own, *example.shape[1:]), example.dtype)
        labels = np.zeros(own, np.int32)
        index, where = np.zeros(own, np.int64), np.zeros(own, bool)
        return self._feed({"inputs": images, "labels": labels, "index": index, "where": where})

    def _feed(self, batch: Batch) -> Any:
        """A block of one batch from this host's share; its labels also serve as true labels."""
        block = {
            "inputs": batch["inputs"],
            "labels": batch["labels"],
            "true_labels": batch["labels"],
            "index": batch["index"].astype(np.int32),
            "where": batch["where"],
        }
        return parallel.shard_share(block, self.mesh, self.mode)
