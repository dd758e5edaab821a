"""The right answer of notebook 12 is what segkit does."""

import numpy as np
from solutions import solutions


def test_the_exercise_drops_the_frames_that_segkit_drops():
    from segkit.video.live import follow

    now = [0.0]

    class Slow:
        def __call__(self, image):
            now[0] += 0.05
            return np.zeros(image.shape[:2], np.float32)

        def foreground(self, prob):
            return prob

    def sleep(seconds):
        now[0] += seconds

    report = follow(Slow(), [np.zeros((2, 2, 3), np.uint8)] * 12, 30, clock=lambda: now[0], sleep=sleep)
    assert report.shown == solutions("12").frames_kept(30, 50, 12)
    assert report.dropped == 12 - len(report.shown)
