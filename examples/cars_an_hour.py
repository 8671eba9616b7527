"""How many cars an hour, from the events of a run that has tracked: each car counts once in each hour.

    python examples/cars_an_hour.py OUT [LABEL]

OUT has what `watchline annotate … --track --out OUT` or `watchline run … --track --out OUT` wrote. Hours are those of
the clock for cameras, and those of the video for files. It needs pandas.
"""

import sys

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

label = sys.argv[2] if len(sys.argv) > 2 else "car"
rows = watchline.read_events(sys.argv[1]).to_pandas()
rows = rows[(rows.label == label) & rows.track.notna()]
hours = rows.time.dt.strftime("%Y-%m-%d %H:00").fillna("hour " + (rows.seconds // 3600 + 1).astype(int).astype(str))
cars = rows.groupby(["stream", hours, "epoch"], dropna=False).track.nunique()  # numbers begin anew in each epoch
for (stream, hour), count in cars.groupby(level=[0, 1]).sum().items():
    print(f"{stream}, {hour}: {count} {label}")
