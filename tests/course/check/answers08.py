"""Right and common wrong answers to the exercises of notebook 08; test_answers.py asks the checks."""

import cv2
import numpy as np
import torch


def network_input(image, mean, std):
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    return (x - torch.tensor(mean).view(1, 3, 1, 1).float()) / torch.tensor(std).view(1, 3, 1, 1).float()


def full_size_mask(prob, height, width, threshold):
    return cv2.resize(prob, (width, height)) > threshold


def mirror_average(predict, image):
    return (predict(image) + predict(image[:, ::-1])[:, ::-1]) / 2


def put_behind(image, alpha, background):
    alpha = alpha[..., None]
    return (image * alpha + background * (1 - alpha)).round().astype(np.uint8)


def keep_shape(predict, image, size):
    height, width = image.shape[:2]
    scale = size / max(height, width)
    h, w = round(height * scale), round(width * scale)
    square = np.zeros((size, size, 3), np.uint8)
    square[:h, :w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return cv2.resize(predict(square)[:h, :w], (width, height))


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
    part = image[top : top + side, left : left + side]
    prob = np.zeros((height, width), np.float32)
    prob[top : top + side, left : left + side] = cv2.resize(
        predict(cv2.resize(part, (size, size))), (side, side)
    )
    return prob


def padding_left_on(predict, image, size):
    height, width = image.shape[:2]
    scale = size / max(height, width)
    h, w = round(height * scale), round(width * scale)
    square = np.zeros((size, size, 3), np.uint8)
    square[:h, :w] = cv2.resize(image, (w, h))
    return cv2.resize(predict(square), (width, height))


def not_square(predict, image, size):
    height, width = image.shape[:2]
    scale = size / max(height, width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)))
    return cv2.resize(predict(small), (width, height))


def small_answer(predict, image, size):
    answers = []
    keep_shape(lambda square: answers.append(predict(square)) or answers[-1], image, size)
    return answers[-1]


def in_the_middle(predict, image, size):
    height, width = image.shape[:2]
    scale = size / max(height, width)
    h, w = round(height * scale), round(width * scale)
    top, left = (size - h) // 2, (size - w) // 2
    square = np.full((size, size, 3), 114, np.uint8)
    square[top : top + h, left : left + w] = cv2.resize(image, (w, h))
    return cv2.resize(predict(square)[top : top + h, left : left + w], (width, height))


RIGHT = [
    ("network_input", network_input),
    ("full_size_mask", full_size_mask),
    ("mirror_average", mirror_average),
    ("put_behind", put_behind),
    ("keep_shape", keep_shape),
    ("keep_shape", in_the_middle),
]


WRONG = [
    ("network_input", lambda i, m, s: flat(i, m, s), "permute(2, 0, 1)[None]"),
    ("network_input", lambda i, m, s: flat(i, m, s)[None], "channels are still last"),
    ("network_input", lambda i, m, s: chw(flat(i, m, s))[0], "a batch, even of one"),
    ("network_input", lambda i, m, s: flat(i, m, s).transpose(2, 1, 0)[None], "rows and columns"),
    ("network_input", lambda i, m, s: chw(flat(i, m, s)).astype(float), "float32"),
    ("network_input", lambda i, m, s: chw(flat(i, m, s, 1.0)), "in [0, 1]"),
    ("network_input", lambda i, m, s: chw(i), "raw numbers"),
    ("network_input", lambda i, m, s: chw(i / 255), "and then nothing"),
    ("network_input", lambda i, m, s: chw(i / 255 - np.array(m)), "nothing was divided"),
    ("network_input", lambda i, m, s: chw(i / 255 / np.array(s)), "never subtracted"),
    ("network_input", lambda i, m, s: chw((i / 255 - np.array(m)) * np.array(s)), "do not multiply"),
    ("network_input", lambda i, m, s: chw(flat(i[..., ::-1], m, s)), "red and blue"),
    ("network_input", lambda i, m, s: chw(flat(i, m, s)) + 1, "its own mean"),
    ("full_size_mask", lambda p, h, w, t: p > t, "network's size"),
    ("full_size_mask", lambda p, h, w, t: cv2.resize(p, (h, w)) > t, "on its side"),
    ("full_size_mask", lambda p, h, w, t: cv2.resize(p, (w, h)), "still probabilities"),
    ("full_size_mask", lambda p, h, w, t: (cv2.resize(p, (w, h)) > t).astype(np.uint8), "True, False"),
    ("full_size_mask", lambda p, h, w, t: cv2.resize(p, (w, h)) > 0.5, "cuts at 0.5"),
    ("full_size_mask", lambda p, h, w, t: cv2.resize(p, (w, h)) < t, "changed places"),
    (
        "full_size_mask",
        lambda p, h, w, t: cv2.resize((p > t).astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST) > 0,
        "stairs",
    ),
    ("full_size_mask", lambda p, h, w, t: cv2.resize((p > t).astype(np.float32), (w, h)) > 0.5, "stairs"),
    ("full_size_mask", lambda p, h, w, t: np.zeros((h, w), bool), "INTER_LINEAR"),
    ("mirror_average", lambda f, i: f(i), "was not asked"),
    ("mirror_average", lambda f, i: f(i[:, ::-1]), "still looks the wrong way"),
    ("mirror_average", lambda f, i: f(i[:, ::-1])[:, ::-1], "take the mean of both"),
    ("mirror_average", lambda f, i: (f(i) + f(i[:, ::-1])) / 2, "mirror it back first"),
    ("mirror_average", lambda f, i: f(i) + f(i[:, ::-1])[:, ::-1], "this is the sum"),
    ("mirror_average", lambda f, i: (f(i) + f(i[::-1])[::-1]) / 2, "upside down"),
    ("mirror_average", lambda f, i: (f(i) + f(i[..., ::-1])) / 2, "red and blue"),
    ("mirror_average", lambda f, i: np.maximum(f(i), f(i[:, ::-1])[:, ::-1]), "take the mean"),
    ("mirror_average", lambda f, i: f(i).mean(), "one probability per pixel"),
    ("put_behind", lambda i, a, b: put_behind(b, a, i), "changed places"),
    ("put_behind", lambda i, a, b: np.where(a[..., None] > 0.5, i, b), "hard cut"),
    ("put_behind", lambda i, a, b: (i * a[..., None]).astype(np.uint8), "on black"),
    ("put_behind", lambda i, a, b: i * a[..., None] + b, "shines through"),
    ("put_behind", lambda i, a, b: i * a[..., None] + b * (1 - a[..., None]), "uint8"),
    ("put_behind", lambda i, a, b: i + b, "start again at 0"),
    ("put_behind", lambda i, a, b: a, "same shape"),
    ("keep_shape", squeeze, "squeezed"),
    ("keep_shape", crop, "do not crop"),
    ("keep_shape", padding_left_on, "cut the padding off"),
    ("keep_shape", not_square, "takes a square"),
    ("keep_shape", small_answer, "back to the photograph's size"),
    ("keep_shape", lambda f, i, s: np.zeros(i.shape[:2]), "never called"),
]
