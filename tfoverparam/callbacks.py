"""A callback that watches the factors in training."""

import math
import os
import time
import warnings

import keras
import numpy as np
from keras import ops

from tfoverparam.factor_dynamics import iterations_to_leave_zero, product, rule_step
from tfoverparam.layer_tree import walk
from tfoverparam.layers.factorized_layer import FactorizedLayer

_SHARE = 0.01  # of the training time, for reports
_QUANTITIES = (
    "imbalance",
    "largest_singular_value",
    "smallest_singular_value",
    "step",
    "rule_step",
)


class BalanceMonitor(keras.callbacks.Callback):
    """Reports on each factorised layer while a model is trained.

    At the first step and then every so many steps, for each layer that is trained:

    - `imbalance`: how far the factors are from Equation 7 (`matrix_functions.imbalance`);
    - `largest_singular_value` and `smallest_singular_value` of the product;
    - `step`: Frobenius norm of the step that the product makes;
    - `rule_step`: that of the step by the end-to-end rule (`rule_step`). With plain SGD, balanced
      factors and a small learning rate the two are equal, by Theorem 1.

    They are called `<layer>_imbalance` and so on in `logs`, where `History`, `CSVLogger` and the
    progress bar find them; callbacks that are to see them must come after this one.
    After a divergence they are NaN.

    From the second report on, it warns, once a layer, if the factors are so near zero that they
    would need more iterations to leave it than training has left (`iterations_to_leave_zero`).
    After an epoch, it warns, once, if so many steps overflowed float16 that the loss scale has come
    down to less than 1, and names the layer that is the likeliest cause.

    Args:
        every: Steps between two reports, a positive integer. Defaults to `None`: as often as
            takes a hundredth of the training time. A report costs, on the host and in float64,
            some ten products of each layer's factors and two eigendecompositions of the smaller
            Gram matrix of their product.
        log_dir: Folder for TensorBoard: the numbers above as scalars, and histograms of all
            singular values. Defaults to `None`: nothing is written.
        budget: Number of iterations that the training has, for the warning. Defaults to `None`:
            what `fit` knows (nothing, if its data is a generator without a length).

    Raises:
        ValueError: If `every` or `budget` is not a positive integer, or `log_dir` no folder; when
            training begins, if the model has no factorised layer that is trained.
        ImportError: If `log_dir` is given and TensorBoard is not installed.

    Example:

    >>> import keras
    >>> from tfoverparam import BalanceMonitor, FactorizedDense
    >>> layer = FactorizedDense(2, seed=0, name="linear")
    >>> model = keras.Sequential([keras.Input((4,)), layer])
    >>> model.compile(keras.optimizers.SGD(0.001), "mse")
    >>> x, y = keras.random.normal((32, 4), seed=0), keras.random.normal((32, 2), seed=1)
    >>> history = model.fit(x, y, callbacks=[BalanceMonitor(every=10)], verbose=0).history
    >>> 0.99 < history["linear_step"][0] / history["linear_rule_step"][0] < 1.01
    True

    References:
        [Arora et al., 2018](https://arxiv.org/abs/1802.06509)
    """

    def __init__(self, every=None, log_dir=None, budget=None):
        super().__init__()
        for name, value in (("every", every), ("budget", budget)):
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(
                    f"`{name}` must be a positive integer. Received: {name}={value!r}"
                )
        self.every = every
        self.budget = budget
        if log_dir is not None and not isinstance(log_dir, (str, os.PathLike)):
            raise ValueError(f"`log_dir` must be a path. Received: log_dir={log_dir!r}")
        if log_dir is not None and os.path.isfile(log_dir):
            raise ValueError(f"`log_dir` must be a folder, not a file. Received: {log_dir!r}")
        self._board = None if log_dir is None else _Board(log_dir)
        self._layers = {}
        self._done = 0
        self._next_report = 0.0  # a number of steps, or a time where `every` is None
        self._seconds = 0.0  # that the current report has taken so far
        self._first_batch = 0
        self._before = None
        self._latest = {}
        self._warned = set()
        self._warned_of_overflow = False

    def on_train_begin(self, logs=None):
        trained = [
            layer
            for layer in walk(self.model)
            if isinstance(layer, FactorizedLayer) and layer.trainable and layer.built
        ]
        if not trained:
            raise ValueError("The model has no factorised layer that is trained: nothing to see.")
        names = [layer.name for layer in trained]
        self._layers = {
            layer.name if names.count(layer.name) == 1 else layer.path.replace("/", "_"): layer
            for layer in trained
        }
        self._done = 0
        self._next_report = 0.0
        self._latest = {}
        self._warned = set()
        self._warned_of_overflow = False

    def on_train_batch_begin(self, batch, logs=None):
        self._first_batch = batch
        now = time.perf_counter()
        if (now if self.every is None else self._done) >= self._next_report:
            self._before = self._factors()
            self._seconds = time.perf_counter() - now

    def on_train_batch_end(self, batch, logs=None):
        # With `steps_per_execution` a batch of Keras's count is the last of several.
        steps = batch - self._first_batch + 1
        if self._before is not None:
            resumed = time.perf_counter()
            after = self._factors()
            for name, before in self._before.items():
                if not (_is_finite(before) and _is_finite(after[name])):
                    # Training has diverged, and there is nothing to decompose.
                    self._latest.update({f"{name}_{what}": math.nan for what in _QUANTITIES})
                    continue
                self._report(name, before, after[name])
                if self._done > 0 and name not in self._warned:
                    self._warn_of_plateau(name, before, after[name], steps)
            self._before = None
            now = time.perf_counter()
            self._seconds += now - resumed
            if self.every is None:
                self._next_report = now + self._seconds / _SHARE
            else:
                self._next_report = self._done + self.every
        self._done += steps
        if logs is not None:
            logs.update(self._latest)

    def on_epoch_end(self, epoch, logs=None):
        self._warn_of_overflow()
        if logs is not None:
            logs.update(self._latest)

    def on_train_end(self, logs=None):
        if self._board is not None:
            self._board.flush()

    def _factors(self):
        _ = self.model  # On JAX, to ask for it brings the variables up to date.
        return {
            name: [ops.convert_to_numpy(ops.copy(each)).astype("float64") for each in layer.factors]
            for name, layer in self._layers.items()
        }

    def _report(self, name, before, after):
        moves = [new - old for old, new in zip(before, after)]
        kernel = product(after)
        smaller = kernel if kernel.shape[0] >= kernel.shape[1] else kernel.T
        squares = np.linalg.eigvalsh(smaller.T @ smaller)[::-1]
        singular_values = np.sqrt(np.maximum(squares, 0.0))
        values = (
            ops.convert_to_numpy(self._layers[name].imbalance()),
            singular_values[0],
            singular_values[-1],
            np.linalg.norm(kernel - product(before)),
            np.linalg.norm(rule_step(before, moves)),
        )
        report = dict(zip(_QUANTITIES, map(float, values)))
        self._latest.update({f"{name}_{what}": value for what, value in report.items()})
        if self._board is not None:
            step = int(self.model.optimizer.iterations)
            self._board.write(name, report, singular_values, step)

    def _warn_of_plateau(self, name, before, after, steps):
        moves = [(new - old) / steps for old, new in zip(before, after)]
        needed = iterations_to_leave_zero(before, moves)
        budget = self.budget
        if budget is None and self.params.get("steps") is not None:
            budget = self.params["epochs"] * self.params["steps"]
        if budget is not None and needed > budget - self._done:
            self._warned.add(name)
            # Steps that are lost in rounding are zero.
            count = f"some {needed:.1e}" if needed < math.inf else "infinitely many"
            warnings.warn(
                f"The factors of layer `{name}` are near zero. At this learning rate their "
                f"product, of depth {len(before)}, needs {count} iterations to leave zero, and "
                f"training has {max(budget - self._done, 0)} left. Start from the balanced start "
                "(`factor_initializer=None`) or from `initializers.NearIdentity()`.",
                stacklevel=2,
            )

    def _warn_of_overflow(self):
        optimizer = self.model.optimizer
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if self._warned_of_overflow or not scales or not optimizer.built:
            return
        # It is halved where a step is not finite. Below 1 it is not the cause of that.
        scale = float(optimizer.dynamic_scale)
        if scale >= min(1.0, optimizer.initial_scale):
            return
        self._warned_of_overflow = True
        gains = {
            name: max(
                np.linalg.norm(product(factors[: count + 1]), 2) for count in range(len(factors))
            )
            for name, factors in self._factors().items()
            if self._layers[name].compute_dtype == "float16"
        }
        name = max(gains, key=lambda each: gains[each], default=None)
        cause = "" if name is None else (
            f" Of the factorised layers, `{name}` amplifies most: its factors, one after the "
            f"other, make vectors up to {gains[name]:.1e} times longer."
        )
        warnings.warn(
            "Training overflows float16, which ends at 65504: steps without a finite gradient were "
            f"skipped, and the loss scale has come down to {scale:.1e}.{cause} Scale down the "
            "inputs or the learning rate, or use the policy `mixed_bfloat16`.",
            stacklevel=2,
        )


def _is_finite(factors):
    """Whether the product of `factors` and its Gram matrices are finite, in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.sum(product(factors) ** 2)))


class _Board:
    """Writes event files for TensorBoard, without TensorFlow."""

    def __init__(self, log_dir):
        try:
            from tensorboard.compat.proto import event_pb2
            from tensorboard.plugins.histogram.summary_v2 import histogram_pb
            from tensorboard.plugins.scalar.summary_v2 import scalar_pb
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError(
                "BalanceMonitor(log_dir=...) needs TensorBoard: pip install tensorboard"
            ) from error
        self._event, self._histogram, self._scalar = event_pb2.Event, histogram_pb, scalar_pb
        self._writer = EventFileWriter(str(log_dir), filename_suffix=".balance")

    def write(self, name, report, singular_values, step):
        summaries = [self._scalar(f"{name}/{what}", value) for what, value in report.items()]
        summaries.append(self._histogram(f"{name}/singular_values", singular_values))
        for each in summaries:
            event = self._event(step=step, wall_time=time.time(), summary=each)
            self._writer.add_event(event)

    def flush(self):
        self._writer.flush()
