"""Right and common wrong answers to the exercises of notebook 08; test_answers.py asks the checks."""

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from solutions import solutions

from segkit import read_image

solution = solutions("08")


def flat(image, mean, std, scale=255.0):
    return ((image / scale - np.array(mean)) / np.array(std)).astype(np.float32)


def chw(array):
    return array.transpose(2, 0, 1)[None].astype(np.float32)


def squeeze(predict, image, size):
    small = cv2.resize(image, (size, size))
    return cv2.resize(predict(small), image.shape[1::-1])


def crop(predict, image, size):
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square, prob = np.s_[top : top + side, left : left + side], np.zeros((height, width), np.float32)
    prob[square] = squeeze(predict, image[square], size)
    return prob


def shrunk(image, size, way=cv2.INTER_LINEAR):
    scale = size / max(image.shape[:2])
    return cv2.resize(image, [round(side * scale) for side in image.shape[1::-1]], interpolation=way)


def padding_left_on(predict, image, size):
    small, square = shrunk(image, size), np.zeros((size, size, 3), np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    return cv2.resize(predict(square), image.shape[1::-1])


def not_square(predict, image, size):
    return cv2.resize(predict(shrunk(image, size)), image.shape[1::-1])


def small_answer(predict, image, size):
    answers = []
    solution.keep_shape(lambda square: answers.append(predict(square)) or answers[-1], image, size)
    return answers[-1]


def in_the_middle(predict, image, size):
    small, square = shrunk(image, size), np.full((size, size, 3), 114, np.uint8)
    h, w = small.shape[:2]
    top, left = (size - h) // 2, (size - w) // 2
    square[top : top + h, left : left + w] = small
    return cv2.resize(predict(square)[top : top + h, left : left + w], image.shape[1::-1])


def reflected(predict, image, size):
    small = shrunk(image, size, cv2.INTER_AREA)
    h, w = small.shape[:2]
    square = np.pad(small, ((0, size - h), (0, size - w), (0, 0)), mode="symmetric")
    return cv2.resize(predict(square)[:h, :w], image.shape[1::-1])


def input_by_numpy(image, mean, std):
    x = (image.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(x.transpose(2, 0, 1))[None]


def input_as_in_the_lesson(image, mean, std):
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    return (x - mean) / std


def mask_by_torch(prob, height, width, threshold):
    prob = torch.from_numpy(prob)[None, None]
    return torch.nn.functional.interpolate(prob, (height, width), mode="bilinear")[0, 0].numpy() > threshold


def mirror_by_cv2(predict, image):
    return np.mean([predict(image), cv2.flip(predict(cv2.flip(image, 1)), 1)], axis=0)


def mirror_by_fliplr(predict, image):
    return 0.5 * predict(image) + 0.5 * np.fliplr(predict(np.fliplr(image)))


def behind_by_difference(image, alpha, background):
    difference = image.astype(np.float32) - background
    return np.uint8(background + np.dstack([alpha] * 3) * difference)


def behind_by_colour(image, alpha, background):
    colours = [alpha * image[..., c] + (1 - alpha) * background[..., c] for c in range(3)]
    return np.stack(colours, axis=-1).clip(0, 255).astype(np.uint8)


def file_by_pillow(path, model, size, mean, std, threshold):
    """Written otherwise: Pillow and torch, no OpenCV."""
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
    x = input_by_numpy(np.array(picture.resize((size, size), Image.Resampling.BOX)), mean, std)
    logits = model(torch.from_numpy(x)).detach()
    probs = torch.nn.functional.interpolate(logits.sigmoid(), picture.size[::-1], mode="bilinear")
    return probs[0, 0] > threshold


def file_by_preprocessing(path, model, size, mean, std, threshold):
    """Written otherwise: the module's preprocessing, and the threshold as a logit."""
    from segkit.data import Preprocessing

    image, preprocessing = read_image(path), Preprocessing(size, mean, std)
    x = torch.from_numpy(preprocessing.resize(image)).permute(2, 0, 1)[None]
    probs = 1 / (1 + np.exp(-model(preprocessing.normalise(x))[0, 0].numpy()))
    return cv2.resize(probs, image.shape[1::-1]) > threshold


RIGHT = {
    "network_input": [input_by_numpy, input_as_in_the_lesson],
    "full_size_mask": [
        lambda p, h, w, t: cv2.resize(p, (w, h), interpolation=cv2.INTER_CUBIC) > t,
        mask_by_torch,
    ],
    "file_to_mask": [file_by_pillow, file_by_preprocessing],
    "mirror_average": [mirror_by_cv2, mirror_by_fliplr],
    "put_behind": [behind_by_difference, behind_by_colour],
    "keep_shape": [in_the_middle, reflected],
}


WRONG = {
    "network_input": [
        (lambda i, m, s: chw(flat(i, m, s)).astype(float), "float32"),
        (lambda i, m, s: chw(flat(i, m, s)) + 1, "its own mean"),
    ],
    "full_size_mask": [
        (lambda p, h, w, t: p > t, "network's size"),
        (lambda p, h, w, t: cv2.resize(p, (h, w)) > t, "on its side"),
        (lambda p, h, w, t: cv2.resize(p, (w, h)), "still probabilities"),
        (lambda p, h, w, t: (cv2.resize(p, (w, h)) > t).astype(np.uint8), "True and False"),
        (lambda p, h, w, t: cv2.resize(p, (w, h)) > 0.5, "cuts at 0.5"),
        (lambda p, h, w, t: cv2.resize(p, (w, h)) < t, "changed places"),
        (
            lambda p, h, w, t: cv2.resize(np.uint8(p > t), (w, h), interpolation=cv2.INTER_NEAREST) > 0,
            "stairs",
        ),
        (lambda p, h, w, t: cv2.resize((p > t).astype(np.float32), (w, h)) > 0.5, "stairs"),
        (lambda p, h, w, t: np.zeros((h, w), bool), "INTER_LINEAR"),
    ],
    "mirror_average": [
        (lambda f, i: np.maximum(f(i), f(i[:, ::-1])[:, ::-1]), "take the mean"),
    ],
    "put_behind": [
        (lambda i, a, b: i * a[..., None] + b, "shines through"),
        (lambda i, a, b: i * a[..., None] + b * (1 - a[..., None]), "uint8"),
        (lambda i, a, b: i + b, "uint8 restarts at 0"),
    ],
    "keep_shape": [
        (squeeze, "squeezed"),
        (crop, "no crop"),
        (padding_left_on, "cut the padding off"),
        (not_square, "takes a square"),
        (small_answer, "of shape (60, 120)"),
        (lambda f, i, s: np.zeros(i.shape[:2]), "never called"),
        (lambda f, i, s: solution.keep_shape(f, i, s) > 0.5, "floats"),
        (lambda f, i, s: (solution.keep_shape(f, i, s) > 0.5).astype(float), "uncut"),
        (lambda f, i, s: solution.keep_shape(f, i, s) * np.nan, "NaN"),
    ],
    "file_to_mask": [
        (lambda path, *_: np.zeros(read_image(path).shape[:2], bool), "never asked"),
        (lambda *a: solution.file_to_mask(*a).astype(np.uint8), "True and False"),
        (lambda p, m, s, *rest: solution.file_to_mask(p, m, s // 2, *rest), "normalised square"),
        (lambda p, m, s, *rest: np.roll(solution.file_to_mask(p, m, s, *rest), 30, 0), "in this order"),
    ],
}
