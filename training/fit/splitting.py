"""A model that is split over the processes of a fit, as FSDP does it.

Each process keeps a share of every weight, of its gradient and of what the optimizer knows about it. The weights of a
layer come together for the time in which the layer runs. Forward and backward passes, and whatever needs whole weights,
are therefore steps that all processes take together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from training.model.base import line_of
from training.model.estimator import Estimator
from training.model.network import Network, layers_of
from warehouse.errors import InputError


def split_over_processes(estimator: Estimator) -> Network:
    """Split the network of an estimator, which is still on the CPU, over all processes, on the estimator's device.

    Each layer is split by itself: a device holds one whole layer at a time. The embedding, the output matrix, the last
    norm and the level rows are split together.

    Returns:
        A copy without weights, which takes the trained ones when they are saved (see `filled`).

    Raises:
        InputError: there is only one process, or the base cannot be split.
    """
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    network, place = estimator.network, estimator.place
    if not distributed.is_initialized() or (processes := distributed.get_world_size()) < 2:
        raise InputError("training.launch has one process, which splits nothing; set num_processes to 2 or more")
    assert isinstance(network, Network)
    hollow, layers = network.hollow(), layers_of(network.model)[2]
    policy = MixedPrecisionPolicy()
    if place.precision == "bf16" and all(each.requires_grad for each in layers.parameters()):
        # Autocast would keep a copy in bf16 of all layers until the backward pass.
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    mesh = init_device_mesh(place.device.type, (processes,))
    try:
        for layer in layers:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        fully_shard(network, mesh=mesh)
    except (ValueError, NotImplementedError) as error:
        said = f"{estimator.info.base}: this kind of model cannot be split over processes: {line_of(error)}"
        raise InputError(said) from error
    return hollow


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor with the shares of all processes, which all have to call this; one that is not split as it is."""
    join: Any = getattr(tensor, "full_tensor", None)
    return tensor if join is None else join()


def share_as(like: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the device of another one and split as that is."""
    tensor = tensor.to(like.device)
    if not hasattr(like, "device_mesh"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    placed: Any = like
    return distribute_tensor(tensor, placed.device_mesh, placed.placements, src_data_rank=None)


def settle(network: Any) -> None:
    """Free the whole weights that a forward pass leaves if no backward pass follows."""
    network.reshard()


@contextmanager
def filled(hollow: Network, network: torch.nn.Module, *, keep: bool) -> Iterator[Network]:
    """Give the copy without weights with the trained ones for a while, if they are to be kept in this process.

    All processes have to take part.
    """
    places = dict(hollow.named_parameters())
    try:
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                tensor = whole(parameter.detach())
                if keep:
                    places[name].data = tensor.cpu()
        yield hollow
    finally:
        for place in places.values():
            place.data = place.data.new_empty(0)
