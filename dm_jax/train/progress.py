"""How a run reports its progress; training itself prints nothing."""

from typing import Protocol


class Progress(Protocol):
    """A display of a run's progress, such as a progress bar."""

    def start(self, total: int, step: int) -> None:
        """Training runs from `step` to `total`."""

    def update(self, step: int) -> None:
        """The devices have finished `step` steps."""

    def show(self, step: int, values: dict[str, float]) -> None:
        """Values that were just measured."""

    def close(self) -> None:
        """Training has ended."""


class NoProgress:
    """A `Progress` that shows nothing: the default, and what all hosts but the first use."""

    def start(self, total: int, step: int) -> None:
        """Does nothing."""

    def update(self, step: int) -> None:
        """Does nothing."""

    def show(self, step: int, values: dict[str, float]) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""
