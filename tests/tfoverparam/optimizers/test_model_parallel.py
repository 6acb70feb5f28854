"""The end-to-end rule for kernels that lie on several devices, as Keras's `ModelParallel` does."""

import os
import subprocess
import sys
import textwrap

import keras
import pytest

# In a process of its own: virtual devices must be set up before JAX starts.
DEVICES = """
    import keras
    import numpy as np
    from keras import distribution, layers, optimizers

    from tfoverparam import EndToEnd

    inputs = np.random.default_rng(0).normal(size=(32, 12)).astype("float32")
    mesh = distribution.DeviceMesh((1, 2), ("batch", "model"), distribution.list_devices("cpu"))
    layout_map = distribution.LayoutMap(mesh)
    layout_map[".*(up|middle|key|last).*kernel"] = (None, "model")
    layout_map[".*query.*kernel"] = (None, "model", None)
    layout_map[".*down.*kernel"] = ("model", None)
    parallel = distribution.ModelParallel(layout_map=layout_map, batch_dim_name="batch")

    def train(where, make_inner, depth, refresh_every):
        distribution.set_distribution(where)
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((12,)),
                layers.Dense(16, "tanh", name="up"),
                layers.Dense(16, "tanh", name="middle"),
                layers.Dense(16, "tanh", name="middle_again"),
                layers.Dense(8, name="key"),
                layers.EinsumDense("bi,iho->bho", (2, 4), name="query"),
                layers.Flatten(),
                layers.Dense(4, name="down"),
                layers.Dense(8, name="key_again"),
                layers.Dense(4, name="last"),
            ]
        )
        optimizer = EndToEnd(make_inner(), depth, apply_to=model, refresh_every=refresh_every)
        model.compile(optimizer, "mse")
        model.fit(inputs, np.sin(inputs[:, :4]), batch_size=8, epochs=1, shuffle=False, verbose=0)
        return [np.asarray(each) for each in model.weights], optimizer.variables

    for arguments in (
        (lambda: optimizers.SGD(0.05, momentum=0.9), 2, 3),
        (lambda: optimizers.Adam(1e-3), 3, 1),
    ):
        expected, _ = train(None, *arguments)
        found, variables = train(parallel, *arguments)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        layouts = {each.name: tuple(each.value.sharding.spec) for each in variables}
        # Bases lie as their kernels do: that of "up" is flat, and the matrix is its transpose.
        assert layouts["left_basis_of_1_16x12_float32"] == ("model", None)
        assert layouts["right_basis_of_1_16x12_float32"] == (None, None)
        assert layouts["left_basis_of_2_16x16_float32"] == (None, None, "model")
        assert layouts["right_basis_of_2_16x16_float32"] == (None, None, "model")
        assert layouts["left_basis_of_1_16x8_float32"] == (None, "model")
        # Kernels that lie in different ways have bases that lie on each device.
        assert layouts["left_basis_of_3_8x4_float32"] == (None, None, None)

    # Of 256 MiB and more on all devices, Keras makes a variable where it will lie.
    large = keras.Variable(keras.ops.ones((8192, 4096)), name="down_kernel")
    optimizer = EndToEnd()
    optimizer.build([large])
    (basis,) = (each for each in optimizer.variables if each.name.startswith("left_basis"))
    assert tuple(basis.value.sharding.spec) == ("model", None)
    print("as on one device")
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras has ModelParallel on JAX")
def test_kernels_on_several_devices_move_as_on_one():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DEVICES)],
        env=os.environ | flags,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "as on one device"
