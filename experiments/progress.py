"""Progress of a command: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping

import tqdm


class ProgressBar:
    """A `dm_jax.train.Progress`: rate and time left on a terminal, else a line per measurement."""

    def __init__(self, *, quiet: bool = False):
        """`quiet` drops the lines but keeps the bar."""
        self._quiet = quiet
        self._bar: tqdm.tqdm | None = None

    def start(self, total: int, step: int) -> None:
        """Training starts at `step` of `total`."""
        if step and not self._quiet:
            print(f"resuming at step {step} of {total}", flush=True)
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(total=total, initial=step, unit="step", dynamic_ncols=True)

    def update(self, step: int) -> None:
        """The devices have finished `step` steps."""
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Shows a few numbers, if there are any."""
        if not values:
            return
        text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        elif not self._quiet:
            print(f"step {step}: {text}", flush=True)

    def close(self) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
