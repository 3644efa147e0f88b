"""What the flags of a table mean."""

import dataclasses

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.tables import cells, table_flags, table_specs


@pytest.fixture(autouse=True)
def _parsed():
    flags.FLAGS.mark_as_parsed()


def parse(text):
    return table_flags._Patterns().parse(text)


def test_commas_within_brackets_belong_to_the_name():
    assert parse("DM(lambda=0.5,beta=12),CCE") == ["DM(lambda=0.5,beta=12)", "CCE"]
    assert parse("Adam (lr 0.01, delta 0.1), DM*") == ["Adam (lr 0.01, delta 0.1)", "DM*"]
    assert parse("*") == ["*"]


def test_a_pattern_may_begin_or_end_within_brackets():
    assert parse("DM(lambda=2*,*") == ["DM(lambda=2*,*"]
    assert parse("SGD (lr 0.01),Adam*delta 1)") == ["SGD (lr 0.01)", "Adam*delta 1)"]


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
    config = spec.cell_config("CCE", "accuracy", 1)
    assert spec.changes == ""
    assert (config.data.data_dir, config.model.pretrained) == ("/data", "w.pth")
    assert config.parallel.devices == 2
    elsewhere = dataclasses.replace(spec, runtime_arguments="model.pretrained=/moved/w.pth")
    hashes = {
        cells.Cell("3", "CCE", "accuracy", 1, one.cell_config("CCE", "accuracy", 1)).config_hash
        for one in (spec, elsewhere)
    }
    assert len(hashes) == 1


@flagsaver.flagsaver(table="1", set="parallel.distributed=true,parallel.devices=2")
def test_a_table_does_not_run_on_several_hosts():
    with pytest.raises(ValueError, match=r"--set=parallel\.distributed: .* on one host each"):
        table_flags.spec()


@flagsaver.flagsaver(table="8", set="model=resnet20,parallel.devices=2,model.pretrained=w.pth")
def test_another_network_is():
    assert table_flags.spec().changes == "model=resnet20,model.pretrained=w.pth"


@flagsaver.flagsaver(table="3", set="model.pretrained=")
def test_random_weights_are_no_other_place_of_the_weights():
    assert table_flags.spec().changes == "model.pretrained="


@pytest.mark.parametrize(
    "given", ["model=resnet20,beta=4,steps=9", "loss.beta=4,steps=9,model.name=resnet20"]
)
def test_the_same_changes_are_written_the_same(given):
    with flagsaver.flagsaver(table="6", set=given):
        assert table_flags.spec().changes == "steps=9,beta=4,model=resnet20"


@pytest.mark.parametrize(
    ("given", "marked"),
    [
        ("optimizer.learning_rate=.020", "optimizer.learning_rate=0.02"),
        ("optimizer.momentum=0.9,train.batch_size=250", ""),
        (
            "schedule.name=steps,schedule.boundaries=50 steps; 80 steps",
            "schedule.boundaries=50 steps;80 steps,schedule.name=steps",
        ),
        ("train.batch_size=0250,optimizer.nesterov=True", "optimizer.nesterov=true"),
    ],
)
def test_changes_are_what_differs_from_the_protocol_written_in_one_way(given, marked):
    with flagsaver.flagsaver(table="5", set=given):
        assert table_flags.spec().changes == marked


@pytest.mark.parametrize(
    ("table", "argument"),
    [
        ("9", "lam=2"),
        ("9", "loss.beta=4"),
        ("8", "optimizer.weight_decay=0"),
        ("7", "optimizer.learning_rate=1"),
        ("7", "optimizer.name=sgd"),
        ("5", "loss.normalization=none"),
        ("5", "loss.beta=2"),
        ("cifar_n", "data.name=cifar10"),
        ("1", "noise.kind=uniform"),
        ("6", "noise.rate=0.2"),
        ("figure10", "noise.seed=3"),
    ],
)
def test_what_tells_rows_or_columns_apart_is_not_set(table, argument):
    name = argument.partition("=")[0].replace("loss.beta", "beta")
    name = name.replace("loss.normalization", "normalization").replace("noise.kind", "noise")
    name = name.replace("noise.rate", "rate")
    with (
        flagsaver.flagsaver(table=table, set=argument),
        pytest.raises(ValueError, match=f"--set={name}: table {table} sets it"),
    ):
        table_flags.spec()


@pytest.mark.parametrize(
    ("table", "pairs"),
    [
        ("1", [("Own", "clean"), ("Own", "sym_0.2")]),
        ("6", [("Own", "accuracy_mean")]),
        ("7", [("SGD (lr 0.01)", "Own"), ("Nesterov (lr 0.01)", "Own")]),
        ("8", [("0.0", "Own"), ("0.4", "Own")]),
        ("9", [("Own", "noise_0.2"), ("Own", "noise_0.4")]),
    ],
)
def test_a_method_of_ones_own_is_a_row_or_a_column(table, pairs):
    own = ["Own: method=DM,lam=0.3,beta=5"]
    with flagsaver.flagsaver(table=table, method=own, grid=["Own: beta=4;8,lam=0.3"]):
        spec = table_flags.spec()
    assert table_specs.select(spec, ["*"], ["Own"] if table in "78" else ["*"])
    for row, column in pairs:
        cell = spec.cell_config(row, column, 1)
        assert cell.loss.parameters == {"lam": 0.3, "beta": 5.0}
        beside = {"6": ("DM", column), "7": (row, "DM"), "8": (row, "DM")}.get(table, (row, column))
        other = spec.cell_config(*beside, 1)
        assert dataclasses.replace(other, loss=cell.loss) == cell
        assert spec.grid(row, column) == {"beta": (4.0, 8.0), "lam": (0.3,)}


def test_whole_numbers_stay_whole_for_a_custom_scheme():
    own = ["Own: method=my_module:Order"]
    with flagsaver.flagsaver(table="1", method=own, grid=["Own: order=1;2,knee=0.5"]):
        grid = table_flags.spec().grid("Own", "clean")
    assert grid == {"order": (1, 2), "knee": (0.5,)}
    assert all(isinstance(value, int) for value in grid["order"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": ["method=DM"]}, "--method must be 'NAME: ...' with a blank, got 'method=DM'"),
        ({"method": ["CCE: method=DM"]}, "table 1 already has a 'CCE'"),
        ({"method": ["Own: method=DM,rate=0"]}, "Own: rate belongs to the protocol, not to a"),
        ({"method": ["Own: method=DM,steps=9"]}, "Own: steps belongs to the protocol"),
        ({"method": ["clean: method=DM"]}, "table 1 already has a 'clean'"),
        ({"method": ["Own: method=DM,lam=1,lam=2"]}, "Own: arguments set loss.lam twice"),
        ({"set": "model=mlp,model.name=resnet20"}, "--set: arguments set model.name twice"),
        ({"method": ["A,B: method=DM"]}, "comma outside brackets.*'A,B'"),
        ({"method": ["A\nB: method=DM"]}, r"must be printable, .*'A\\nB'"),
        ({"method": ["Own: method=DM", "Own: method=CCE"]}, "--method has 'Own' twice"),
        (
            {"method": ["Own: method=DM"], "grid": ["Own: beta=4,beta=8"]},
            "--grid has 'beta' twice",
        ),
        (
            {"method": ["Own: method=DM"], "grid": ["Own: beta=4;8;4.0"]},
            "--grid has a value of beta twice, got 'beta=4;8;4.0'",
        ),
        (
            {"method": ["Own: method=DM"], "grid": ["Own: beta=4,8"]},
            "--grid must be 'NAME: PARAMETER=VALUE;VALUE,...', got '8'",
        ),
        ({"grid": ["Own: beta=4"]}, "unknown --method of --grid: 'Own'"),
        (
            {"method": ["Own: method=DM"], "grid": ["Own: beta=x"]},
            "--grid takes numbers .* 'beta=x'",
        ),
    ],
)
def test_methods_that_are_none_are_named(given, message):
    with flagsaver.flagsaver(table="1", **given), pytest.raises(ValueError, match=message):
        table_flags.spec()


@pytest.mark.parametrize("table", ["digits", "1"])
def test_what_is_open_for_others_is_not_set_where_a_row_is_named_after_it(table):
    with flagsaver.flagsaver(table=table, set="beta=4"):
        spec = table_flags.spec()
    column = next(iter(spec.columns))
    with pytest.raises(ValueError, match=r"--set=beta: DM\(beta=0\) at .* is defined by beta=0"):
        spec.cell_config("DM(beta=0)", column, 1)


@pytest.mark.parametrize(
    ("table", "argument"), [("2", "model=resnet20"), ("1", "beta=4"), ("6", "beta=4")]
)
def test_what_all_share_or_the_paper_leaves_open_may_be_set(table, argument):
    with flagsaver.flagsaver(table=table, set=argument):
        assert table_flags.spec().changes == argument


def test_what_does_not_fit_a_row_is_named_with_it():
    with flagsaver.flagsaver(table="1", set="beta=4"):
        spec = table_flags.spec()
    with pytest.raises(ValueError, match="--set=beta=4, for CCE at clean: unknown config argument"):
        spec.cell_config("CCE", "clean", 1)


def test_a_mark_may_be_given_back_as_it_is_printed():
    spaced, plain = ["model=mlp, train.batch_size=64", "model=mlp,train.batch_size=64"]
    specs = []
    for text in (spaced, plain):
        with flagsaver.flagsaver(table="digits", rows=["CCE"], set=text):
            specs.append(table_flags.spec())
    assert specs[0].changes == specs[1].changes


@pytest.mark.parametrize("method", ["method=DM,lam=1,beta=3", "method=GCE-DN,q=0.5"])
def test_a_method_is_trained_once_where_two_columns_would_be_the_same(method):
    with flagsaver.flagsaver(table="3", method=[f"Own: {method}"]):
        spec = table_flags.spec()
    assert table_specs.select(spec, ["Own"], ["*"]) == [("Own", "accuracy")]
    with flagsaver.flagsaver(table="3", method=["Own: method=GCE,q=0.5"]):
        assert len(table_specs.select(table_flags.spec(), ["Own"], ["*"])) == 2


@flagsaver.flagsaver(table="digits", rows=["CCE"], method=["Bump: method=GCE,q=0.5"])
def test_a_method_that_is_not_chosen_is_named():
    with pytest.raises(ValueError, match="--method 'Bump': --rows and --columns choose no cell of"):
        table_flags.pairs(table_flags.spec())
