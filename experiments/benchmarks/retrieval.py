"""Benchmarks retrieval on MARS: 1,980 queries among 12,180 tracklets, by the real protocol.

    python -m experiments.benchmark retrieval --info=DIR [--dimensions=1024] [--rounds=3]

DIR is the folder `info/` of MARS-evaluation, with tracks_test_info.mat and query_IDX.mat. Persons
and cameras are the protocol's; the features are random, a direction for each person plus noise, so
that there is something to find.
"""

import argparse
import pathlib
import time

import numpy as np

from dm_jax import retrieval
from dm_jax.data import mars_protocol
from dm_jax.data.mars_protocol import Tracklets
from experiments import benchmarks


def main(argv: list[str]) -> None:
    """Reads the protocol, draws features, times the search and prints its scores."""
    parser = argparse.ArgumentParser(prog="experiments.benchmark retrieval", description=__doc__)
    parser.add_argument("--info", type=pathlib.Path, required=True, help="folder of the protocol")
    count = benchmarks.positive
    parser.add_argument("--dimensions", type=count, default=1024, help="size of a feature")
    parser.add_argument("--rounds", type=count, default=3, help="the median time is reported")
    flags = parser.parse_args(argv)
    try:
        tracklets = mars_protocol.read_tracklets(flags.info / "tracks_test_info.mat")
        queries = mars_protocol.read_queries(flags.info / "query_IDX.mat", tracklets)
    except (OSError, ValueError) as error:
        parser.error(f"--info: {error}")
    print(benchmarks.heading("retrieval on MARS", "numpy"))
    features = draw_features(tracklets, flags.dimensions)
    times, (scores, *_) = zip(
        *(search(tracklets, queries, features) for _ in range(flags.rounds)), strict=True
    )
    print(
        f"{scores.num_queries} queries ({scores.num_valid} with an answer) among {len(tracklets)} "
        f"tracklets, {flags.dimensions} dimensions: {np.median(times):.1f} s "
        f"(mAP {100 * scores.mean_average_precision:.1f}%, CMC-1 {100 * scores.cmc[1]:.1f}%)"
    )


def draw_features(tracklets: Tracklets, dimensions: int) -> np.ndarray:
    """float32 [tracklets, dimensions]: the person's direction plus three times as much noise."""
    rng = np.random.default_rng(0)
    people, who = np.unique(tracklets.person, return_inverse=True)
    directions = rng.normal(size=(len(people), dimensions)).astype(np.float32)
    noise = rng.normal(size=(len(tracklets), dimensions)).astype(np.float32)
    return directions[who] + 3 * noise


def search(
    tracklets: Tracklets, queries: np.ndarray, features: np.ndarray
) -> tuple[float, retrieval.RetrievalScores]:
    """Runs the search; returns its time in seconds and its scores."""
    start = time.perf_counter()
    scores = retrieval.evaluate(
        features[queries],
        tracklets.person[queries],
        tracklets.camera[queries],
        features,
        tracklets.person,
        tracklets.camera,
    )
    return time.perf_counter() - start, scores
