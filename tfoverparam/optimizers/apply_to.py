"""The argument `apply_to` of the end-to-end rule: which variables are which matrices."""

import dataclasses
import re
import warnings

import keras

from tfoverparam.layers.kernel_factors import is_factor
from tfoverparam.linear_maps import LinearMap, linear_maps
from tfoverparam.matrix_view import MatrixView


@dataclasses.dataclass(frozen=True)
class Target:
    """A kernel that the rule applies to.

    Attributes:
        path: Path of the variable.
        position: Position of it in the list that the optimizer is built with, or `None`.
        view: How it is a matrix or a stack of them.
        count: Length of that list, or `None`.
    """

    path: str
    position: int | None
    view: MatrixView
    count: int | None = None

    def get_config(self) -> dict:
        """What JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict) -> "Target":
        """The reverse."""
        view = {name: tuple(axes) for name, axes in config["view"].items()}
        return cls(config["path"], config["position"], MatrixView(**view), config.get("count"))


def parse(apply_to):
    """None, or a list of names, predicates and targets. It holds no model and no variable."""
    if apply_to is None:
        return None
    parts = list(apply_to) if isinstance(apply_to, (list, tuple)) else [apply_to]
    parts = parts or [apply_to]
    if all(isinstance(part, keras.Layer) for part in parts):
        return _of_layers(parts)
    for part in parts:
        if isinstance(part, keras.Variable):
            raise ValueError(
                "`apply_to` takes the path of a variable, which a saved model can hold, in place "
                f"of the variable: apply_to={part.path!r}. Received: {part}"
            )
        is_target = isinstance(part, (LinearMap, Target)) or (
            isinstance(part, dict) and {"path", "position", "view"} <= part.keys()
        )
        is_other = callable(part) and not isinstance(part, keras.Layer)
        if not (is_target or isinstance(part, str) or is_other):
            raise ValueError(
                "`apply_to` must be None, a model, or linear maps, paths of variables, predicates "
                "of a variable, or a list of these; or a list of layers. "
                f"Received: apply_to={apply_to!r}"
            )
        if isinstance(part, LinearMap) and part.is_factorized:
            raise ValueError(
                f"`{part.path}` is factorized: it is trained by its factors, and the rule would "
                "count its depth twice. Leave it out of `apply_to`."
            )
    return [_as_target(part) for part in parts]


def _as_target(part):
    if isinstance(part, LinearMap):
        return Target(part.path, None, part.view)
    return Target.from_config(part) if isinstance(part, dict) else part


def _of_layers(layers):
    found = {}  # By kernel, not by path: the layers of two functional submodels may have the same.
    for layer in layers:
        positions = {id(variable): n for n, variable in enumerate(layer.trainable_variables)}
        for each in linear_maps(layer):
            is_embedding = each.variable.endswith("embeddings")
            if id(each.kernel) in positions and not each.is_factorized and not is_embedding:
                # Of a model alone: in a list of layers the optimizer's positions are others.
                position = positions[id(each.kernel)] if len(layers) == 1 else None
                found[id(each.kernel)] = Target(each.path, position, each.view)
    if not found:
        raise ValueError(
            "`apply_to` must be a built model with a kernel that is trainable and not factorized, "
            f"or layers with one. Received: {', '.join(map(str, layers))}"
        )
    return list(found.values())


def serialize(apply_to):
    """The configuration of what `parse` returned."""
    if apply_to is None:
        return None
    return [
        part.get_config() if isinstance(part, Target) else keras.saving.serialize_keras_object(part)
        for part in apply_to
    ]


def deserialize(config, custom_objects=None):
    """The reverse."""
    if config is None:
        return None
    return [
        Target.from_config(part)
        if isinstance(part, dict) and "view" in part
        else keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)
        for part in config
    ]


def resolve(apply_to, variables) -> list[Target]:
    """The targets among the variables that an optimizer is built with, in their order.

    Raises:
        ValueError: If a part finds no variable, or a factor.
    """
    if apply_to is None:
        return [
            _by_shape(n, variable, len(variables))
            for n, variable in enumerate(variables)
            if _can_be(variable) and _is_kernel(variable.path)
        ]
    found: dict[int, Target] = {}
    for part in apply_to:
        if isinstance(part, Target):
            n = _position(part, variables, found)
            found[n] = Target(variables[n].path, n, part.view, len(variables))
            continue
        positions = [n for n, each in enumerate(variables) if _matches(part, each)]
        if not positions:
            raise ValueError(
                "Each part of `apply_to` must name a variable of rank 2 or more, by its whole "
                f"path, that is no factor. Received: {part!r}, of "
                f"{[each.path for each in variables if _can_be(each)]}"
            )
        for n in positions:
            found.setdefault(n, _by_shape(n, variables[n], len(variables)))
    return [found[n] for n in sorted(found)]


def _position(target, variables, taken):
    """By its path, or once it has been in a list as long as this, by its position there.

    Of a model that is loaded, layers may have other numbers in their names, so that a path is that
    of another layer. Where some variables are frozen, positions are others.
    """
    shape = target.view.shape

    def fits(n):
        is_there = n is not None and n < len(variables) and n not in taken
        return is_there and tuple(variables[n].shape) == shape and _can_be(variables[n])

    candidates = [n for n, each in enumerate(variables) if each.path == target.path]
    if target.count is None:
        candidates.append(target.position)
    elif target.count == len(variables):
        candidates.insert(0, target.position)
    for n in candidates:
        if fits(n):
            return n
    raise ValueError(
        f"`apply_to` has a view of `{target.path}`, of shape {shape}, which is not among the "
        f"variables. Received: {[(each.path, tuple(each.shape)) for each in variables]}"
    )


def _can_be(variable):
    is_other = is_factor(variable) or variable.overwrite_with_gradient
    return len(variable.shape) >= 2 and not is_other


def _is_kernel(path):
    return re.search(r"(^|[/_])kernel$", path) is not None and "depthwise" not in path


def _matches(part, variable):
    if not _can_be(variable):
        return False
    return part == variable.path if isinstance(part, str) else bool(part(variable))


def _by_shape(position, variable, count):
    """All axes but the last as one, which is right for `Dense` and for convolutions."""
    shape = tuple(variable.shape)
    if len(shape) == 3 and not variable.path.endswith("pointwise_kernel"):
        warnings.warn(
            f"`{variable.path}` is taken for the matrix of all axes but the last by the last, "
            "which a convolution's is, and an attention's is not. Give the optimizer the views of "
            "the layers: EndToEnd(..., apply_to=model).",
            stacklevel=2,
        )
    *rows, column = range(len(shape))
    return Target(variable.path, position, MatrixView(shape, tuple(rows), (column,)), count)
