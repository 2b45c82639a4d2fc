"""Where the features of a step are found: in its output, or at a submodule it ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle


class Taps:
    """The features of both sides in each step of a module.

    A name is that of a submodule, whose output is caught by a forward hook, or else a key of the step's output.

    Parameters
    ----------
    module : torch.nn.Module
        The module that runs the steps.
    x, y : str
        A submodule's name, as in ``module.named_modules()``, or a key.
    """

    def __init__(self, module: torch.nn.Module, x: str, y: str) -> None:
        self._names = {"x": x, "y": y}
        self._caught: dict[str, list[Any]] = {}
        self._recording = False
        submodules = dict(module.named_modules())
        self._tapped = {name: submodules[name] for name in (x, y) if name in submodules}
        self._handles: list[RemovableHandle] = [
            submodule.register_forward_hook(self._hook(name)) for name, submodule in self._tapped.items()
        ]

    def _hook(self, name: str) -> Any:
        def catch(module: torch.nn.Module, args: Any, output: Any) -> None:  # noqa: ARG001
            if self._recording:
                self._caught.setdefault(name, []).append(output)

        return catch

    def start(self) -> None:
        """Begin a step: only what runs from now on counts."""
        self._caught.clear()
        self._recording = True

    def take(self, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """End a step and give its features, (n, p) and (n, q).

        Parameters
        ----------
        output : Any
            What the step returned.

        Raises
        ------
        ValueError
            If a key is missing, or a tapped submodule did not run exactly once; the message names it.
        TypeError
            If what was found is no tensor.
        """
        self._recording = False
        x, y = (self._find(argument, name, output) for argument, name in self._names.items())
        self._caught.clear()
        return x, y

    def _find(self, argument: str, name: str, output: Any) -> torch.Tensor:
        if name in self._tapped:
            found = self._caught.get(name, [])
            if len(found) != 1:
                raise ValueError(
                    f"{argument}={name!r}: the submodule ran {len(found)} times in a step, and its rows can be paired "
                    "only if it runs once; return the features from the step under a key instead"
                )
            features = found[0]
        elif isinstance(output, Mapping) and name in output:
            features = output[name]
        else:
            keys = list(output) if isinstance(output, Mapping) else f"no dict, but {type(output).__name__}"
            raise ValueError(
                f"{argument}={name!r} is neither the name of a submodule nor a key of the step's output ({keys})"
            )
        if not isinstance(features, torch.Tensor):
            raise TypeError(
                f"{argument}={name!r} must give a tensor of shape (rows, width), got {type(features).__name__}"
            )
        return features.detach()

    def remove(self) -> None:
        """Take the hooks off the submodules."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
