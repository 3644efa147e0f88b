"""What a person watches while something runs: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping

import tqdm


class Progress:
    """A `dm_jax.train.Watcher`: rate and time left on a terminal; elsewhere a line per note."""

    def __init__(self, *, quiet: bool = False):
        """`quiet`: no lines; the bar stays."""
        self._quiet = quiet
        self._bar: tqdm.tqdm | None = None

    def begin(self, total: int, start: int) -> None:
        """Training goes from step `start` to `total`."""
        if start and not self._quiet:
            print(f"going on from step {start} of {total}", flush=True)
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(total=total, initial=start, unit="step", dynamic_ncols=True)

    def moved(self, step: int) -> None:
        """The devices have finished `step` steps."""
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """Shows a few numbers, if there are any."""
        if not values:
            return
        text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        elif not self._quiet:
            print(f"step {step}: {text}", flush=True)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
