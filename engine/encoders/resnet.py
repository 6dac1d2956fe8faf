"""``convnet``: a small residual network of any number of bands, the backbone for training on a CPU.

    5 × 5 convolution, stride 2 → four stages of residual blocks, the last three halving → (B, 192, S/16, S/16)

One token is one place of the last feature map and stands for 16 × 16 pixels.

Cost, 3 bands of 64 × 64 pixels: 79 million multiply-adds and 1.2 million parameters.
"""

from __future__ import annotations

import torch
from torch import nn

from engine.encoders.backbones import Backbone, check_size
from engine.encoders.convnet import Residual

#: Pixels a side of one place of the last feature map.
STRIDE = 16


class ResNet(Backbone):
    """A residual network with batch normalisation (He et al. 2016, arXiv:1512.03385).

    Parameters
    ----------
    bands, size : int
        C, S.
    widths, blocks : sequence of 4 int
        Channels and residual blocks of each stage.
    pooling : {"mean", "centre"}
        See `Backbone.pooled`.

    Raises
    ------
    UserError
        If the size is no multiple of `STRIDE`.
    """

    patch = STRIDE

    def __init__(
        self,
        bands: int,
        size: int,
        *,
        widths: tuple[int, ...] = (32, 64, 128, 192),
        blocks: tuple[int, ...] = (1, 1, 2, 1),
        pooling: str = "mean",
    ):
        check_size(size, STRIDE)
        super().__init__(bands, size, pooling=pooling)
        self.settings = {
            "backbone": "convnet",
            "bands": bands,
            "size": size,
            "widths": list(widths),
            "blocks": list(blocks),
            "pooling": pooling,
        }
        self.dimension = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(bands, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.stages = nn.ModuleList()
        inside = widths[0]
        for number, (width, count) in enumerate(zip(widths, blocks)):
            stage = [Residual(inside, width, stride=2 if number else 1)]
            stage += [Residual(width, width, stride=1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*stage))
            inside = width
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) with NaN → (B, T, W)."""
        dtype = self.fill.dtype
        x = self.stem(self.filled(pixels).to(dtype).contiguous(memory_format=torch.channels_last))
        for stage in self.stages:
            x = stage(x)
        return x.flatten(2).transpose(1, 2)

    def layers(self) -> list[nn.Module]:
        """Stem and each stage."""
        return [self.stem, *self.stages]


def convnet(bands: int, size: int, **settings) -> ResNet:
    """The backbone of that name."""
    return ResNet(bands, size, **settings)
