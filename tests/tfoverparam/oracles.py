"""The oracle for layers that are converted in place: the plain layer itself."""

import numpy as np
from keras import ops
from tfoverparam import collapse, linear_maps, overparameterize


def assert_close(found, expected, rtol=1e-5):
    """Equal up to `rtol` of the largest entry."""
    found, expected = np.asarray(found), np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * np.abs(expected).max())


def assert_conversion_changes_nothing(model, inputs, layer_gradients, filter=None):
    """Outputs and gradients of a model are those of the plain one, and collapsed it is that.

    The gradients of factors are those of the plain kernel, projected.

    Args:
        model: A Sequential model whose default maps, or those of the filter, are all that it has.
        inputs: Array.
        layer_gradients: The fixture.
        filter: See `overparameterize`.

    Returns:
        The linear maps, which were factorized.
    """
    plain, classes = model(inputs), [type(layer) for layer in model.layers]
    cotangent = np.random.default_rng(1).normal(size=plain.shape).astype("float32")
    before = layer_gradients(model, inputs, cotangent)
    by_path = dict(zip([v.path for v in model.trainable_variables], before[1:], strict=True))
    overparameterize(model, depth=3, filter=filter, verbose=0)
    maps = [each for each in linear_maps(model) if each.is_factorized]
    assert [type(layer).__name__ for layer in model.layers] == [cls.__name__ for cls in classes]
    assert_close(model(inputs), plain)

    after = layer_gradients(model, inputs, cotangent)
    assert_close(after[0], before[0])
    factors = [id(factor) for each in maps for factor in each.factors]
    found = dict(zip(map(id, model.trainable_variables), after[1:], strict=True))
    for variable in model.trainable_variables:
        if id(variable) not in factors:
            assert_close(found[id(variable)], by_path[variable.path])
    for each in maps:
        # A_j' G B_j', with A_j and B_j what is before and after the factor in the product.
        a, b, c = (np.asarray(factor) for factor in each.factors)
        gradient = np.asarray(each.view.to_matrices(ops.convert_to_tensor(by_path[each.path])))
        a_t, c_t = np.swapaxes(a, -1, -2), np.swapaxes(c, -1, -2)
        bc_t, ab_t = np.swapaxes(b @ c, -1, -2), np.swapaxes(a @ b, -1, -2)
        expected = gradient @ bc_t, a_t @ gradient @ c_t, ab_t @ gradient
        for factor, one in zip(each.factors, expected):
            assert_close(found[id(factor)], one, rtol=1e-4)

    collapse(model)
    assert_close(model(inputs), plain)
    assert [type(layer) for layer in model.layers] == classes
    assert not any(each.is_factorized for each in linear_maps(model))
    return maps
