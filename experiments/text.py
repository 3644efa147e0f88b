"""The format of numbers and facts in messages, Markdown, HTML and figures."""

from collections.abc import Collection, Mapping
from typing import Any

from configs import overrides
from dm_jax.train.config import LossConfig, scheme_parameters

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"  # nothing to print here


def with_deviation(value: float, deviation: float | None) -> str:
    """A number with its deviation, if it has one.

    >>> with_deviation(59.3, 0.2), with_deviation(59.3, None)
    ('59.3 ± 0.2', '59.3')
    """
    return f"{value:.1f}" if deviation is None else f"{value:.1f} ± {deviation:.1f}"


def signed(difference: float) -> str:
    """A signed number with a true minus sign; what rounds to zero has no sign.

    >>> signed(0.26), signed(-0.04)
    ('+0.3', '0.0')
    """
    text = f"{abs(difference):.1f}"
    if text == "0.0":
        return text
    return ("+" if difference > 0 else MINUS) + text


def parameters(values: Mapping[str, Any]) -> str:
    """Parameters as `name=value`, separated by commas.

    >>> parameters({"lam": 0.5, "beta": 8.0, "kind": "power"})
    'lam=0.5, beta=8, kind=power'
    """
    return ", ".join(f"{name}={_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if is_number else str(value)


def moves(schedule: Mapping[str, object] | None) -> str:
    """Where the parameters of a schedule move to, as the end of a scheme's text.

    >>> "DM(lam=0)" + moves({"lam": 1.0})
    'DM(lam=0), lam to 1.0'
    """
    return "".join(f", {name} to {end}" for name, end in (schedule or {}).items())


def loss(config: Mapping[str, Any]) -> str:
    """The loss of a config with its parameters.

    >>> loss({"name": "DM", "normalization": "batch", "lam": 0.5, "beta": 8.0})
    'DM(lam=0.5, beta=8)'
    >>> loss({"name": "CCE", "normalization": "batch", "class_weights": [1.0, 0.5]})
    'CCE-DN, class weights 1, 0.5'
    """
    own = scheme_parameters(config)
    name, normalization = config.get("name", ""), config.get("normalization")
    always_normalised = overrides.is_always_normalised(name)
    if normalization == "batch" and not always_normalised:
        name += "-DN"
    text = name + (f"({parameters(own)})" if own else "")
    if normalization == "density" or (normalization == "none" and always_normalised):
        text += f", normalization {normalization}"
    usual = LossConfig().saturation
    if (saturation := config.get("saturation", usual)) != usual:
        text += f", saturation {saturation:g}"
    if weights := config.get("class_weights"):
        text += f", class weights {', '.join(f'{weight:g}' for weight in weights)}"
    return text + moves(config.get("schedule"))


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "run"), count(4, "run")
    ('1 run', '4 runs')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def fingerprint(data: str) -> str:
    """The first twelve digits of a fingerprint; that of streamed data, which is words, in full.

    >>> fingerprint("0123456789abcdef" * 4), fingerprint("mars, 509914 images"), fingerprint("")
    ('0123456789ab', 'mars, 509914 images', 'not recorded')
    """
    return (data if " " in data else data[:12]) or "not recorded"


def seeds_range(counts: Collection[int]) -> str:
    """The range of several numbers of seeds in words.

    >>> seeds_range([5, 5]), seeds_range([1, 5, 2])
    ('5 seeds', '1 to 5 seeds')
    """
    low, high = min(counts), max(counts)
    return count(high, "seed") if low == high else f"{low} to {high} seeds"


def duration(seconds: float) -> str:
    """Seconds in the units a person would use.

    >>> duration(3.26), duration(59.96), duration(75), duration(7260)
    ('3.3 s', '1 min 0 s', '1 min 15 s', '2 h 1 min')
    """
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
