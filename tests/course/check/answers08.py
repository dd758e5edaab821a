"""Right and common wrong answers to the exercises of notebook 08; test_answers.py asks the checks."""

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps
from solutions import solutions

from segkit import read_image
from segkit.data import Preprocessing

solution = solutions("08")
changed = solution.changed


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


def in_the_middle(predict, image, size):
    scale, square = size / max(image.shape[:2]), np.full((size, size, 3), 114, np.uint8)
    small = cv2.resize(image, [round(side * scale) for side in image.shape[1::-1]])
    h, w = small.shape[:2]
    top, left = (size - h) // 2, (size - w) // 2
    square[top : top + h, left : left + w] = small
    return cv2.resize(predict(square)[top : top + h, left : left + w], image.shape[1::-1])


def input_by_numpy(image, mean, std):
    x = (image.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(x.transpose(2, 0, 1))[None]


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


def hidden_colours(path):
    return np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))


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
    image, preprocessing = read_image(path), Preprocessing(size, mean, std)
    x = torch.from_numpy(preprocessing.resize(image)).permute(2, 0, 1)[None]
    probs = 1 / (1 + np.exp(-model(preprocessing.normalise(x))[0, 0].numpy()))
    return cv2.resize(probs, image.shape[1::-1]) > threshold


REFLECTED = 'np.pad(square[:h, :w], ((0, size - h), (0, size - w), (0, 0)), mode="symmetric")'
RESIZED = "cv2.resize(predict(square)[:h, :w], (width, height), interpolation=cv2.INTER_LINEAR)"

RIGHT = {
    "network_input": [
        input_by_numpy,
        lambda i, m, s: Preprocessing(8, m, s).normalise(torch.from_numpy(i).permute(2, 0, 1)[None]),
    ],
    "full_size_mask": [
        lambda p, h, w, t: cv2.resize(p, (w, h), interpolation=cv2.INTER_CUBIC) > t,
        mask_by_torch,
    ],
    "file_to_mask": [file_by_pillow, file_by_preprocessing],
    "mirror_average": [mirror_by_cv2, mirror_by_fliplr],
    "put_behind": [
        behind_by_difference,
        behind_by_colour,
        lambda i, a, b: np.uint8(i * a[..., None]) + np.uint8(b * (1 - a[..., None])),
    ],
    "keep_shape": [
        in_the_middle,
        changed(
            "keep_shape", "np.zeros((size, size, 3), np.uint8)", "np.full((size, size, 3), 255, np.uint8)"
        ),
        changed("keep_shape", "predict(square)", f"predict({REFLECTED})"),
    ],
}


WRONG = {
    "network_input": [
        ("(x - mean) / std", "((x - mean) / std).double()", "float32"),
        ("(x - mean) / std", "(x - mean) / std + 1", "its own mean"),
    ],
    "full_size_mask": [
        (lambda p, h, w, t: p > t, "network's size"),
        ("(width, height)", "(height, width)", "on its side"),
        (" > threshold", "", "still probabilities"),
        ("LINEAR", "NEAREST", "resize prob smoothly"),
        (lambda *given: 1 * solution.full_size_mask(*given), "True and False"),
        ("> threshold", "> 0.5", "cuts at 0.5"),
        ("> threshold", "< threshold", "changed places"),
        ("LINEAR) > threshold", "NEAREST) > 0", "resize(prob", "resize(np.uint8(prob > threshold)", "stairs"),
        (") > threshold", ") > 0.5", "resize(prob", "resize(np.float32(prob > threshold)", "stairs"),
        (lambda p, h, w, t: np.zeros((h, w), bool), "INTER_LINEAR"),
    ],
    "mirror_average": [
        (lambda f, i: np.maximum(f(i), f(i[:, ::-1])[:, ::-1]), "take the mean"),
    ],
    "put_behind": [
        ("background * (1 - alpha)", "background", ".round().astype(np.uint8)", "", "shines through"),
        (".round().astype(np.uint8)", "", "uint8"),
        (lambda i, a, b: i + b, "uint8 restarts at 0"),
    ],
    "keep_shape": [
        (squeeze, "squeezed"),
        (crop, "no crop"),
        ("predict(square)[:h, :w]", "predict(square)", "no padding out"),
        ("predict(square)[:h, :w]", "predict(square[:h, :w])", "takes a square"),
        (RESIZED, "predict(square)", "of shape (60, 120)"),
        (lambda f, i, s: np.full(i.shape[:2], 0.4), "not predict's answer"),
        (RESIZED, f"{RESIZED} > 0.5", "floats"),
        (RESIZED, f"np.round({RESIZED})", "uncut"),
        (RESIZED, f"{RESIZED} * np.nan", "NaN"),
    ],
    "file_to_mask": [
        ("INTER_AREA", "INTER_LINEAR", "must average"),
        (changed("file_to_mask", read_image=hidden_colours), "transparent"),
        (lambda path, *_: np.zeros(read_image(path).shape[:2], bool), "normalise, model, sigmoid"),
        ("return", "return 1 *", "True and False"),
        (
            "small = cv2.resize(image, (size, size)",
            "small = cv2.resize(image, (size // 2, size // 2)",
            "normalised square",
        ),
        ("return", "return np.roll(", "2], threshold)", "2], threshold), 30, 0)", "in this order"),
    ],
}
