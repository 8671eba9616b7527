"""The page on which zones and lines are drawn over a still: one file, which loads nothing."""

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from watchline.streams.frame import Image
from watchline.streams.jpeg import encode

QUALITY = 85  # of the still

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline';
  script-src 'unsafe-inline'; connect-src 'self'">
<title>Zones of %(stream)s</title>
<style>
  :root { color-scheme: light dark; }
  body { margin: 0; padding: 12px; font: 15px/1.5 system-ui, sans-serif; }
  #still { position: relative; max-width: 1280px; }
  #still img, #still svg { display: block; width: 100%%; }
  #still svg { position: absolute; inset: 0; height: 100%%; touch-action: none; overflow: visible; }
  polygon { fill: #2b9dff33; stroke: #2b9dff; } line, path { stroke: #ffe03d; fill: none; }
  polygon, line, path { stroke-width: 2; vector-effect: non-scaling-stroke; }
  .chosen { stroke: #ff4d6d; } circle { fill: #fff; stroke: #111; cursor: move; }
  nav { display: flex; flex-wrap: wrap; gap: 8px; margin: 8px 0; } #said { min-height: 1.5em; }
</style></head><body>
<h1>%(stream)s</h1>
<nav>
  <button id="zone">New zone</button> <button id="line">New line</button>
  <select id="choice" aria-label="zone or line"></select>
  <input id="name" maxlength="40" aria-label="name"> <button id="remove">Remove</button> <button id="save">Save</button>
</nav>
<p>Click corners; a double click or Enter closes a zone. Drag corners to move them. A line's arrow points to in.</p>
<p id="said" role="status"></p>
<div id="still"><img src="data:image/jpeg;base64,%(still)s" alt="a still">
<svg viewBox="0 0 %(width)d %(height)d"></svg></div>
<script type="application/json" id="shapes">%(shapes)s</script>
<script>
  const [W, H] = [%(width)d, %(height)d];
  const at = (id) => document.getElementById(id);
  const svg = document.querySelector("svg");
  const shapes = JSON.parse(at("shapes").textContent);
  let chosen = shapes.length ? 0 : -1, drawing = false, dragged = -1;
  const made = (name, attributes) => {
    const node = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    return node;
  };
  const show = () => {
    svg.replaceChildren();
    shapes.forEach(({ kind, points }, n) => {
      const pixels = points.map(([x, y]) => [x * W, y * H]), look = { class: n === chosen ? "chosen" : "" };
      if (kind === "zones") made("polygon", { ...look, points: pixels.join(" ") });
      else if (pixels.length === 2) {
        const [[a, b], [c, d]] = pixels, long = Math.hypot(c - a, d - b) || 1, reach = W / 40;
        const [x, y] = [(a + c) / 2, (b + d) / 2], [u, v] = [((c - a) / long) * reach, ((d - b) / long) * reach];
        made("line", { ...look, x1: a, y1: b, x2: c, y2: d });
        const tip = `${x - v},${y + u}`, wing = (s) => `${x - v * 0.6 + s * u * 0.4},${y + u * 0.6 + s * v * 0.4}`;
        made("path", { ...look, d: `M${x},${y} L${tip} M${wing(1)} L${tip} L${wing(-1)}` });
      }
      if (n === chosen) pixels.forEach(([x, y], corner) => {
        made("circle", { cx: x, cy: y, r: W / 120 }).onpointerdown = (event) => {
          if (!drawing) { dragged = corner; svg.setPointerCapture?.(event.pointerId); }
        };
      });
    });
    at("choice").replaceChildren(...shapes.map(({ kind, name }, n) =>
      new Option(`${kind === "zones" ? "zone" : "line"} ${name}`, n, false, n === chosen)));
    at("name").value = chosen < 0 ? "" : shapes[chosen].name;
  };
  const place = (event) => {
    const box = svg.getBoundingClientRect(), within = (share) => Math.min(Math.max(share, 0), 1);
    const share = (pixel, low, size) => Math.round(within((pixel - low) / size) * 1e4) / 1e4;
    return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
  };
  const begin = (kind, word) => () => {
    close();
    let n = 1;
    while (shapes.some((shape) => shape.kind === kind && shape.name === `${word}-${n}`)) n += 1;
    chosen = shapes.push({ kind, name: `${word}-${n}`, was: null, points: [] }) - 1;
    drawing = true;
    show();
  };
  const close = () => {
    if (drawing && shapes[chosen].points.length < (shapes[chosen].kind === "zones" ? 3 : 2)) {
      shapes.splice(chosen, 1);
      chosen = shapes.length - 1;
    }
    drawing = false;
    show();
  };
  svg.onclick = (event) => {
    if (!drawing) return;
    const { kind, points } = shapes[chosen], corner = place(event);
    if (String(points.at(-1)) !== String(corner)) points.push(corner);
    if (kind === "lines" && points.length === 2) drawing = false;
    show();
  };
  svg.ondblclick = close;
  svg.onpointermove = (event) => { if (dragged >= 0) { shapes[chosen].points[dragged] = place(event); show(); } };
  svg.onpointerup = () => { dragged = -1; };
  document.onkeydown = (event) => { if (event.key === "Enter") close(); };
  at("zone").onclick = begin("zones", "zone");
  at("line").onclick = begin("lines", "line");
  at("choice").onchange = () => { close(); chosen = Number(at("choice").value); show(); };
  at("name").oninput = () => {
    if (chosen < 0) return;
    shapes[chosen].name = at("name").value;
    at("choice").options[chosen].text = `${shapes[chosen].kind === "zones" ? "zone" : "line"} ${shapes[chosen].name}`;
  };
  at("remove").onclick = () => {
    if (chosen >= 0) shapes.splice(chosen, 1);
    [drawing, chosen] = [false, shapes.length - 1];
    show();
  };
  at("save").onclick = async () => {
    close();
    try {
      const answer = await fetch("save", { method: "POST", body: JSON.stringify(shapes) });
      at("said").textContent = await answer.text();
      if (answer.ok) shapes.forEach((shape) => (shape.was = shape.name));
    } catch { at("said").textContent = "nobody listens any more: start `watchline zones` again"; }
  };
  show();
</script></body></html>
"""


def page(stream: str, still: Image, shapes: Sequence[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        stream: its name.
        still: (H, W, 3) uint8 BGR.
        shapes: what is there already: kind ("zones" or "lines"), name, was (the name in the config) and points, in
            shares of the picture.
    """
    height, width = still.shape[:2]
    return PAGE % {
        "stream": escape(stream),
        "still": base64.b64encode(encode(still, QUALITY).tobytes()).decode(),
        "width": width,
        "height": height,
        "shapes": json.dumps(shapes).replace("<", "\\u003c"),
    }
