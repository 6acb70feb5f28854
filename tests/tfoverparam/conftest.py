"""The needs of the library's tests of the backend itself."""

import keras
import pytest
from keras import ops

BACKEND = keras.backend.backend()

if BACKEND == "torch":
    import torch

    def _array(tensor, dtype=None, copy=None):
        tensor = tensor.detach().cpu()
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return array if dtype is None else array.astype(dtype)

    def _array_wrap(tensor, array, context=None, return_scalar=False):
        return array[()] if return_scalar else array

    # NumPy's functions take tensors of the other backends as they are; those of PyTorch that
    # have a gradient they refuse.
    torch.Tensor.__array__, torch.Tensor.__array_wrap__ = _array, _array_wrap
    # On a GPU: float32 is multiplied in float32 in convolutions too, as in products by default.
    torch.backends.cudnn.allow_tf32 = False


def _by_tensorflow(function, tensors):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return value, tape.gradient(value, tensors)


def _by_jax(function, tensors):
    import jax

    return jax.value_and_grad(function, argnums=tuple(range(len(tensors))))(*tensors)


def _by_torch(function, tensors):
    import torch

    # Those of an outer derivative require one already, and stay what they are.
    tensors = [each if each.requires_grad else each.detach().requires_grad_() for each in tensors]
    value = function(*tensors)
    return value, torch.autograd.grad(value, tensors, create_graph=True)


@pytest.fixture(scope="session")
def value_and_gradients():
    """A function of a function to a scalar and of its arguments: the value and the gradients.

    The arguments are tensors, arrays or variables; it can be nested.
    """
    derive = {"tensorflow": _by_tensorflow, "jax": _by_jax, "torch": _by_torch}[BACKEND]

    def as_tensor(each):
        return ops.copy(each) if isinstance(each, keras.Variable) else ops.convert_to_tensor(each)

    def value_and_gradients(function, *arguments):
        value, gradients = derive(function, [as_tensor(each) for each in arguments])
        return [value, *gradients]

    return value_and_gradients


def _in_variables_by_tensorflow(function, variables):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = function()
    return tape.gradient(value, [each.value for each in variables])


def _in_variables_by_jax(function, variables):
    import jax

    def of_values(values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values))):
            return function()

    return jax.grad(of_values)([each.value for each in variables])


def _in_variables_by_torch(function, variables):
    import torch

    return torch.autograd.grad(function(), [each.value for each in variables])


@pytest.fixture(scope="session")
def variable_gradients():
    """A function of a function of nothing to a scalar and of Keras variables: the gradients."""
    return {
        "tensorflow": _in_variables_by_tensorflow,
        "jax": _in_variables_by_jax,
        "torch": _in_variables_by_torch,
    }[BACKEND]


@pytest.fixture(scope="session")
def layer_gradients(variable_gradients):
    """A function of a layer, its inputs and a cotangent: the gradients of both's inner product.

    They are those of the inputs, then of the layer's variables in their order.
    """

    def layer_gradients(layer, inputs, cotangent):
        inputs = keras.Variable(inputs, dtype=inputs.dtype)
        cotangent = ops.convert_to_tensor(cotangent)
        return variable_gradients(
            lambda: ops.sum(layer(ops.copy(inputs)) * cotangent),
            [inputs, *layer.trainable_variables],
        )

    return layer_gradients


def pytest_runtest_setup(item):
    """Skips what a backend does not have."""
    marker = item.get_closest_marker("tensorflow")
    if marker and BACKEND != "tensorflow":
        pytest.skip(f"TensorFlow only: {marker.args[0]}")
    arguments = item.callspec.params if hasattr(item, "callspec") else {}
    compiles = item.get_closest_marker("jit_compile") or arguments.get("jit_compile")
    if BACKEND == "torch" and compiles:
        pytest.skip("PyTorch's compiler needs one for C++, and minutes")
    if BACKEND == "torch" and item.get_closest_marker("float64"):
        pytest.skip("Keras multiplies matrices of float64 in float32 on PyTorch")
