"""The samples of the documentation run, given the names that they use without defining them."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np

import configs.own
from dm_jax import models, train

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def samples(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(page, sample, names):
    exec(compile(sample, page, "exec"), names)


def test_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = samples("training.md")
    assert len(found) == 5
    names = {"__name__": "sample"}
    for sample in found:
        run("training.md", sample, names)
    given, suspicious = names["given"], names["suspicious"]
    assert given.changed[np.isin(given.kept, suspicious)].mean() > 0.9


def test_emphasis():
    model = models.create("mlp", num_classes=3, hidden=(8,))
    inputs, labels = jax.random.normal(jax.random.key(0), (6, 5)), jnp.arange(6) % 3
    params = model.init(jax.random.key(1), inputs)["params"]
    names = {"model": model, "params": params, "inputs": inputs, "labels": labels}
    names |= {"logits": inputs, "clean_inputs": inputs, "clean_labels": labels}
    own_scheme, own_loop, bilevel = samples("emphasis.md")
    run("emphasis.md", own_scheme, names)
    assert names["losses"].shape == (6,)
    run("emphasis.md", own_loop, names)
    opt_state = names["optimizer"].init(params)
    stepped, _, value = names["step"](params, opt_state, inputs, labels)
    assert jax.tree.structure(stepped) == jax.tree.structure(params)
    assert np.isfinite(value)
    run("emphasis.md", bilevel, names)
    assert np.isfinite([names["slopes"].lam, names["slopes"].beta]).all()


def test_noise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = np.arange(1000) % 10
    names = {"labels": labels, "true_labels": labels}
    draw, hold_out = samples("noise.md")
    run("noise.md", draw, names)
    assert (tmp_path / "corruption.npz").exists()
    run("noise.md", hold_out, names)
    assert len(names["validation"].labels) == 200


def test_models():
    create, own, _ = samples("models.md")  # the last one needs a file of weights
    names = {"images": jnp.zeros((2, 32, 32, 3)), "mask": None, "key": jax.random.key(1)}
    run("models.md", create.replace("resnet44", "resnet20"), names)
    assert names["logits"].shape == (2, 100)
    assert names["features"].shape == (2, 64)
    names["__name__"] = "sample"
    run("models.md", own, names)
    small = names["Small"](num_classes=4)
    variables = small.init(jax.random.key(0), names["images"])
    assert small.apply(variables, names["images"]).shape == (2, 4)


def test_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load, own, _ = samples("data.md")  # the last one needs a prepared data set of photographs
    run("data.md", load.replace("cifar100", "digits"), {})
    inputs, labels = np.zeros((20, 8, 8, 3), np.uint8), np.arange(20, dtype=np.int32) % 2
    names = {"x_train": inputs, "y_train": labels, "x_test": inputs, "y_test": labels}
    names["config"] = train.Config.parse(
        configs.own.get_config("train.length=2 steps,train.batch_size=8,model=mlp")
    )
    run("data.md", own, names)
    assert names["summary"].finished
