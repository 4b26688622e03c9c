"""Fitted networks as plain values, and back.

A network is stored as its architecture and its arrays by name. Reading builds the architecture's
network and fills it, so that a file can say no more than sizes and numbers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import nn

from skae.core.activations import ACTIVATIONS
from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork, build_network
from skae.core.networks.conv import ConvolutionalArchitecture, ConvolutionalEncoder
from skae.core.networks.dense import MLP
from skae.core.networks.dictionary import DictionaryArchitecture
from skae.core.networks.hashing import HashingArchitecture
from skae.core.networks.log_inputs import LogInputs
from skae.core.networks.ordered import OrderedArchitecture
from skae.core.networks.variational import VariationalArchitecture
from skae.core.serialise import StoredState

# Architectures that a file may name. A custom one must be added before its networks are saved.
ARCHITECTURES: dict[str, type[Architecture]] = {
    architecture.__name__: architecture
    for architecture in (
        Architecture,
        ConvolutionalArchitecture,
        DictionaryArchitecture,
        HashingArchitecture,
        OrderedArchitecture,
        VariationalArchitecture,
    )
}

# Readers of an architecture's fields, by their annotations.
_READERS: dict[str, Callable[[StoredState, str], Any]] = {
    "int": lambda stored, name: stored.read(name, int),
    "int | None": lambda stored, name: stored.read(name, int, None),
    "bool": lambda stored, name: stored.read(name, bool),
    "float": lambda stored, name: stored.read(name, float, int),
    "str": lambda stored, name: stored.read_choice(name, ACTIVATIONS),
    "tuple[int, ...]": lambda stored, name: stored.read_sizes(name),
    "tuple[int, int, int]": lambda stored, name: stored.read_sizes(name, 3),
}
# Attributes of a network that are neither arrays nor given by its architecture.
_SETTINGS = ("imputes_missing", "n_batches")

# The arguments of `LogInputs`.
_LOG_ARRAYS = ("ratio", "floor", "offset")
_LOG_NUMBERS = ("log_scale", "total_slope")

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def store_network(network: AutoencoderNetwork) -> dict[str, Any]:
    """Return what `restore_network` needs; the network has no model axis."""
    architecture = network.architecture
    name = type(architecture).__name__
    if ARCHITECTURES.get(name) is not type(architecture):
        raise TypeError(
            f"A network of the custom architecture {name} cannot be saved. Add the class to "
            "skae.core.networks.storage.ARCHITECTURES before saving and before opening."
        )
    unknown = [f.name for f in fields(architecture) if str(f.type) not in _READERS]
    if unknown:
        raise TypeError(
            f"The fields {unknown} of the architecture {name} cannot be saved: they must be "
            f"annotated as one of {sorted(_READERS)}."
        )
    settings = {name: getattr(network, name) for name in _SETTINGS if hasattr(network, name)}
    return {
        "architecture": {"name": name, **vars(architecture)},
        **settings,
        **store_module(network),
    }


def store_module(module: nn.Module) -> dict[str, Any]:
    """Return parameters, buffers and settings of MLPs, by name. A tied weight has one name."""
    stored: dict[str, Any] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, mlp in _mlps(module).items():
        stored |= {f"{name}scale": mlp.scale, f"{name}dropout": mlp.dropout}
        if mlp.input_map is not None:
            for number in _LOG_NUMBERS:
                stored[f"{name}input_map.{number}"] = getattr(mlp.input_map, number)
    return stored


def restore_network(stored: StoredState) -> AutoencoderNetwork:
    """Return the network that was stored, on the CPU."""
    architecture = _restore_architecture(stored.read_state("architecture"))
    stored.check_size(architecture.n_weights())
    skeleton = build_network(architecture, generator=None)
    network = restore_module(skeleton, stored, architecture.skip_shapes())
    for name in _SETTINGS:
        if hasattr(network, name):
            setattr(network, name, stored.read(name, type(getattr(network, name))))
    stored.end()
    return network.eval()


def restore_module(
    skeleton: AnyModule, stored: StoredState, skips: dict[str, tuple[int, int]]
) -> AnyModule:
    """Return a copy of the skeleton with the stored parameters, buffers and settings of MLPs.

    The skeleton has a model axis, the copy has none. `skips` has the shapes of the skip connections
    of the MLPs that may have one.
    """
    memo: dict[int, Any] = {}  # tied weights stay a single tensor, see `Network._copy`
    for name, parameter in skeleton.named_parameters():
        shape = parameter.shape[1 if name.endswith("weight") else 2 :]
        memo[id(parameter)] = nn.Parameter(stored.read_tensor(name, shape))
    for name, buffer in skeleton.named_buffers():
        memo[id(buffer)] = stored.read_tensor(name, buffer.shape[2:])
    module = copy.deepcopy(skeleton, memo)
    for name, mlp in _mlps(module).items():
        mlp.scale = stored.read(f"{name}scale", float)
        mlp.dropout = stored.read(f"{name}dropout", float, int)
        skip_shape = skips.get(name)
        n_out = len(mlp.layers[-1].bias) if skip_shape is None else skip_shape[1]
        weight = bias = None
        if skip_shape is not None and stored.has(f"{name}skip"):
            weight = stored.read_tensor(f"{name}skip", skip_shape)
        if stored.has(f"{name}skip_bias"):
            bias = stored.read_tensor(f"{name}skip_bias", (n_out,))
        mlp.set_skip(weight, bias)
        if skip_shape is not None and stored.has(f"{name}input_map.ratio"):
            entry = f"{name}input_map."
            arrays = [stored.read_tensor(entry + part, skip_shape[:1]) for part in _LOG_ARRAYS]
            numbers = [stored.read(entry + number, float) for number in _LOG_NUMBERS]
            ratio, floor, offset = arrays
            mlp.input_map = LogInputs(ratio, floor, offset, *numbers)
        if isinstance(mlp, ConvolutionalEncoder) and stored.has(f"{name}masked"):
            mask = stored.read_tensor(f"{name}masked", (skips[name][0],), (torch.bool,))
            mlp.mask_inputs(mask)
    return module


def _restore_architecture(stored: StoredState) -> Architecture:
    cls = ARCHITECTURES[stored.read_choice("name", ARCHITECTURES)]
    values = {f.name: _READERS[str(f.type)](stored, f.name) for f in fields(cls)}
    stored.end()
    for name in ("n_features", "n_components", "n_active"):
        if values[name] is not None and values[name] < 1:
            raise stored.error(name, "1 or more", values[name])
    if (values["n_active"] or 0) > values["n_components"]:
        raise stored.error("n_active", f"at most {values['n_components']}", values["n_active"])
    if not 0 <= values["dropout"] < 1:
        raise stored.error("dropout", "a number from 0 to below 1", values["dropout"])
    if cls is ConvolutionalArchitecture:
        if math.prod(values["image_shape"]) != values["n_features"]:
            wanted = f"a shape of {values['n_features']} entries"
            raise stored.error("image_shape", wanted, list(values["image_shape"]))
        if not values["channels"]:
            raise stored.error("channels", "a list of one number or more", [])
    return cls(**values)


def _mlps(module: nn.Module) -> dict[str, MLP]:
    """Return all MLPs, by the beginning of the names of their parameters."""
    named = {name: part for name, part in module.named_modules() if isinstance(part, MLP)}
    return {f"{name}." if name else "": mlp for name, mlp in named.items()}
