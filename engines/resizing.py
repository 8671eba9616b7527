"""How pictures become the input of a model: the values in its metadata. `ops/letterbox.py` implements them."""

RESIZES = ("letterbox", "letterbox-center", "stretch", "letterbox-darknet")
"""Keep the aspect ratio, with the picture at the top left or in the middle; or stretch it to fill the input. The last
has the picture in the middle with its sides rounded down, as Darknet does."""

PAD = (114, 114, 114)
"""BGR of the letterbox's padding if the metadata has none. YOLO networks are trained with it."""
