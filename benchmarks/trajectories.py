"""Trajectories of kernels in training, with the exact directions by NumPy in float64."""

import numpy as np


def orthonormal(random, rows, columns):
    q, r = np.linalg.qr(random.normal(size=(rows, columns)))
    return q * np.sign(np.diag(r))


def matrix(kind, shape, random):
    """A Gaussian matrix, one with orthonormal columns, or one of this span of singular values."""
    if kind == "Gaussian":
        return random.normal(size=shape) / np.sqrt(shape[0])
    q = orthonormal(random, *shape)
    if kind == "orthogonal":
        return q
    return (q * np.geomspace(1, 1 / kind, shape[1])) @ orthonormal(random, shape[1], shape[1])


def exact(kernel, gradient, depth):
    """Equation 10."""
    u, s, vt = np.linalg.svd(np.asarray(kernel, "float64"), full_matrices=False)
    a = s ** (2 / depth)
    c = sum(np.outer(a ** (j - 1), a ** (depth - j)) for j in range(1, depth + 1))
    outside = a ** (depth - 1)
    inside = (c - outside) * (u.T @ gradient @ vt.T)
    return u @ inside @ vt + (gradient @ vt.T * outside) @ vt


def trajectory(kind, shape, depth, step_size, steps, inner="SGD", seed=0):
    """Kernels, gradients and exact directions. Gradients are a slow signal of low rank and noise.

    Each step has `step_size` times the norm of the kernel, in the direction of the inner optimizer.
    """
    random = np.random.default_rng(seed)
    kernel = matrix(kind, shape, random)
    signal = random.normal(size=(shape[0], 8)) @ random.normal(size=(8, shape[1]))
    signal /= np.linalg.norm(signal)
    p, q = (orthonormal(random, n, n) * np.arange(1, n + 1) ** -0.35 for n in shape)
    momentum = 0
    for _ in range(steps):
        noise = p @ random.normal(size=shape) @ q.T
        gradient = signal + 1.5 * noise / np.linalg.norm(noise)
        direction = exact(kernel, gradient, depth)
        yield kernel, gradient, direction
        step = direction
        if inner != "SGD":
            step = momentum = 0.9 * momentum + direction
        if inner == "Adam":
            step = momentum / (np.abs(momentum) + 0.1 * np.sqrt(np.mean(momentum**2)))
        if inner == "Muon":
            u, _, vt = np.linalg.svd(step, full_matrices=False)
            step = u @ vt
        kernel = kernel - step_size * np.linalg.norm(kernel) * step / np.linalg.norm(step)
