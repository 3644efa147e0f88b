"""The benchmark of the search reads a protocol and finds what it has drawn."""

import re

import numpy as np
import pytest
from scipy.io import savemat

from experiments import benchmark


def test_a_small_protocol_is_searched(tmp_path, capsys):
    rows = [(1 + i, 1 + i, 1 + i // 3, 1 + i % 3) for i in range(12)]
    rows.append((13, 13, -1, 1))
    savemat(tmp_path / "tracks_test_info.mat", {"track_test_info": np.array(rows, np.int32)})
    savemat(tmp_path / "query_IDX.mat", {"query_IDX": np.array([[1, 4, 7, 10]])})
    arguments = ["--dimensions=4096", "--rounds=1"]
    benchmark.main(["retrieval", f"--info={tmp_path}", *arguments])
    printed = capsys.readouterr().out
    assert "4 queries (4 with an answer) among 13 tracklets, 4096 dimensions: " in printed
    assert "(mAP 100.0%, CMC-1 100.0%)" in printed


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--rounds=0", "--rounds: must be at least 1, got 0"),
        ("--dimensions=8", "--info: .*tracks_test"),
    ],
)
def test_what_cannot_be_measured_is_named(tmp_path, capsys, argument, message):
    with pytest.raises(SystemExit):
        benchmark.main(["retrieval", f"--info={tmp_path}", argument])
    assert re.search(message, capsys.readouterr().err)
