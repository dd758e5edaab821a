"""MediaPipe's selfie segmenter on photographs: run by bench.py in an environment of its own (without segkit).

Standard input: JSON with model, images (paths), out (a folder for N.npy, bool (H, W)), threads, and size
(width, height). Standard output: milliseconds per photograph brought to that size, without decoding. The
steps are those of MediaPipe's own graph: resize to the network's size, divide by 255, network, resize the
answer back, threshold 0.5.
"""

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

job = json.load(sys.stdin)
cv2.setNumThreads(job["threads"])
package = Path(find_spec("mediapipe").submodule_search_locations[0])
file = package / "modules" / "selfie_segmentation" / f"{job['model']}.tflite"
network = Interpreter(str(file), num_threads=job["threads"])
network.allocate_tensors()
given, answer = network.get_input_details()[0], network.get_output_details()[0]
_, height, width, _ = given["shape"]


def mask_of(photo: np.ndarray) -> np.ndarray:
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_LINEAR)
    network.set_tensor(given["index"], (small[None] / 255).astype(np.float32))
    network.invoke()
    prob = network.get_tensor(answer["index"])[0, ..., 0]
    return cv2.resize(prob, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5


times = []
for i, path in enumerate(job["images"]):
    photo = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    np.save(Path(job["out"]) / f"{i}.npy", mask_of(photo))
    photo = cv2.resize(photo, job["size"])
    start = time.perf_counter()
    mask_of(photo)
    times.append(1000 * (time.perf_counter() - start))
print(json.dumps(times))
