"""What the flags of a table mean."""

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import table_flags


@pytest.fixture(autouse=True)
def _parsed():
    flags.FLAGS.mark_as_parsed()


def parse(text):
    return table_flags._Patterns().parse(text)


def test_commas_within_brackets_belong_to_the_name():
    assert parse("DM(lambda=0.5,beta=12),CCE") == ["DM(lambda=0.5,beta=12)", "CCE"]
    assert parse("Adam (lr 0.01, delta 0.1), DM*") == ["Adam (lr 0.01, delta 0.1)", "DM*"]
    assert parse("*") == ["*"]


@flagsaver.flagsaver(table="9", rows=parse("DM(lambda=0.5,beta=12)"), columns=["*test_final"])
def test_rows_and_columns_are_named_as_in_the_published_table():
    pairs = table_flags.pairs(table_flags.spec())
    assert pairs == [("DM(lambda=0.5,beta=12)", f"noise_{rate}") for rate in (0.2, 0.4, 0.6)]


@flagsaver.flagsaver(table="4", rows=["CCE"], columns=["CMC-1"])
def test_two_columns_of_one_run():
    assert table_flags.pairs(table_flags.spec()) == [("CCE", "MARS")]


@flagsaver.flagsaver(table="3", set="data.data_dir=/data,model.pretrained=w.pth,parallel.devices=2")
def test_where_things_lie_is_no_change_of_the_protocol():
    spec = table_flags.spec()
    config = spec.cell("CCE", "accuracy", 1)
    assert spec.changes == ""
    assert (config.data.data_dir, config.model.pretrained) == ("/data", "w.pth")
    assert config.parallel.devices == 2


@flagsaver.flagsaver(table="8", set="model=resnet20,parallel.devices=2,model.pretrained=w.pth")
def test_another_network_is():
    assert table_flags.spec().changes == "model=resnet20,model.pretrained=w.pth"
