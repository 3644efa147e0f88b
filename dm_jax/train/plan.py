"""Length and intervals of a run, in steps, and where its compiled calls end."""

import dataclasses
import math
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Plan:
    """Length and intervals of a run, in steps.

    Attributes:
      total_steps: length of the training.
      log_every, evaluate_every, checkpoint_every: at every multiple of these, and at the end.
      max_steps_per_call: upper bound on the steps in one compiled call.
    """

    total_steps: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    max_steps_per_call: int = 1

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                value = getattr(self, field.name)
                raise ValueError(f"{field.name} must be at least one step, got {value}")

    @property
    def steps_per_call(self) -> int:
        """The largest divisor of all intervals that is at most `max_steps_per_call`."""
        common = math.gcd(self.log_every, self.evaluate_every, self.checkpoint_every)
        return max(d for d in range(1, min(self.max_steps_per_call, common) + 1) if common % d == 0)

    def blocks(self, start: int) -> Iterator[tuple[int, int]]:
        """(begin, end) of every call from `start`; ends are multiples of `steps_per_call`."""
        while start < self.total_steps:
            end = min(start - start % self.steps_per_call + self.steps_per_call, self.total_steps)
            yield start, end
            start = end

    def due(self, interval: int, step: int) -> bool:
        """Whether something with this interval is due after `step` steps."""
        return step % interval == 0 or step == self.total_steps
