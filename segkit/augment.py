"""One random change for an image and its mask together. Introduced in notebook 06.

The only room that knows albumentations.
"""

import os
from collections.abc import Sequence

import cv2
import numpy as np

from segkit.files import UserError, check_choice

# Importing albumentations takes a second, so it waits for the first Augmentation. It asks the network for a
# newer version unless told not to.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


class Augmentation:
    """Flips, crops, turns and recolours a photograph; its mask follows wherever pixels move.

    strength: 0 changes nothing, 1 is the default for training, 2 is as far as it goes.
    crop_to: also cut out a part and bring it to this many pixels squared: anywhere in the picture, between
        a tenth and all of it, or a square that holds some of the person (half of crop_to to all of it).
        Given larger pictures, a close-up stays sharp. Introduced in notebook 11.
    only: some of "mirror", "move", "colour" and "quality"; None takes all four.
    Masks are resampled by nearest neighbour, so they keep their labels.
    Raises: UserError for another strength or name.
    """

    def __init__(self, strength: float = 1.0, crop_to: int | None = None, only: Sequence[str] | None = None):
        if not 0 <= strength <= 2:
            raise UserError(f"the augmentation strength goes from 0 to 2, found {strength}.")
        self.strength = strength
        groups = _steps(strength)
        for name in only or ():
            check_choice("a group of changes", name, groups)
        crops = [] if crop_to is None else _crops(crop_to)
        chosen = groups if only is None else only
        steps = [step for name in groups if name in chosen and strength > 0 for step in groups[name]]
        import albumentations as A

        self._compose = A.Compose(crops + steps)

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, seed: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change both by the same random draw.

        image: uint8 (H, W, 3).   mask: uint8 labels (H, W).   seed: the same seed, the same draw.
        Returns: (image, mask), of the size that came in, or crop_to squared.
        """
        if seed is not None:
            self._compose.set_random_seed(seed)
        changed = self._compose(image=image, mask=mask)
        return changed["image"], changed["mask"]


def _crops(size: int) -> list:
    import albumentations as A

    nearest = {"mask_interpolation": cv2.INTER_NEAREST_EXACT}
    anywhere = A.RandomResizedCrop(
        (size, size), scale=(0.1, 1.0), ratio=(0.6, 1.7), area_for_downscale="image", **nearest, p=1.0
    )
    # Where people are small, crops drawn anywhere seldom hold one: of these each holds a piece of a person.
    sides = [round(size * share) for share in (0.5, 0.7, 1.0)]
    of_the_person = [A.CropNonEmptyMaskIfExists(side, side, p=1 / len(sides)) for side in sides]
    return [
        A.OneOf([anywhere, *of_the_person], p=0.75),
        A.Resize(size, size, interpolation=cv2.INTER_AREA, **nearest),  # those that are not that size yet
    ]


def _steps(strength: float) -> dict[str, list]:
    """What may happen, in this order, by groups. The first two move pixels."""
    import albumentations as A

    s = strength
    blurs = [A.GaussianBlur(sigma_limit=(0.3, 1.0 + s)), A.MotionBlur(blur_limit=(3, 7))]
    noises = [A.GaussNoise(std_range=(0.01, 0.05 * s + 0.01)), A.ISONoise(intensity=(0.1, 0.3))]
    return {
        "mirror": [A.HorizontalFlip(p=0.5)],
        # People come near and far, and the edge of the picture cuts them anywhere.
        "move": [
            A.Affine(
                scale=(1 - 0.35 * s / 2, 1 + 0.7 * s),
                translate_percent=(-0.12 * s, 0.12 * s),
                rotate=(-12 * s, 12 * s),
                shear=(-4 * s, 4 * s),
                keep_ratio=False,  # photographs of other shapes are squeezed into the square too
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_NEAREST,
                border_mode=cv2.BORDER_REFLECT_101,
                p=min(1.0, 0.8 * s),
            )
        ],
        "colour": [
            A.ColorJitter(
                brightness=(1 - 0.3 * s, 1 + 0.3 * s),
                contrast=(1 - 0.3 * s, 1 + 0.3 * s),
                saturation=(1 - 0.4 * s, 1 + 0.4 * s),
                hue=(-0.04 * s, 0.04 * s),
                p=min(1.0, 0.8 * s),
            ),
            A.RandomGamma(gamma_limit=(100 - 30 * s, 100 + 40 * s), p=0.2),
            A.ToGray(p=0.1 * s),
        ],
        "quality": [
            A.OneOf(blurs, p=0.12 * s),
            A.OneOf(noises, p=0.12 * s),
            A.ImageCompression(quality_range=(40, 90), p=0.15 * s),
        ],
    }


def paste_person(
    image: np.ndarray, mask: np.ndarray, other_image: np.ndarray, other_mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The person of another picture in front of this one; the mask then holds both.

    images: uint8 (H, W, 3).   masks: uint8 (H, W), 0 is background.   Both pictures are of one size.
    Ghiasi et al., "Simple Copy-Paste" (2021); introduced in notebook 11.
    """
    # A pixel of blur, or the network would learn to look for scissors.
    alpha = cv2.GaussianBlur((other_mask > 0).astype(np.float32), (3, 3), 0)[..., None]
    pasted = (image * (1 - alpha) + other_image * alpha).round().astype(np.uint8)
    return pasted, np.where(other_mask > 0, other_mask, mask)


def recolour_person(image: np.ndarray, mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The person in clothes of another colour, from a random height (mostly below the head) downwards.

    image: uint8 (H, W, 3).   mask: uint8 (H, W), 0 is background.   Returns: uint8 (H, W, 3).
    Street fashion is grey, black and blue; without this, an orange suit is background.   Notebook 11.
    """
    rows = np.flatnonzero((mask > 0).any(axis=1))
    if len(rows) == 0:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + random.uniform(0, 180)) % 180  # OpenCV keeps hue in 0 to 179
    hsv[..., 1] = hsv[..., 1] * random.uniform(0.5, 1.5) + random.choice([0, random.uniform(0, 160)])
    hsv[..., 2] *= random.uniform(0.6, 1.3)
    coloured = cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    alpha = (mask > 0).astype(np.float32)
    alpha[: int(rows[0] + random.uniform(0, 0.35) * len(rows))] = 0
    alpha = cv2.GaussianBlur(alpha, (3, 3), 0)[..., None]
    return (image * (1 - alpha) + coloured * alpha).round().astype(np.uint8)
