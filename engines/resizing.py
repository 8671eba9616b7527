"""How pictures become the input of a model: the values in its metadata. `ops/letterbox.py` implements them."""

RESIZES = ("letterbox", "letterbox-center", "stretch", "letterbox-darknet", "letterbox-floor")
"""Keep the aspect ratio, with the picture at the top left or in the middle; or stretch it to fill the input. The last
two have its sides rounded down, in the middle as Darknet does, and at the top left as YOLOX and torchvision do."""

PAD = (114, 114, 114)
"""BGR of the letterbox's padding if the metadata has none. YOLO networks are trained with it."""
