"""Changed copies of training images, made anew in each epoch: turned, moved, larger or smaller, brighter or darker."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from .hyperparameters import Augmentation

# Random numbers that each image needs.
DRAWS = 8


def augment(images: Tensor, draws: Tensor, limits: Augmentation) -> Tensor:
    """Return changed images.

    Args:
        images: of shape (images, channels, height, width), values 0 to 255.
        draws: random numbers, 0 to 1, of shape (images, DRAWS); equal ones change an image equally.
        limits: how much they may be changed.
    """
    changed = images.float()
    either = 2 * draws - 1
    if limits.rotation or limits.shift or limits.scale or limits.flip_left_right or limits.flip_up_down:
        changed = _moved(changed, draws, either, limits)
    if limits.contrast or limits.brightness:
        mean = changed.mean(dim=(1, 2, 3), keepdim=True)
        contrast, brightness = (either[:, place].view(-1, 1, 1, 1) for place in (6, 7))
        changed = (changed - mean) * (1 + limits.contrast * contrast) + mean + 255 * limits.brightness * brightness
        changed = changed.clamp(0, 255)
    return changed


def _moved(images: Tensor, draws: Tensor, either: Tensor, limits: Augmentation) -> Tensor:
    angle = either[:, 0] * math.radians(limits.rotation)
    size = 1 / (1 + either[:, 1] * limits.scale)
    left_right = 1 - 2 * (draws[:, 4] < 0.5 * limits.flip_left_right).float()
    up_down = 1 - 2 * (draws[:, 5] < 0.5 * limits.flip_up_down).float()
    cosine, sine = size * angle.cos(), size * angle.sin()
    # The result at (x, y) is the image at (across, down); the borders are at -1 and 1, so a shift counts twice.
    across = torch.stack((cosine * left_right, -sine * up_down, 2 * limits.shift * either[:, 2]), dim=1)
    down = torch.stack((sine * left_right, cosine * up_down, 2 * limits.shift * either[:, 3]), dim=1)
    grid = functional.affine_grid(torch.stack((across, down), dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
