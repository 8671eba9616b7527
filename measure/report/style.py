"""How the report looks: on paper and screens, light and dark, from the width of a phone on."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #667085; --line: #e2e6ec; --page: #fff; --card: #f6f8fa;
  --m0: #1f6fd6; --m1: #d9661b; --m2: #2c8f3c; --m3: #8a3fa8; --m4: #c22f3d; --m5: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #2d3440; --page: #12151b;
  --card: #1a1f28; --m0: #6aa8f7; --m1: #f59a5b; --m2: #6fce7f; --m3: #c68be0; --m4: #f2777f; --m5: #a3abb8; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 16px; }
h1 { font-size: 24px; margin: 8px 0; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 32px 0 8px; border-bottom: 1px solid var(--line); padding-bottom: 4px; }
h3 { font-size: 15px; margin: 16px 0 6px; }
p { margin: 6px 0; overflow-wrap: anywhere; } small, .about, figcaption { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th { font-weight: 600; min-width: 76px; } th small { font-weight: 400; } td, td small { white-space: nowrap; }
tr > th:first-child { min-width: 110px; text-align: left; position: sticky; left: 0; background: var(--page); }
.name { white-space: nowrap; } .name i { display: inline-block; width: 10px; height: 10px; border-radius: 5px;
  margin-right: 6px; background: currentColor; } .name { margin-right: 12px; }
.m0 { --c: var(--m0); } .m1 { --c: var(--m1); } .m2 { --c: var(--m2); } .m3 { --c: var(--m3); } .m4 { --c: var(--m4); }
.m5 { --c: var(--m5); } .name i { background: var(--c, var(--m5)); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px; }
.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
figure { margin: 0; background: var(--card); border-radius: 8px; padding: 8px; }
figcaption { overflow-wrap: anywhere; } img { width: 100%; height: auto; display: block; border-radius: 4px; }
svg { width: 100%; height: auto; display: block; } svg text { font-size: 10px; fill: var(--soft); }
svg .grid { stroke: var(--line); } svg .line { fill: none; stroke: var(--c, var(--m5)); stroke-width: 2; }
.bar { min-width: 150px; } .bar b { display: inline-block; height: 10px; width: calc(var(--w) * 80px);
  margin-right: 8px; background: var(--c, var(--m5)); border-radius: 2px; }
.confusion td { background: color-mix(in srgb, var(--m0) calc(var(--h) * 65%), transparent); padding: 3px 7px; }
.confusion .up { min-width: 0; writing-mode: vertical-rl; transform: rotate(180deg); padding: 7px 3px;
  text-align: left; }
.there { color: #2f9a24; } .seen { color: #2a8fe0; } .lost { color: #c98a00; } .wrong { color: #e5433a; }
"""
