"""A state dict of torchvision's names and shapes fills a ResNet, and nothing else does."""

import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from dm_jax import models
from dm_jax.models import pretrained

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


@pytest.fixture(scope="module")
def state_dict():
    """Tensors of torchvision's ResNet-50."""
    return torchvision_state_dict("resnet50")


@pytest.fixture(scope="module")
def variables():
    """Ours, with the 14 classes of Clothing1M."""
    return _variables("resnet50")


def test_every_tensor_of_a_resnet50_finds_its_place(state_dict, variables, tmp_path):
    save_file(state_dict, tmp_path / "resnet50.safetensors")

    loaded = pretrained.load(tmp_path / "resnet50.safetensors", variables)

    assert jax.tree.map(jnp.shape, loaded) == jax.tree.map(jnp.shape, variables)
    used = jax.tree.leaves(_without_classifier(loaded))
    given = [t for n, t in state_dict.items() if not re.search("^fc|tracked", n)]
    assert sorted(float(leaf.sum()) for leaf in used) == pytest.approx(
        sorted(float(tensor.sum()) for tensor in given), abs=1e-2
    )
    params, stats = loaded["params"], loaded["batch_stats"]
    for ours, name in [
        (params["layer3_5"]["conv2"]["norm"]["bias"], "layer3.5.bn2.bias"),
        (params["layer2_0"]["downsample"]["norm"]["scale"], "layer2.0.downsample.1.weight"),
        (stats["conv1"]["norm"]["var"], "bn1.running_var"),
        (stats["layer4_2"]["conv3"]["norm"]["mean"], "layer4.2.bn3.running_mean"),
    ]:
        np.testing.assert_array_equal(ours, state_dict[name])
    kernel = params["layer1_0"]["conv2"]["conv"]["kernel"]
    assert kernel[0, 2, 5, 7] == state_dict["layer1.0.conv2.weight"][7, 5, 0, 2]
    matrix = params["layer1_0"]["conv1"]["conv"]["kernel"]
    np.testing.assert_array_equal(matrix.T, state_dict["layer1.0.conv1.weight"][:, :, 0, 0])


def test_the_classifier_stays(state_dict, variables):
    loaded = pretrained.convert(state_dict, variables)

    for leaf in ("kernel", "bias"):
        own = variables["params"]["classifier"]["dense"][leaf]
        np.testing.assert_array_equal(loaded["params"]["classifier"]["dense"][leaf], own)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1.0.conv1.weight": None}, "missing: layer1.0.conv1.weight"),
        ({"layer5.0.conv1.weight": np.zeros(3)}, "unexpected: layer5.0.conv1.weight"),
        ({"bn1.bias": np.zeros(65)}, r"bn1.bias is \(65,\) instead of \(64,\)"),
    ],
)
def test_a_changed_tensor_is_named(state_dict, variables, change, message):
    changed = {n: t for n, t in {**state_dict, **change}.items() if t is not None}

    with pytest.raises(ValueError, match=f"different network.*{message}"):
        pretrained.convert(changed, variables)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bn1.weight", lambda tensor: tensor * np.nan, "not finite: bn1.weight"),
        ("bn1.bias", lambda tensor: np.full(tensor.shape, 1e300), "not finite: bn1.bias"),
        ("bn1.running_var", np.negative, "negative: bn1.running_var"),
        ("conv1.weight", lambda tensor: tensor.astype(np.int32), "not floating: conv1.weight"),
        ("conv1.weight", lambda tensor: tensor.astype(np.complex64), "not floating: conv1.weight"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_values_that_are_no_weights_are_named(state_dict, variables, name, change, message):
    with pytest.raises(ValueError, match=f"tensors that are no weights: {message}"):
        pretrained.convert({**state_dict, name: change(state_dict[name])}, variables)


def test_weights_of_other_dtypes_and_of_idle_channels_are_loaded(state_dict, variables):
    half = {"conv1.weight": state_dict["conv1.weight"].astype(np.float16)}
    idle = {"bn1.running_var": np.zeros(64, np.float32)}
    loaded = pretrained.convert({**state_dict, **half, **idle}, variables)
    assert jax.tree.map(jnp.result_type, loaded) == jax.tree.map(jnp.result_type, variables)
    assert not loaded["batch_stats"]["conv1"]["norm"]["var"].any()


def test_variables_of_other_networks_are_refused(state_dict):
    with pytest.raises(ValueError, match="the variables are not those of resnet18, resnet34, resn"):
        pretrained.convert(state_dict, {"params": {"hidden0": {"kernel": np.zeros((2, 2))}}})


def test_a_folder_is_no_file_of_weights(variables, tmp_path):
    (tmp_path / "resnet50.safetensors").mkdir()
    with pytest.raises(ValueError, match=r"safetensors: a folder, not a file of weights"):
        pretrained.load(tmp_path / "resnet50.safetensors", variables)


def test_a_checkpoint_of_another_network_is_refused(variables, tmp_path):
    save_file(torchvision_state_dict("resnet18"), tmp_path / "resnet18.safetensors")

    with pytest.raises(ValueError, match=r"resnet18.safetensors: the weights belong to") as said:
        pretrained.load(tmp_path / "resnet18.safetensors", variables)
    (listed, more), *_ = re.findall(r"missing: (.*?) and (\d+) more", str(said.value))
    kept = [name for name in torchvision_state_dict("resnet50") if "tracked" not in name]
    missing = set(kept) - torchvision_state_dict("resnet18").keys()
    assert len(listed.split(", ")) + int(more) == len(missing)


def test_weights_do_not_fit_a_network_of_other_names(state_dict):
    with pytest.raises(ValueError, match=r"different network. Tensors missing: .*unexpected: "):
        pretrained.convert(state_dict, _variables("inception_v2"))


def test_an_unknown_ending_is_named(variables):
    with pytest.raises(ValueError, match=r"read from .safetensors, .pth, .pt; got .* '.ckpt'"):
        pretrained.load("resnet50.ckpt", variables)


def test_a_file_that_is_not_there_says_how_to_go_on(variables, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*resnet50\.safetensors with pretrained"):
        pretrained.load(tmp_path / "resnet50.safetensors", variables)


def test_a_damaged_safetensors_file_is_named(variables, tmp_path):
    (tmp_path / "resnet50.safetensors").write_bytes(b"no tensors at all")

    with pytest.raises(ValueError, match=r"resnet50.safetensors: damaged or not a .safetensors"):
        pretrained.load(tmp_path / "resnet50.safetensors", variables)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed")
def test_without_pytorch_a_pth_file_says_what_it_needs(variables):
    with pytest.raises(ImportError, match=r"reading resnet50.pth needs the package 'torch'"):
        pretrained.load("resnet50.pth", variables)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_a_pth_file_reads_as_the_safetensors_file(state_dict, variables, tmp_path):
    import torch

    tensors = {name: torch.from_numpy(tensor) for name, tensor in state_dict.items()}
    parallel = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"state_dict": parallel, "epoch": 3}, tmp_path / "of_a_script.pth")
    compiled = {f"_orig_mod.module.{name}": tensor for name, tensor in tensors.items()}
    torch.save(compiled, tmp_path / "compiled.PTH")
    inside = {f"module._orig_mod.{name}": tensor for name, tensor in tensors.items()}
    torch.save(inside, tmp_path / "compiled_inside.pt")
    torch.save(tensors, tmp_path / "resnet50.pth")

    pretrained.load(tmp_path / "compiled.PTH", variables)
    pretrained.load(tmp_path / "compiled_inside.pt", variables)
    pretrained.load(tmp_path / "of_a_script.pth", variables)
    loaded = pretrained.load(tmp_path / "resnet50.pth", variables)

    jax.tree.map(np.testing.assert_array_equal, loaded, pretrained.convert(state_dict, variables))


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_a_pth_file_may_hold_bfloat16(tmp_path):
    import torch

    torch.save({"bn1.bias": torch.full((2,), 0.5, dtype=torch.bfloat16)}, tmp_path / "half.pth")
    np.testing.assert_array_equal(pretrained.read(tmp_path / "half.pth")["bn1.bias"], [0.5, 0.5])


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_a_pth_file_of_more_than_tensors_is_refused(variables, tmp_path):
    import torch

    path = tmp_path / "resnet50.pth"
    for content, message in [
        ({"bn1.bias": torch.zeros(64), "epoch": 3}, "not a state dict"),
        ({1: torch.zeros(64)}, "not a state dict"),
        ({"bn1.bias": torch.zeros(64).to_sparse()}, "a tensor cannot be read"),
        ({"bn1.bias": print}, "objects other than tensors, which are not unpickled"),
    ]:
        torch.save(content, path)
        with pytest.raises(ValueError, match=f"resnet50.pth: .*{message}"):
            pretrained.load(path, variables)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_a_damaged_pth_file_is_named(variables, tmp_path):
    import torch

    path = tmp_path / "resnet50.pth"
    torch.save({"bn1.bias": torch.zeros(64)}, path)
    content = path.read_bytes()
    at = content.index(bytes(256))
    for damaged in (b"hello world" * 50, content[:at] + b"1" + content[at + 1 :]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"resnet50\.pth: .*damaged"):
            pretrained.load(path, variables)


def torchvision_state_dict(name):
    """Random tensors with the names and shapes of ``torchvision.models`` and 1000 classes."""
    random = np.random.default_rng(0)
    tensors = {}

    def conv_and_norm(conv, norm, *shape):
        tensors[f"{conv}.weight"] = random.normal(size=shape).astype(np.float32)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{norm}.{leaf}"] = random.normal(size=shape[0]).astype(np.float32)
        tensors[f"{norm}.running_var"] **= 2
        tensors[f"{norm}.num_batches_tracked"] = np.zeros((), np.int64)

    conv_and_norm("conv1", "bn1", 64, 3, 7, 7)
    inputs = 64
    for stage, blocks in enumerate(BLOCKS[name], start=1):
        width = 32 * 2**stage
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            shapes = _block_shapes(name, inputs, width)
            for number, shape in enumerate(shapes, start=1):
                conv_and_norm(f"{at}.conv{number}", f"{at}.bn{number}", *shape)
            outputs = shapes[-1][0]
            if block == 0 and inputs != outputs:
                downsample = f"{at}.downsample"
                conv_and_norm(f"{downsample}.0", f"{downsample}.1", outputs, inputs, 1, 1)
            inputs = outputs
    tensors["fc.weight"] = random.normal(size=(1000, inputs)).astype(np.float32)
    tensors["fc.bias"] = random.normal(size=1000).astype(np.float32)
    return tensors


def _block_shapes(name, inputs, width):
    if name == "resnet18":
        return [(width, inputs, 3, 3), (width, width, 3, 3)]
    return [(width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]


def _variables(name):
    """Variables with zeros for all but the classifier, which has ones."""
    model = models.create(name, num_classes=14)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    zeros["params"]["classifier"] = jax.tree.map(jnp.ones_like, zeros["params"]["classifier"])
    return zeros


def _without_classifier(variables):
    params = {name: tree for name, tree in variables["params"].items() if name != "classifier"}
    return params, variables["batch_stats"]
