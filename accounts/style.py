"""How a page looks, in light and in dark."""

from __future__ import annotations

STYLE = """\
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1d1f23; --soft: #62676f; --line: #dcdee2;
  --whole: #3f7d58; --cut: #b9770e; --weak: #9a8a3c; --cancelled: #9aa0a8; --failed: #b3362f;
  --open: #6b5fa8; --tool: #2f6fb0; --call: #3b4757;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181c; --card: #1e2126; --ink: #e6e7ea; --soft: #9da3ac; --line: #343941;
    --whole: #67b286; --cut: #e0a443; --weak: #c4b465; --cancelled: #6d737c; --failed: #ea7a72;
    --open: #a79be0; --tool: #72aee8; --call: #d5dae2;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1064px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 22px; margin: 0 0 12px; }
h2 { font-size: 17px; margin: 36px 0 10px; }
h3 { font-size: 13px; font-weight: 600; margin: 0 0 4px; color: var(--soft);
  overflow-wrap: anywhere; }
pre { margin: 0; padding: 8px 10px; white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--card); border: 1px solid var(--line); border-radius: 6px;
  font: 13px/1.5 ui-monospace, monospace; unicode-bidi: plaintext; }
pre + pre { margin-top: 6px; }
.turn pre, .fold pre { max-height: 340px; overflow-y: auto; }
pre.question { margin-bottom: 8px; border-left: 4px solid var(--tool); font-size: 15px; }
pre.answer { border-left: 4px solid var(--whole); font-size: 15px; }
pre.thinking { color: var(--soft); font-style: italic; }
pre.failed { border-left: 4px solid var(--failed); }
.note { color: var(--soft); margin: 8px 0; font-size: 13px; }
.figures { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 14px 0 0; }
.figures dt { color: var(--soft); font-size: 12px; }
.figures dd { margin: 0; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.walks, .walks ol { list-style: none; margin: 0; padding: 0; }
.walk { display: flex; gap: 12px; padding: 4px 0; }
.walk .where { flex: 0 0 170px; padding-top: 6px; color: var(--soft); font-size: 13px;
  overflow-wrap: anywhere; }
.walk ol { display: flex; flex-wrap: wrap; gap: 6px 0; min-width: 0; }
.step { display: flex; flex-direction: column; position: relative; margin-right: 26px;
  max-width: 100%; padding: 3px 10px; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; font-size: 13px; }
.step:not(:last-child)::after { content: "→"; position: absolute; right: -20px; top: 10px;
  color: var(--soft); }
.step i { font-style: normal; font-size: 12px; color: var(--soft); overflow-wrap: anywhere; }
.timeline { display: block; font: 12px system-ui, sans-serif; }
.timeline text { fill: var(--ink); }
.timeline .axis { fill: var(--soft); }
.timeline .grid { stroke: var(--line); }
.bar { fill: var(--whole); opacity: .5; }
.bar.cut, .bar.budget, .bar.deadline { fill: var(--cut); }
.bar.weak { fill: var(--weak); }
.bar.cancelled { fill: var(--cancelled); }
.bar.failed, .bar.refused { fill: var(--failed); }
.bar.open { fill: var(--open); }
.timeline .tool { fill: var(--tool); }
.timeline .call { fill: var(--call); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; margin: 8px 0 0;
  padding: 0; font-size: 13px; color: var(--soft); }
.legend li::before { content: ""; display: inline-block; width: 10px; height: 10px;
  margin-right: 6px; border-radius: 2px; background: var(--whole); }
.legend .cut::before { background: var(--cut); }
.legend .weak::before { background: var(--weak); }
.legend .cancelled::before { background: var(--cancelled); }
.legend .failed::before { background: var(--failed); }
.legend .open::before { background: var(--open); }
.legend .tool::before { background: var(--tool); }
.legend .call::before { background: var(--call); }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 18px 4px 0; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; }
tbody th { font-weight: 500; }
.share { min-width: 190px; padding-left: 18px; text-align: left;
  white-space: nowrap; }
.share span { display: inline-block; height: 8px; max-width: 110px; margin-right: 8px;
  background: var(--tool); border-radius: 2px; }
details { margin: 0 0 10px; border: 1px solid var(--line); border-radius: 8px; }
summary { padding: 8px 12px; cursor: pointer; overflow-wrap: anywhere; }
.fold { margin: 0 0 6px; border: none; }
.fold summary { padding: 0 0 4px; color: var(--soft); font-size: 13px; }
.fold[open] { padding-left: 10px; border-left: 1px solid var(--line); border-radius: 0; }
h4 { font-size: 12px; font-weight: 600; margin: 8px 0 3px; color: var(--soft); }
a { color: var(--tool); }
.facts { color: var(--soft); font-size: 13px; }
.turn { margin: 0 12px 12px; padding-left: 10px; border-left: 3px solid var(--line); }
.turn.called { border-color: var(--tool); }
.turn.passed { border-color: var(--whole); }
.turn.judged.failed { border-color: var(--failed); }
.turn.chosen { border-color: var(--open); }
"""
