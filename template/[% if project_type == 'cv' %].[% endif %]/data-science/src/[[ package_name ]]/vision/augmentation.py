"""Changed copies of training images, made anew in each epoch: turned, moved, larger or smaller, brighter or darker."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# Random numbers that each image needs.
DRAWS = 8


@dataclass(frozen=True)
class Augmentation:
    """How much images may be changed.

    Attributes:
        rotation: at most so many degrees to either side.
        shift: at most this share of the width, and of the height.
        scale: at most this share larger or smaller.
        contrast: at most this share more or less.
        brightness: at most this share of white more or less.
        flip_left_right: mirrors every second image; digits and letters are other signs then.
        flip_up_down: turns every second image upside down.
    """

    rotation: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    flip_left_right: bool = False
    flip_up_down: bool = False

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return changed images.

        Args:
            images: of shape (images, channels, height, width), values 0 to 255.
            draws: random numbers, 0 to 1, of shape (images, DRAWS); equal ones change an image equally.
        """
        changed = images.float()
        either = 2 * draws - 1
        if self.rotation or self.shift or self.scale or self.flip_left_right or self.flip_up_down:
            changed = self._moved(changed, draws, either)
        if self.contrast or self.brightness:
            mean = changed.mean(dim=(1, 2, 3), keepdim=True)
            contrast, brightness = (either[:, place].view(-1, 1, 1, 1) for place in (6, 7))
            changed = (changed - mean) * (1 + self.contrast * contrast) + mean + 255 * self.brightness * brightness
            changed = changed.clamp(0, 255)
        return changed

    def _moved(self, images: Tensor, draws: Tensor, either: Tensor) -> Tensor:
        angle = either[:, 0] * math.radians(self.rotation)
        size = 1 / (1 + either[:, 1] * self.scale)
        left_right = 1 - 2 * (draws[:, 4] < 0.5 * self.flip_left_right).float()
        up_down = 1 - 2 * (draws[:, 5] < 0.5 * self.flip_up_down).float()
        cosine, sine = size * angle.cos(), size * angle.sin()
        # The result at (x, y) is the image at (across, down); the borders are at -1 and 1, so a shift counts twice.
        across = torch.stack((cosine * left_right, -sine * up_down, 2 * self.shift * either[:, 2]), dim=1)
        down = torch.stack((sine * left_right, cosine * up_down, 2 * self.shift * either[:, 3]), dim=1)
        grid = functional.affine_grid(torch.stack((across, down), dim=1), list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
