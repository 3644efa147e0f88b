"""The state that a run starts from: ImageNet weights where the config names a file of them."""

import jax
import numpy as np
import pytest

from configs import common
from dm_jax import data
from dm_jax.models import pretrained
from dm_jax.train import build
from dm_jax.train.config import Config


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four images of 32x32 to train and to test, of two classes."""
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    path = tmp_path_factory.mktemp("photos") / "photos.npz"
    np.savez(path, x_train=images, y_train=np.arange(4) % 2, x_test=images, y_test=np.arange(4) % 2)
    return data.load(f"npz:{path}")


def _build(photos, **model):
    values = common.base()
    values.model.update(model)
    values.train.batch_size = 4
    return build.experiment(Config.parse(values), photos)


def test_training_starts_from_the_weights_of_the_file(photos, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    fresh = jax.eval_shape(_build(photos, name="resnet18").create_state, 0)
    rng, tensors = np.random.default_rng(1), {}
    own = {"params": fresh.params, "batch_stats": fresh.batch_stats}
    for path, leaf in jax.tree_util.tree_leaves_with_path(own):
        names = tuple(key.key for key in path)
        if "classifier" not in names:
            value = rng.random(leaf.shape, np.float32)
            stored = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
            tensors[pretrained.torchvision_name(names)] = np.ascontiguousarray(stored)
    file = tmp_path / "resnet18.safetensors"
    safetensors.save_file(tensors, file)
    state = jax.jit(_build(photos, name="resnet18", pretrained=str(file)).create_state)(0)
    kernel = state.params["conv1"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel, tensors["conv1.weight"].transpose(2, 3, 1, 0))
    mean = state.batch_stats["conv1"]["norm"]["mean"]
    np.testing.assert_array_equal(mean, tensors["bn1.running_mean"])
    assert state.params["classifier"]["dense"]["kernel"].shape == (512, 2)
    file.unlink()  # a resumed run does without
    build = _build(photos, name="resnet18", pretrained=str(file))
    assert jax.eval_shape(lambda: build.create_state(0, pretrained=False)) == jax.eval_shape(
        lambda: state
    )


def test_images_are_normalised_as_the_weights_expect(photos):
    own, expected = _build(photos, name="resnet18"), _build(photos, name="resnet18", pretrained="w")
    np.testing.assert_array_equal(own.settings.mean, photos.mean)
    np.testing.assert_allclose(expected.settings.mean, [0.485, 0.456, 0.406])
    np.testing.assert_allclose(expected.settings.std, [0.229, 0.224, 0.225])


def test_a_network_without_such_files_is_refused(photos):
    with pytest.raises(ValueError, match=r"pretrained is for resnet18, resnet34, resnet50.*20"):
        _build(photos, name="resnet20", pretrained="weights.safetensors")


def test_weights_of_colours_do_not_start_from_grey_images():
    with pytest.raises(ValueError, match="three channels; those of digits have 1"):
        _build(data.load("digits"), name="resnet18", pretrained="weights.safetensors")


def test_a_missing_file_is_named(photos, tmp_path):
    file = tmp_path / "none.safetensors"
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        jax.eval_shape(_build(photos, name="resnet18", pretrained=str(file)).create_state, 0)
