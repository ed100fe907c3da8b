"""Tensors from process to process: gloo on CPUs, NCCL where each process has a GPU of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from deepibl.errors import ProcessError
from deepibl.processes.board import AGAIN

SECONDS = 300.0  # that an exchange may take: all processes are about to come when one begins


class Tensors:
    """The exchange of tensors among processes. store: torch's; local_size: processes on this machine.

    It is torch's default process group: the one that there is, or one that is made at the first exchange.
    """

    def __init__(self, store: Any, rank: int, size: int, local_size: int) -> None:
        self._made = False
        self._device = torch.device("cpu")
        import torch.distributed as dist

        if not dist.is_initialized():
            own_gpu = torch.cuda.is_available() and torch.cuda.device_count() >= local_size
            with _told():
                dist.init_process_group(
                    "cpu:gloo,cuda:nccl" if own_gpu and dist.is_nccl_available() else "gloo",
                    store=dist.PrefixStore("tensors", store),
                    rank=rank,
                    world_size=size,
                    timeout=timedelta(seconds=SECONDS),
                )
            self._made = True
        if dist.get_backend() == "nccl" or "nccl" in str(dist.get_backend_config()):
            self._device = torch.device("cuda", torch.cuda.current_device())

    def broadcast(self, tensor: Tensor, source: int) -> None:
        """Makes the tensor of all processes that of process `source`; shapes are the same everywhere."""
        import torch.distributed as dist

        moved = tensor.detach().to(self._device).contiguous()
        with _told():
            dist.broadcast(moved, source)
        if moved.data_ptr() != tensor.data_ptr():
            tensor.copy_(moved)

    def send(self, tensor: Tensor, target: int) -> None:
        """Sends a tensor to process `target`, which is about to receive it."""
        import torch.distributed as dist

        with _told():
            dist.send(tensor.detach().to(self._device).contiguous(), target)

    def receive(self, like: Tensor, source: int) -> Tensor:
        """The tensor that process `source` sends, of the shape, type and device of `like`."""
        import torch.distributed as dist

        received = torch.empty_like(like, device=self._device, memory_format=torch.contiguous_format)
        with _told():
            dist.recv(received, source)
        return received.to(like.device)

    def close(self) -> None:
        """Ends the exchange, if it was begun here."""
        import torch.distributed as dist

        if self._made and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _told() -> Iterator[None]:
    """Turns an exchange that fails, since another process is gone, into a ProcessError."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessError(
            f"an exchange with another process failed, it is probably lost "
            f"({str(error).splitlines()[0]}). {AGAIN}"
        ) from error
