"""A moving camera over a photograph: a clip of a real person whose motion is known. Notebook 13."""

from collections.abc import Sequence

import cv2
import numpy as np


def camera_over(
    photo: np.ndarray, num_frames: int = 24, size: tuple[int, int] = (256, 256), seed: int = 0
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What a camera in a hand sees of a printed photograph: it pans, comes closer, shakes, and blurs.

    photo: uint8 (H, W, 3).   size: (height, width) of a frame.   seed: of the hand.
    Returns: frames uint8 (h, w, 3), and for each a pose, float (2, 3), which takes a point (x, y, 1) of the
    frame to the photograph.   Introduced in notebook 13.
    """
    rng = np.random.default_rng(seed)
    speeds, phases = rng.uniform(0.3, 1.5, (2, 3)), rng.uniform(0, 2 * np.pi, (2, 3))  # radians per frame
    height, width = photo.shape[:2]
    most = min(height / size[0], width / size[1])  # pixels of the photograph to one of the frame

    def pose(time: float) -> np.ndarray:
        along = time / num_frames
        scale = most * (0.85 - 0.1 * along)
        room = np.array([width, height]) - scale * np.array(size[::-1])
        where = room * [0.15 + 0.6 * along, 0.4]
        where = where + 1.2 * most * np.sin(speeds * time + phases).sum(axis=1)  # the hand
        left, top = where.clip(0, room)
        return np.array([[scale, 0, left], [0, scale, top]])

    def seen(time: float) -> np.ndarray:
        flags = cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(photo, pose(time), size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)

    # The shutter is open for half of the time: what moves meanwhile is blurred.
    frames = [np.mean([seen(t + d) for d in (0, 0.125, 0.25, 0.375, 0.5)], axis=0) for t in range(num_frames)]
    return [frame.round().astype(np.uint8) for frame in frames], [pose(t + 0.25) for t in range(num_frames)]


def carry_back(maps: Sequence[np.ndarray], poses: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Each frame's map laid onto the photograph: float32 (T, H, W), NaN where its frame did not look.

    maps: float (h, w), one per frame.   poses: from camera_over.   size: (H, W) of the photograph.
    Introduced in notebook 13.
    """
    nowhere = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": float("nan")}
    return np.stack(
        [
            cv2.warpAffine(one.astype(np.float32), pose, size[::-1], flags=cv2.INTER_LINEAR, **nowhere)
            for one, pose in zip(maps, poses, strict=True)
        ]
    )


def in_the_evening(images: Sequence[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """The same pictures by little light, uint8 (H, W, 3): darker, with grain that is new in every frame."""
    rng = np.random.default_rng(seed)
    return [(0.6 * image + rng.normal(0, 20, image.shape)).clip(0, 255).astype(np.uint8) for image in images]
