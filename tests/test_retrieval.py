"""Retrieval scores against a plain loop over every order of the ties, and cases made by hand."""

import itertools

import numpy as np
import pytest

from dm_jax import retrieval

DEPTH = (1, 2, 3, 5)


def precision_and_hits(answers):
    """Average precision and hit by rank of one order: the textbook definition."""
    places = [place for place, right in enumerate(answers, 1) if right]
    precision = np.mean([sum(answers[:place]) / place for place in places])
    return precision, [any(answers[:rank]) for rank in DEPTH]


def plain_scores(similarity, q_ids, q_cameras, g_ids, g_cameras):
    """Means over queries of the scores averaged over every order that sorts the similarities."""
    precisions, hits = [], []
    for row, q_id, q_camera in zip(similarity, q_ids, q_cameras, strict=True):
        entries = [
            (-value, g_id == q_id)
            for value, g_id, g_camera in zip(row, g_ids, g_cameras, strict=True)
            if g_id != -1 and not (g_id == q_id and g_camera == q_camera)
        ]
        if not any(right for _, right in entries):
            continue
        runs = itertools.groupby(sorted(entries), key=lambda entry: entry[0])
        orders = [itertools.permutations([right for _, right in run]) for _, run in runs]
        scores = [precision_and_hits(sum(order, ())) for order in itertools.product(*orders)]
        precisions.append(np.mean([precision for precision, _ in scores]))
        hits.append(np.mean([hit for _, hit in scores], axis=0))
    return np.mean(precisions), dict(zip(DEPTH, np.mean(hits, axis=0), strict=True))


def random_case(seed, *, queries=20, gallery=9, people=3):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(1, people, queries),
        rng.integers(0, 2, queries),
        rng.integers(-1, people, gallery),
        rng.integers(0, 3, gallery),
    )


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_it_is_the_plain_loop(seed):
    q_ids, q_cameras, g_ids, g_cameras = random_case(seed, gallery=40, people=6)
    rng = np.random.default_rng(seed)
    q_features, g_features = rng.normal(size=(20, 8)), rng.normal(size=(40, 8))
    lengths = np.linalg.norm(q_features, axis=1)[:, None] * np.linalg.norm(g_features, axis=1)
    scores = retrieval.evaluate(
        q_features, q_ids, q_cameras, g_features, g_ids, g_cameras, ranks=DEPTH
    )
    precision, hits = plain_scores(
        q_features @ g_features.T / lengths, q_ids, q_cameras, g_ids, g_cameras
    )
    assert scores.mean_average_precision == pytest.approx(precision, abs=1e-12)
    assert scores.cmc == pytest.approx(hits, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_ties_give_the_mean_over_all_their_orders(seed):
    q_ids, q_cameras, g_ids, g_cameras = random_case(seed, queries=6, gallery=7)
    rng = np.random.default_rng(seed)
    features = np.eye(3)  # similarities are 0 or 1: long runs of ties
    q_kind, g_kind = rng.integers(0, 3, 6), rng.integers(0, 3, 7)
    scores = retrieval.evaluate(
        features[q_kind], q_ids, q_cameras, features[g_kind], g_ids, g_cameras, ranks=DEPTH
    )
    similarity = (q_kind[:, None] == g_kind).astype(float)
    precision, hits = plain_scores(similarity, q_ids, q_cameras, g_ids, g_cameras)
    assert scores.mean_average_precision == pytest.approx(precision, abs=1e-12)
    assert scores.cmc == pytest.approx(hits, abs=1e-12)


def one_query(angles, ids, cameras, **options):
    """Scores of a query of identity 1, camera 0, against gallery features at these angles."""
    angles = np.asarray(angles, float)
    gallery = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return retrieval.evaluate(
        np.array([[2.0, 0.0]]),
        np.array([1]),
        np.array([0]),
        gallery,
        np.array(ids),
        np.array(cameras),
        **options,
    )


def test_right_answers_at_places_two_and_four():
    scores = one_query([0.1, 0.2, 0.3, 0.4], ids=[2, 1, 3, 1], cameras=[1, 1, 1, 2], ranks=(1, 2))
    assert scores.mean_average_precision == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert scores.cmc == {1: 0.0, 2: 1.0}


def test_own_identity_in_own_camera_is_left_out():
    scores = one_query([0.0, 0.2, 0.3], ids=[1, 2, 1], cameras=[0, 1, 1])
    assert scores.mean_average_precision == pytest.approx(1 / 2)


def test_another_identity_in_the_same_camera_stays():
    assert one_query([0.1, 0.2], ids=[2, 1], cameras=[0, 1], ranks=(1,)).cmc == {1: 0.0}


def test_junk_is_left_out_and_distractors_stay_as_wrong_answers():
    junk = one_query([0.1, 0.2], ids=[-1, 1], cameras=[1, 1])
    distractor = one_query([0.1, 0.2], ids=[0, 1], cameras=[1, 1])
    assert junk.mean_average_precision == 1.0
    assert distractor.mean_average_precision == 0.5


def test_copies_of_one_tracklet_tie_whatever_their_length_and_place():
    rng = np.random.default_rng(0)
    feature = rng.normal(size=64).astype(np.float32)
    gallery = np.tile(feature, (33, 1)) * np.arange(1, 34, dtype=np.float32)[:, None]
    ids = np.full(33, 2)
    for place in (0, 16, 32):
        ids[:] = 2
        ids[place] = 1
        scores = retrieval.evaluate(
            feature[None] + 0.5, [1], [0], gallery, ids, np.ones(33, int), ranks=(1, 11, 10**9)
        )
        assert scores.cmc == pytest.approx({1: 1 / 33, 11: 11 / 33, 10**9: 1.0})


def test_copies_at_a_right_angle_tie():
    """Their similarity is a rounded zero, of which a relative rounding would keep every digit."""
    rng = np.random.default_rng(0)
    feature, query = rng.normal(size=(2, 64))
    query -= feature * (query @ feature) / (feature @ feature)
    gallery = np.stack([(1 + 0.3 * i) * feature for i in range(5)])
    for place in range(5):
        ids = np.full(5, 2)
        ids[place] = 1
        scores = retrieval.evaluate(query[None], [1], [0], gallery, ids, np.ones(5, int), ranks=[1])
        assert scores.cmc == pytest.approx({1: 1 / 5})


def test_a_query_without_a_right_answer_does_not_count():
    scores = retrieval.evaluate(
        np.eye(2), np.array([1, 2]), np.array([0, 0]), np.eye(2)[:1], [1], [1], ranks=(1,)
    )
    assert (scores.num_queries, scores.num_valid) == (2, 1)
    assert scores.cmc == {1: 1.0}


def test_more_queries_than_a_block_are_all_scored():
    count = 600
    ids = np.arange(1, count + 1)
    features = np.random.default_rng(1).normal(size=(count, 16))
    scores = retrieval.evaluate(
        features, ids, np.zeros(count, int), features, ids, np.ones(count, int)
    )
    assert scores.num_valid == count
    assert scores.mean_average_precision == pytest.approx(1.0)


def test_extreme_feature_lengths_do_not_matter():
    scores = one_query([0.1, 0.2], ids=[1, 2], cameras=[1, 1])
    for scale in (1e-200, 1e200):
        scaled = retrieval.evaluate(
            np.array([[scale, 0.0]]),
            [1],
            [0],
            scale * np.array([[np.cos(0.1), np.sin(0.1)], [np.cos(0.2), np.sin(0.2)]]),
            [1, 2],
            [1, 1],
        )
        assert scaled == scores


@pytest.mark.filterwarnings("error")
def test_a_feature_of_zeros_is_similar_to_none():
    """Its similarity is 0: below a small angle, above a large one."""
    zero = retrieval.tracklet_features(np.array([[1.0, 2.0], [-1.0, -2.0]]), np.array([0, 0]), 1)
    np.testing.assert_array_equal(zero, 0)
    gallery = np.concatenate([[[1.0, 1.0]], zero, [[-1.0, 1.0]]])
    for place, hits in enumerate([{1: 1, 2: 1}, {1: 0, 2: 1}, {1: 0, 2: 0}]):
        ids = np.where(np.arange(3) == place, 1, 2)
        scores = retrieval.evaluate(
            np.array([[2.0, 0.0]]), [1], [0], gallery, ids, [1, 1, 1], ranks=(1, 2)
        )
        assert scores.cmc == hits


def test_tracklet_features_are_normalised_means_whatever_the_order_of_frames():
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(50, 4)).astype(np.float32)
    ids = np.concatenate([np.arange(7), rng.integers(0, 7, 43)])
    features = retrieval.tracklet_features(frames, ids, 7)
    for tracklet in range(7):
        mean = frames[ids == tracklet].mean(axis=0)
        np.testing.assert_allclose(features[tracklet], mean / np.linalg.norm(mean), rtol=1e-5)
    order = np.argsort(ids)
    np.testing.assert_allclose(
        retrieval.tracklet_features(frames[order], ids[order], 7), features, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("frames", "ids", "num", "error", "message"),
    [
        (np.ones(3), [0, 0, 0], 1, ValueError, r"frame_features must be \[n, d\].*got \[3\]"),
        (np.ones((3, 2)), [0, 0], 1, ValueError, r"tracklet_ids must be \[3\].*got \[2\]"),
        (np.ones((2, 2)), [0.0, 0.0], 1, TypeError, "tracklet_ids .* integers, got float64"),
        (np.ones((2, 2)), [0, 2], 2, ValueError, r"in \[0, 2\), got 2 at frame 1"),
        (np.ones((2, 2)), [0, -1], 2, ValueError, r"in \[0, 2\), got -1 at frame 1"),
        (np.ones((2, 2)), [0, 0], 2, ValueError, "tracklet 1 has none of the 2 frames"),
        (np.full((1, 2), np.nan), [0], 1, ValueError, "frame_features must be finite, row 0"),
        (np.array([["a"]]), [0], 1, TypeError, "frame_features .* of real numbers, got <U1"),
        (np.zeros((1, 2), "M8[s]"), [0], 1, TypeError, "of real numbers, got datetime64"),
        (np.ones((1, 2)), [0], 1.0, TypeError, r"num_tracklets must be an integer, got 1\.0"),
    ],
)
def test_bad_frames_are_named(frames, ids, num, error, message):
    with pytest.raises(error, match=message):
        retrieval.tracklet_features(frames, np.array(ids), num)


GOOD = {
    "query_features": np.ones((1, 2)),
    "query_ids": np.array([1]),
    "query_cameras": np.array([0]),
    "gallery_features": np.ones((2, 2)),
    "gallery_ids": np.array([1, 2]),
    "gallery_cameras": np.array([1, 1]),
}


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"gallery_features": np.ones((2, 3))}, ValueError, r"gallery_features must be \[n, 2\]"),
        ({"gallery_features": np.ones((0, 2))}, ValueError, r"not empty, got \[0, 2\]"),
        ({"gallery_ids": np.array([1])}, ValueError, r"gallery_ids must be \[2\].*got \[1\]"),
        ({"gallery_ids": np.array([1, -2])}, ValueError, "at least -1, got -2 at position 1"),
        ({"query_ids": np.array([0])}, ValueError, "query_ids must be at least 1, got 0"),
        ({"query_cameras": np.array(["a"])}, TypeError, "query_cameras must be an array of int"),
        ({"gallery_ids": np.array([3, 2])}, ValueError, "none of the 1 queries has a true match"),
        ({"ranks": (0, 1)}, ValueError, r"integers above 0, got \(0, 1\)"),
        ({"ranks": 5}, ValueError, "must be a sequence of integers above 0, got 5"),
        ({"ranks": (1.0,)}, ValueError, r"integers above 0, got \(1\.0,\)"),
        ({"ranks": (True,)}, ValueError, r"integers above 0, got \(True,\)"),
        ({"ranks": ()}, ValueError, r"integers above 0, got \(\)"),
        ({"query_features": np.full((1, 2), np.inf)}, ValueError, "query_features must be finite"),
        ({"query_features": np.full((1, 2), 1j)}, TypeError, "real numbers, got complex128"),
    ],
)
def test_bad_input_is_named(changed, error, message):
    with pytest.raises(error, match=message):
        retrieval.evaluate(**(GOOD | changed))
