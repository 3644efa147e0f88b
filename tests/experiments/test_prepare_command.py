"""The command that prepares a data set: what goes wrong is said, without a traceback."""

import pytest

from experiments import prepare


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits"], "error: digits needs no preparing"),
        (["cifra10"], "error: .*cifra10'; did you mean 'cifar10'"),
        (["mars", "--manual_dir=/nowhere/at/all"], "(?s)error: mars: .*/nowhere/at/all"),
    ],
)
def test_what_cannot_be_prepared_is_said(arguments, message, tmp_path):
    pytest.importorskip("tensorflow", reason="TensorFlow, which prepares data, is not installed")
    with pytest.raises(SystemExit, match=message) as raised:
        prepare.main([*arguments, f"--data_dir={tmp_path}"])
    assert len(str(raised.value)) < 600
