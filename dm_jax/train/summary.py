"""Results of a run: final and best values, and curves."""

import dataclasses
import math
from typing import Any

from dm_jax.train import hardware, weight_profile
from dm_jax.train.setup import Experiment

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Summary:
    """The results of a run.

    Attributes:
      step, total: steps taken, and the length of the run.
      rows: {"step": ..., name: value ...} as in metrics.jsonl; accuracies in [0, 1].
      corruption: hash of the training labels' corruption.
      data: fingerprint of the data set.
      weight_profile: that of a custom scheme (`weight_profile.profile`).
      actual_rate: share of the training labels that were changed; NaN for a streamed set, whose
        labels are used as they are.
      seconds: wall time of the training, over all starts up to where each resumed; for a
        population's member, its share.
      device: the devices it ran on, as text.
    """

    step: int
    total: int
    rows: list[Row] = dataclasses.field(repr=False)
    corruption: str
    data: str
    weight_profile: list[float] = dataclasses.field(repr=False)
    actual_rate: float
    seconds: float
    device: str

    @classmethod
    def of(
        cls, experiment: Experiment, rows: list[Row], *, step: int, seconds: float, devices: int
    ) -> "Summary":
        """The summary of an experiment that has taken `step` steps on that many devices."""
        corruption = experiment.corruption
        return cls(
            step=step,
            total=experiment.plan.total_steps,
            rows=rows,
            corruption=corruption.hash,
            data=experiment.dataset.fingerprint,
            weight_profile=weight_profile.profile(experiment.config.loss),
            actual_rate=corruption.actual_rate if corruption.kept.size else math.nan,
            seconds=seconds,
            device=hardware.devices(devices),
        )

    @property
    def finished(self) -> bool:
        """Whether training reached its end (else a stop was requested)."""
        return self.step == self.total

    @property
    def diverged_at(self) -> int | None:
        """The first logged step with a loss that is not finite, or None.

        Such a loss ends a single run with an error, but not the other members of a population.
        """
        losses = [(row["step"], row.get("train_loss")) for row in self.rows]
        return next((s for s, v in losses if v is not None and not math.isfinite(v)), None)

    def curve(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of every row that has a number for `name`."""
        points = [(row["step"], row.get(name)) for row in self.rows]
        return [(step, v) for step, v in points if v is not None and math.isfinite(v)]

    def final(self, name: str = "test_accuracy") -> float:
        """The last value of `name`; NaN if there is none, or if the run diverged."""
        if self.diverged_at is not None:
            return math.nan
        curve = self.curve(name)
        return curve[-1][1] if curve else math.nan

    def best(self, name: str = "test_accuracy") -> float:
        """The highest value of `name`; NaN if there is none."""
        return max((value for _, value in self.curve(name)), default=math.nan)

    def best_step(self, name: str = "test_accuracy") -> int:
        """The first step at which `name` was highest; 0 if there is none."""
        return max(self.curve(name), key=lambda point: point[1], default=(0, math.nan))[0]
