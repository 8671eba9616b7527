"""A video in MOT Challenge's layout: three who walk, and the boxes of a detector that sees them well."""

import numpy as np
from clips import write_clip

FRAMES, RATE, SIZE = 20, 10, (320, 120)
INFO = f"[Sequence]\nname=x\nframeRate={RATE}\nseqLength={FRAMES}\nimWidth={SIZE[0]}\nimHeight={SIZE[1]}\n"


def rows(counts=1):
    """(N, 10) rows of gt.txt: two who walk to the right, and one who comes later. Args: counts, whether all do."""
    return np.array(
        [
            (index + 1, who + 1, 20 + 90 * who + 3 * index, 30, 20, 50, counts, -1, -1, -1)
            for index in range(FRAMES)
            for who in range(3)
            if who < 2 or index >= 8
        ],
        np.float64,
    )


def write_video(folder, video=True):
    """Write `gt/gt.txt`, `seqinfo.ini` and the frames. Args: video, whether there is one."""
    (folder / "gt").mkdir(parents=True)
    np.savetxt(folder / "gt" / "gt.txt", rows(), delimiter=",", fmt="%g")
    (folder / "seqinfo.ini").write_text(INFO)
    if video:
        write_clip(folder / "video.mp4", FRAMES, SIZE, rate=RATE)
    return folder


def write_boxes(file, score=0.9):
    """Write the true boxes as those of a detector."""
    truth = rows()
    np.save(file, np.concatenate([truth[:, :1], 0 * truth[:, :1] - 1, truth[:, 2:6], 0 * truth[:, :1] + score], axis=1))
    return file
