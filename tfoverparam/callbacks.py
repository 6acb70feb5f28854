"""A callback that watches the factors in training."""

import math
import os
import time
import warnings
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from tfoverparam import factor_dynamics, matrix_functions
from tfoverparam.arguments import check_positive_integer
from tfoverparam.event_files import EventFiles
from tfoverparam.lapack import one_thread
from tfoverparam.layer_tree import walk
from tfoverparam.linear_maps import linear_maps

_SHARE = 0.01  # of the training time, for reports
_QUANTITIES = (
    "imbalance",
    "largest_singular_value",
    "smallest_singular_value",
    "step",
    "rule_step",
)


class BalanceMonitor(keras.callbacks.Callback):
    """Reports on each factorized kernel while a model is trained.

    At the first step of each epoch and then every so many steps, for each kernel that is trained:

    - `imbalance`: how far the factors are from Equation 7 (`matrix_functions.imbalance`);
    - `largest_singular_value` and `smallest_singular_value` of the product;
    - `step`: Frobenius norm of the step that the product makes;
    - `rule_step`: that of the step by the end-to-end rule (`rule_step`). With plain SGD, balanced
      factors and a small learning rate the two are equal, by Theorem 1.

    They are called `<layer>_imbalance` and so on, for other kernels than `kernel` with their name
    too, as in `lstm_cell_recurrent_kernel_imbalance`. After a divergence they are NaN. All of them
    are in `history`: a dict of lists, one entry a report, with the step after which it was made
    under `"iteration"`, and the largest imbalance under `"imbalance"`.

    In the `logs` of a batch that was reported on is the largest imbalance only, unless
    `logs="all"`. The progress bar shows it, as do callbacks that come after this one. In the
    `logs` of an epoch is that of its last report, if the epoch was validated: of what is in the
    logs of an epoch that was not, `CSVLogger` makes columns `val_...` that stay empty.

    From the second report on, it warns, once a kernel, if the factors are so near zero that they
    would need more iterations to leave it than training has left (`iterations_to_leave_zero`).
    After an epoch, it warns, once, if so many steps overflowed float16 that the loss scale has come
    down to less than 1, and names the layer that is the likeliest cause.

    Args:
        every: Steps between two reports, a positive integer. Defaults to `None`: as often as
            takes a hundredth of the training time. A report costs, on the host and in float64,
            some ten products of each kernel's factors and two eigendecompositions of the smaller
            Gram matrix of their product.
        log_dir: Folder for TensorBoard: the numbers above as scalars, and histograms of all
            singular values, over steps. They count on from the steps of the optimizer, or of the
            epochs before `initial_epoch`. Defaults to `None`: nothing is written.
        budget: Number of iterations that the training has, for the warning. Defaults to `None`:
            what `fit` knows (nothing, if its data is a generator without a length).
        logs: `"imbalance"`, the largest one, or `"all"`. Defaults to `"imbalance"`.

    Raises:
        ValueError: If an argument is not of the kind described; when training begins, or after
            the first step if the model is built in it, if no factorized kernel is trained.
        ImportError: If `log_dir` is given and TensorBoard is not installed.

    Example:

    >>> import keras
    >>> from tfoverparam import BalanceMonitor, FactorizedDense
    >>> layer = FactorizedDense(2, seed=0, name="linear")
    >>> model = keras.Sequential([keras.Input((4,)), layer])
    >>> model.compile(keras.optimizers.SGD(0.001), "mse")
    >>> x, y = keras.random.normal((32, 4), seed=0), keras.random.normal((32, 2), seed=1)
    >>> monitor = BalanceMonitor(every=10)
    >>> _ = model.fit(x, y, callbacks=[monitor], verbose=0)
    >>> 0.99 < monitor.history["linear_step"][0] / monitor.history["linear_rule_step"][0] < 1.01
    True

    References:
        [Arora et al., 2018](https://arxiv.org/abs/1802.06509)
    """

    def __init__(
        self,
        every: int | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        budget: int | None = None,
        logs: Literal["imbalance", "all"] = "imbalance",
    ) -> None:
        super().__init__()
        for name, value in (("every", every), ("budget", budget)):
            if value is not None:
                check_positive_integer(name, value)
        if logs not in ("imbalance", "all"):
            raise ValueError(f'`logs` must be "imbalance" or "all". Received: logs={logs!r}')
        if log_dir is not None and not isinstance(log_dir, (str, os.PathLike)):
            raise ValueError(f"`log_dir` must be a path. Received: log_dir={log_dir!r}")
        if log_dir is not None and os.path.isfile(log_dir):
            raise ValueError(f"`log_dir` must be a folder, not a file. Received: {log_dir!r}")
        self.every = every
        self.budget = budget
        self.logs = logs
        self.history: dict[str, list[float]] = {"iteration": [], "imbalance": []}
        self._event_files = None if log_dir is None else EventFiles(log_dir)
        self._iteration = 0  # of all that this monitor has seen
        self._begin()

    def _begin(self):
        self._done = 0  # steps of this training
        self._next_report = 0.0  # a number of steps, or a time where `every` is None
        self._seconds = 0.0  # that the current report has taken so far
        self._is_new_epoch = True
        self._first_epoch = None
        self._first_batch = 0
        self._maps = {}
        self._before: dict[str, list[np.ndarray]] = {}
        self._latest = {}
        self._warned = set()
        self._warned_of_overflow = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begin()
        self._iteration = max(self._iteration, _iterations(self.model))
        if not _trained_maps(self.model) and all(layer.built for layer in walk(self.model)):
            raise ValueError(_NOTHING_TO_SEE)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._first_epoch is None:
            self._first_epoch = epoch
            self._iteration = max(self._iteration, epoch * (self.params.get("steps") or 0))
        self._is_new_epoch = True
        self._latest = {}

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._first_batch = batch
        now = time.perf_counter()
        is_due = (now if self.every is None else self._done) >= self._next_report
        if is_due or self._is_new_epoch:
            self._maps = _trained_maps(self.model)
            self._before = self._factors()
            self._seconds = time.perf_counter() - now

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # With `steps_per_execution` a batch of Keras's count is the last of several.
        steps = batch - self._first_batch + 1
        if self._before:
            with one_thread():
                self._report(steps)
            if logs is not None:
                logs.update(self._latest)
        elif self._done == 0 and not _trained_maps(self.model):
            raise ValueError(_NOTHING_TO_SEE)
        self._before = {}
        self._done += steps
        self._iteration += steps

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._warn_of_overflow()
        if logs is not None and any(name.startswith("val_") for name in logs):
            logs.update(self._latest)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._event_files is not None:
            self._event_files.flush()

    def _factors(self):
        _ = self.model  # On JAX, to ask for it brings the variables up to date.
        return {
            name: [ops.convert_to_numpy(ops.copy(each)).astype("float64") for each in map_.factors]
            for name, map_ in self._maps.items()
        }

    def _report(self, steps):
        """Reports on the steps of a batch, from the factors before and after it."""
        resumed = time.perf_counter()
        after = self._factors()
        numbers = {}
        for name, before in self._before.items():
            if _is_finite(before) and _is_finite(after[name]):
                imbalance = matrix_functions.imbalance(self._maps[name].factors)
                report = self._quantities(name, before, after[name], imbalance, steps)
                if self._done > 0 and name not in self._warned:
                    self._warn_of_plateau(name, before, after[name], steps)
            else:
                # Training has diverged, and there is nothing to decompose.
                report = dict.fromkeys(_QUANTITIES, math.nan)
            numbers.update({f"{name}_{what}": value for what, value in report.items()})
        imbalances = [numbers[f"{name}_imbalance"] for name in self._before]
        largest = {"imbalance": float(np.max(imbalances))}  # NaN if one is
        self._append({"iteration": self._iteration + steps, **largest, **numbers})
        self._latest = {**largest, **numbers} if self.logs == "all" else largest
        self._is_new_epoch = False
        now = time.perf_counter()
        self._seconds += now - resumed
        if self.every is None:
            self._next_report = now + self._seconds / _SHARE
        else:
            self._next_report = self._done + self.every

    def _quantities(self, name, before, after, imbalance, steps):
        moves = [new - old for old, new in zip(before, after)]
        kernel = factor_dynamics.product(after)
        singular_values = factor_dynamics.singular_values(kernel)
        values = (
            ops.convert_to_numpy(imbalance),
            singular_values[0],
            singular_values[-1],
            np.linalg.norm(kernel - factor_dynamics.product(before)),
            np.linalg.norm(factor_dynamics.rule_step(before, moves)),
        )
        report = dict(zip(_QUANTITIES, map(float, values)))
        if self._event_files is not None:
            self._event_files.write(name, report, singular_values, self._iteration + steps)
        return report

    def _append(self, numbers):
        """One more entry of each list of `history`, NaN where a report has no number."""
        count = len(self.history["iteration"])
        for name in numbers:
            self.history.setdefault(name, [math.nan] * count)
        for name, values in self.history.items():
            values.append(numbers.get(name, math.nan))

    def _warn_of_plateau(self, name, before, after, steps):
        moves = [(new - old) / steps for old, new in zip(before, after)]
        needed = factor_dynamics.iterations_to_leave_zero(before, moves)
        budget = self.budget
        if budget is None and self.params.get("steps") is not None:
            epochs = self.params["epochs"] - (self._first_epoch or 0)
            budget = epochs * self.params["steps"]
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
        optimizer = getattr(self.model, "optimizer", None)
        if self._warned_of_overflow:
            return
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or not optimizer.built:
            return
        # It is halved where a step is not finite. Below 1 it is not the cause of that.
        scale = float(optimizer.dynamic_scale)
        if scale >= min(1.0, optimizer.initial_scale):
            return
        self._warned_of_overflow = True
        gains = {
            name: max(
                factor_dynamics.singular_values(factor_dynamics.product(factors[: count + 1]))[0]
                for count in range(len(factors))
            )
            for name, factors in self._factors().items()
            if self._maps[name].layer.compute_dtype == "float16"
        }
        name = max(gains, key=lambda each: gains[each], default=None)
        cause = ""
        if name is not None:
            cause = (
                f" Of the factorized layers, `{name}` amplifies most: its factors, one after the "
                f"other, make vectors up to {gains[name]:.1e} times longer."
            )
        warnings.warn(
            "Training overflows float16, which ends at 65504: steps without a finite gradient were "
            f"skipped, and the loss scale has come down to {scale:.1e}.{cause} Scale down the "
            "inputs or the learning rate, or use the policy `mixed_bfloat16`.",
            stacklevel=2,
        )


_NOTHING_TO_SEE = "The model has no factorized kernel that is trained: nothing to see."


def _trained_maps(model):
    """Dict from the name of a factorized kernel that is trained to its linear map."""
    maps = [
        each
        for each in linear_maps(model)
        if each.is_factorized and any(factor.trainable for factor in each.factors)
    ]
    named: dict = {}
    for each in maps:
        name = _name(each, each.layer.name)
        if sum(_name(other, other.layer.name) == name for other in maps) > 1:
            path = each.path.removesuffix(f"/{each.variable}").replace("/", "_")
            name = _name(each, path)
            while name in named:
                name += "_"
        named[name] = each
    return named


def _name(linear_map, layer_name):
    is_main = linear_map.variable == "kernel"
    return layer_name if is_main else f"{layer_name}_{linear_map.variable}"


def _iterations(model):
    """The steps that the model's optimizer has made, 0 if it has none of Keras's."""
    optimizer = getattr(model, "optimizer", None)
    return int(optimizer.iterations) if isinstance(optimizer, keras.optimizers.Optimizer) else 0


def _is_finite(factors):
    """Whether the product of `factors` and its Gram matrices are finite, in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.sum(factor_dynamics.product(factors) ** 2)))
