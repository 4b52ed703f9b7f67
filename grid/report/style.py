"""The page's style sheet: dark on white, the system's font, for screens of any width and for paper."""

CSS = """
:root { color-scheme: light; }
html { scroll-padding-top: 3.2rem; }
body.echolm { margin: 0 auto; max-width: 76rem; padding: 1.2rem 1.25rem 5rem; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1d2330; background: #fff; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .2rem; overflow-wrap: anywhere; }
.echolm h2 { font-size: 1.2rem; margin: 2.6rem 0 .5rem; border-bottom: 2px solid #1d2330; padding-bottom: .15rem; }
h3, .echolm section section h2 { font-size: 1.02rem; margin: 1.6rem 0 .4rem; border: 0; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 60rem; }
a { color: #1b5fb0; text-decoration: none; }
a:hover { text-decoration: underline; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible, pre:focus-visible { outline: 2px solid #1b5fb0; outline-offset: 1px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: .3rem; background: #fff; z-index: 9; }
nav.parts { position: sticky; top: 0; z-index: 6; background: #fff; border-bottom: 1px solid #d5d9e2; margin: .8rem -1.25rem 0; padding: .45rem 1.25rem; display: flex; gap: .2rem 1.1rem; overflow-x: auto; white-space: nowrap; }
nav.inner { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .9rem; } .echolm nav.inner a { white-space: normal; margin: 0; }
.facts { display: flex; flex-wrap: wrap; gap: .5rem; margin: .9rem 0 0; padding: 0; list-style: none; }
.facts li { border: 1px solid #d5d9e2; border-radius: .5rem; padding: .35rem .8rem; } .facts b { font-size: 1.1rem; font-weight: 650; margin-right: .3rem; }
.facts .bad { border-color: #c9372c; background: #fdf0ee; } .facts .note { background: #f5f7fa; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .3rem 0; }
th, td { text-align: left; font-weight: 400; padding: .18rem .7rem; white-space: nowrap; vertical-align: top; }
thead th { font-weight: 600; border-bottom: 1px solid #1d2330; background: #fff; vertical-align: bottom; }
table:not(.numbers):not(.card table) tbody tr + tr > * { border-top: 1px solid #eceef3; }
th.n, td.n { text-align: right; }
code, pre { font: .88em ui-monospace, "DejaVu Sans Mono", monospace; background: #f1f3f7; border-radius: .25rem; }
code { padding: .05rem .3rem; overflow-wrap: anywhere; } pre { padding: .6rem; overflow: auto; max-height: 24rem; }
small, .legend, .caption { color: #4d5566; font-size: .87rem; }
.key { margin-right: .9rem; white-space: nowrap; } .key i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .35em; }
figure { margin: 0; } figcaption { line-height: 1.3; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 13.6rem), 1fr)); gap: .6rem 1rem; margin: .5rem 0; }
.chart { width: 100%; max-width: 24rem; height: auto; display: block; } .chart text { font: 10.5px system-ui, "DejaVu Sans", sans-serif; fill: #4d5566; }
.chart .grid line { stroke: #e4e7ee; } .chart .axis { fill: #7b8394; }
.boxes td.scale, .boxes th.scale { width: 60%; min-width: 14rem; padding: 0 .9rem; vertical-align: middle; position: relative; }
.boxes svg { display: block; width: 100%; overflow: visible; } .boxes { width: 100%; margin: .8rem 0 1.4rem; }
.runs { font-size: .87rem; }
.ticks { position: relative; display: block; height: 1.3em; } .ticks i { position: absolute; transform: translateX(-50%); font-style: normal; color: #4d5566; font-weight: 400; font-size: .85rem; }
.setting { border-top: 1px solid #c3c9d6; padding-top: .2rem; margin-top: 1.6rem; } .setting:target { background: linear-gradient(#eef4fc, #fff 5rem); }
.contours { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: .6rem 1.2rem; margin: .5rem 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 3px; } .pair svg { width: 100%; display: block; background: #000; } .pair text { font: 600 8px system-ui, "DejaVu Sans", sans-serif; fill: #fff; stroke: #000; stroke-width: 1.6px; paint-order: stroke; }
svg.frames { position: absolute; }
.bar { display: block; width: 7rem; height: .7em; margin-top: .4em; background: #eceef3; } .bar i { display: block; height: 100%; background: #1f6fb4; }
.state { font-weight: 600; } .state.failed, .state.diverged { color: #b3261e; } .state.pending, .state.unknown { color: #4d5566; } .state.running, .state.interrupted { color: #8a5a00; }
.failures .kind { color: #b3261e; margin-right: .5rem; } .failures li, .missing li { margin: .4rem 0; }
details > summary { cursor: pointer; }
@media (min-width: 62rem) { .scroll:not(:has(.runs)) { overflow: visible; } .scroll:not(:has(.runs)) thead th { position: sticky; top: 2.35rem; z-index: 3; } }
@media (max-width: 40rem) { body.echolm { padding: .8rem .8rem 4rem; font-size: 14px; } nav.parts { margin: .6rem -.8rem 0; padding: .45rem .8rem; } th, td { padding: .18rem .45rem; } .boxes tbody th { white-space: normal; min-width: 6.5rem; } .boxes td.scale, .boxes th.scale { min-width: 9rem; padding: 0 .5rem; } }
@media (min-width: 62rem) { .echolm .numbers > thead th { position: sticky; top: 2.35rem; z-index: 3; } }
@media (max-width: 62rem) { .echolm table.numbers { display: block; overflow-x: auto; } .echolm .numbers > thead th, .echolm .numbers > tbody > tr > * { padding-left: .45rem; padding-right: .45rem; }
  .echolm .card { position: fixed; left: .5rem; right: .5rem; top: auto; bottom: .5rem; width: auto; max-width: none; max-height: 60vh; overflow: auto; } }
@media print { nav.parts, .skip { display: none; } body { max-width: none; font-size: 10pt; } figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } .scroll { overflow: visible; } thead th { position: static; } .bar i, .key i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
