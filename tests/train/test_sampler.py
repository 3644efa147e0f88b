"""The order of examples is a pure function of seed and step, and every epoch a permutation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dm_jax import draws
from dm_jax.train.sampler import Sampler, in_order

_ROWS = np.arange(100, 137)  # 37 rows, none of whose numbers is a position


@pytest.mark.parametrize("batch_size", [1, 8, 37, 50])
def test_wrapped_batches_run_through_one_permutation_after_the_other(batch_size):
    index, where = Sampler(_ROWS, batch_size, seed=3).batches(0, 37 * 3)
    assert where is None
    assert index.dtype == np.int32
    epochs = index.ravel()[: 37 * 3].reshape(3, 37)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), _ROWS)
    assert not np.array_equal(epochs[0], epochs[1])


@pytest.mark.parametrize("batch_size", [8, 50])
def test_masked_batches_see_every_row_once_an_epoch(batch_size):
    sampler = Sampler(_ROWS, batch_size, seed=3, last_batch="mask")
    a_epoch = -(-37 // batch_size)
    index, where = sampler.batches(0, 3 * a_epoch)
    assert index.shape == where.shape == (3 * a_epoch, batch_size)
    for epoch in range(3):
        rows = slice(epoch * a_epoch, (epoch + 1) * a_epoch)
        np.testing.assert_array_equal(np.sort(index[rows][where[rows]]), _ROWS)
        assert where[rows][:-1].all()
    assert np.isin(index, _ROWS).all()  # padding too names rows that exist


def test_a_batch_may_span_many_epochs():
    rows = Sampler(_ROWS[:3], 8, seed=3).batches(0, 9)[0].ravel()
    for epoch in range(24):
        assert sorted(rows[3 * epoch : 3 * epoch + 3]) == _ROWS[:3].tolist()


def test_masking_is_left_out_where_epochs_divide():
    assert Sampler(_ROWS[:32], 8, seed=0, last_batch="mask").batches(0, 9)[1] is None


@settings(deadline=None)  # a shared machine may stop for a second
@given(
    begin=st.integers(0, 50),
    length=st.integers(1, 20),
    batch_size=st.integers(1, 60),
    last_batch=st.sampled_from(["wrap", "mask"]),
)
def test_a_step_sees_the_same_rows_however_it_is_reached(begin, length, batch_size, last_batch):
    sampler = Sampler(_ROWS, batch_size, 7, last_batch)
    whole, where = sampler.batches(0, begin + length)
    again, again_where = Sampler(_ROWS, batch_size, 7, last_batch).batches(begin, begin + length)
    np.testing.assert_array_equal(whole[begin:], again)
    if where is not None:
        np.testing.assert_array_equal(where[begin:], again_where)


def test_the_order_is_that_of_no_other_draw():
    """Noise is drawn with the same seed; an order that sorted its uniforms would sort the noise."""
    orders = {tuple(Sampler(np.arange(37), 37, 3).batches(e, e + 1)[0][0]) for e in range(4)}
    for stream in ("noise", "imbalance", "structure", "split"):
        uniforms = draws.generator(3, stream).random(37)
        assert tuple(np.argsort(uniforms)) not in orders


def test_seeds_have_their_own_orders():
    orders = {Sampler(_ROWS, 37, seed).batches(0, 1)[0].tobytes() for seed in range(20)}
    assert len(orders) == 20


def test_the_order_is_the_same_on_every_platform():
    """From PCG64 and a stable sort; were it to change, no run could be repeated."""
    index, _ = Sampler(np.arange(8), 8, seed=3).batches(0, 2)
    np.testing.assert_array_equal(index, [[3, 2, 6, 1, 4, 5, 7, 0], [5, 3, 4, 0, 1, 2, 7, 6]])


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (8, 4), (3, 5)])
def test_in_order_covers_every_row_once(count, batch_size):
    index, where = in_order(count, batch_size)
    assert index.shape == where.shape == (-(-count // batch_size), batch_size)
    np.testing.assert_array_equal(index[where], np.arange(count))
    assert (index[~where] == 0).all()
