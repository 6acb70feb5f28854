"""The library's rule, compiled: checks call it thousands of times on small matrices."""

import functools


def direction(kernel, gradient, depth):
    """`end_to_end_direction` in float64.

    Args:
        kernel, gradient: NumPy matrices of shape `(d, k)`. depth: real number N >= 1.

    Returns:
        A NumPy matrix of shape `(d, k)`.
    """
    import tensorflow as tf  # Nobody who asks for help waits for it.

    return _compiled(kernel.shape, depth)(tf.constant(kernel), tf.constant(gradient)).numpy()


@functools.lru_cache(maxsize=None)
def _compiled(shape, depth):
    import tensorflow as tf

    from tfoverparam.matrix_functions import end_to_end_direction

    matrix = tf.TensorSpec(shape, tf.float64)
    function = tf.function(lambda kernel, gradient: end_to_end_direction(kernel, gradient, depth))
    return function.get_concrete_function(matrix, matrix)
