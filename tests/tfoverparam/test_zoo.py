"""Every model of the zoo: converted, trained one step and collapsed, it is what it was.

The fast tests have one model of a kind, the others are marked `slow`.
"""

import collections
import importlib.util

import keras
import numpy as np
import pytest
from tfoverparam import collapse, conversion, linear_maps, overparameterize
from tfoverparam.layer_tree import walk

from tests.tfoverparam.zoo import registry, table

# What Keras and KerasHub say of models that they make themselves.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}")
    for message in (
        ":DeprecationWarning",
        "Gradients do not exist for variables",
        "Layer .* looks like it has unbuilt state",
        "Layer .* does not support masking",
        ".build\\(\\). was called on layer",
        ".shuffle=True. was passed",
    )
]
ENTRIES = registry.the_zoo()
CONVERTED = [name for name, entry in ENTRIES.items() if entry.is_converted]
TOLERANCE = 1e-5  # of the largest output


def parameters(names):
    return [
        pytest.param(name, marks=() if ENTRIES[name].is_quick else pytest.mark.slow)
        for name in names
    ]


def made(name):
    needs = ENTRIES[name].needs
    if needs == "tensorflow" != keras.backend.backend():
        pytest.skip("TensorFlow only: a train_step that is written with a tape")
    if name.startswith("NASNet") and keras.backend.backend() == "torch":
        pytest.skip("Keras does not have it on PyTorch")
    if needs is not None and importlib.util.find_spec(needs) is None:
        pytest.skip(f"needs {needs}: pip install 'tfoverparam[hub]'")
    return ENTRIES[name].make()


def methods_of(model):
    """All functions and classes that calling the model, and training it, comes by."""
    found = [type(model)]
    for layer in walk(model):
        found += [getattr(layer, name).__func__ for name in ("__call__", "get_config")]
    for name in ("call", "train_step", "test_step", "compute_loss", "compute_metrics", "fit"):
        found.append(getattr(getattr(model, name), "__func__", None))
    return found


@pytest.mark.parametrize("name", parameters(CONVERTED))
def test_the_same_model_before_and_after(name):
    model, inputs = made(name)
    classes = [type(layer) for layer in walk(model)]
    objects, methods = [id(layer) for layer in walk(model)], methods_of(model)
    outputs = registry.outputs_of(model, inputs)
    assert all(np.isfinite(output).all() for output in outputs)

    assert overparameterize(model, verbose=0) is model
    assert methods_of(model)[0] is methods[0]
    assert registry.largest_gap(outputs, registry.outputs_of(model, inputs)) <= TOLERANCE
    registry.train(model, inputs)
    trained = registry.outputs_of(model, inputs)
    assert registry.largest_gap(outputs, trained) > 0

    assert collapse(model) is model
    assert registry.largest_gap(trained, registry.outputs_of(model, inputs)) <= TOLERANCE
    assert [type(layer) for layer in walk(model)] == classes
    assert [id(layer) for layer in walk(model)] == objects
    assert methods_of(model) == methods


def faults_of(factors, others):
    """Puts faults into the factors of a kernel: yields a word for each while it is there.

    Args:
        factors: The factors.
        others: Those of another kernel of the same shape, or `None`.
    """
    values = values_of(factors)
    factors[0].assign(-values[0])
    yield "flipped"
    factors[0].assign(values[0])
    if others is not None:
        swapped = values_of(others)
        assign([*factors, *others], [*swapped, *values])
        yield "swapped"
        assign([*factors, *others], [*values, *swapped])


def values_of(variables):
    """Copies: on PyTorch, NumPy's view of a variable changes with it."""
    return [np.array(keras.ops.convert_to_numpy(each)) for each in variables]


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@pytest.mark.parametrize("name", parameters(CONVERTED))
def test_every_kernel_that_is_flipped_or_swapped_is_noticed(name, monkeypatch):
    model, _ = made(name)
    maps = [each for each in linear_maps(model) if each.is_default and each.reason is None]
    before = values_of([each.kernel for each in maps])
    check, seen, groups = conversion._check_products, collections.Counter(), {}
    for each in maps:
        groups.setdefault(each.view, []).append(each)

    def check_with_faults(maps, kernels):
        for each, kernel in zip(maps, kernels):
            group = groups[each.view]
            other = group[(group.index(each) + 1) % len(group)]
            for fault in faults_of(each.factors, None if other == each else other.factors):
                seen[fault] += 1
                with pytest.raises(RuntimeError, match="do not multiply to the kernel") as error:
                    check([each], [kernel])
                assert each.path in str(error.value)
        check(maps, kernels)  # all of them are right again
        last = maps[-1].factors[0]
        last.assign(-np.asarray(last))
        check(maps, kernels)

    monkeypatch.setattr(conversion, "_check_products", check_with_faults)
    with pytest.raises(RuntimeError, match="do not multiply to the kernel") as error:
        overparameterize(model, verbose=0)
    assert maps[-1].path in str(error.value)
    assert seen["flipped"] == len(maps)
    assert seen["swapped"] == sum(len(group) for group in groups.values() if len(group) > 1)
    assert not any(each.is_factorized for each in linear_maps(model))
    for each, kernel in zip(maps, before):
        np.testing.assert_array_equal(np.asarray(each.kernel), kernel)


@pytest.mark.parametrize("name", parameters(ENTRIES))
def test_the_share_that_is_factorized_is_that_of_the_page(name):
    entry = ENTRIES[name]
    model, _ = made(name)
    count = registry.count(model, entry.apart)
    assert count.share_but_depthwise >= entry.share
    if entry.share_of_all is None:
        assert count.share >= 0.95
    else:
        # Depthwise kernels are all that is left, and `filter` can take them in.
        assert round(100 * count.share, 1) == entry.share_of_all
        assert count.factorized + count.depthwise == count.possible == count.kernels
    assert table.row(name, entry, model) + "\n" in table.PAGE.read_text(encoding="utf-8")
