/** The style of the report. Light and dark follow the reader's setting. */
export const STYLE = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--line:#dfe3ea;--text:#1b2330;--soft:#5a6576;--rail:#b9c2d0;
--full:#2457c5;--copy:#6f4bc4;--inc:#1f8a70;--diff:#c07a12;--good:#1a7f4b;--warn:#9a6700;--bad:#c02b2b;--tint:#eef1f6;
--h0:#eceff4;--h1:#b9d3f6;--h2:#86b2ec;--h3:#5390de;--h4:#2466bd;--h5:#123f82;
--r0:#eceff4;--r1:#e9dcc0;--r2:#cfe3c3;--r3:#93cbaa;--r4:#4aa58a;--r5:#17705f}
@media(prefers-color-scheme:dark){:root{--bg:#12161d;--card:#1a2029;--line:#2c3542;--text:#e4e9f1;--soft:#9aa7b8;--rail:#465264;
--full:#7aa5ff;--copy:#b79bff;--inc:#4fc3a1;--diff:#e8aa4e;--good:#4cc38a;--warn:#e3b341;--bad:#ff7b72;--tint:#232b37;
--h0:#232b37;--h1:#2a528f;--h2:#3a73c4;--h3:#5e9bea;--h4:#96c2f8;--h5:#dcebff;
--r0:#232b37;--r1:#5a4a2a;--r2:#34553a;--r3:#2f7a5c;--r4:#45a788;--r5:#8fe0c6}}
*{box-sizing:border-box;margin:0;padding:0}
body{background:var(--bg);color:var(--text);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
header,main,footer{max-width:1080px;margin:0 auto;padding:0 20px}
header{padding-top:40px}
.eyebrow{color:var(--soft);font-size:13px;letter-spacing:.08em;text-transform:uppercase}
h1{font-size:32px;line-height:1.2;font-weight:650;margin:4px 0}
h2{font-size:20px;font-weight:650}
h3{font-size:16px;font-weight:650}
.path{color:var(--soft);font-size:14px}
.note,.when,figcaption .note{color:var(--soft);font-size:13px;font-weight:400}
.verdict{display:inline-flex;gap:10px;align-items:center;margin-top:16px;padding:8px 14px;border:1px solid var(--line);border-radius:8px;background:var(--card);font-weight:600}
.verdict i{flex:none;width:10px;height:10px;border-radius:50%;background:currentColor}
.good{color:var(--good)}.warn{color:var(--warn)}.verdict.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:24px 0}
.tile,section{background:var(--card);border:1px solid var(--line);border-radius:12px}
.tile{padding:14px 16px}
.tile dt{color:var(--soft);font-size:13px}
.tile dd{font-size:26px;line-height:1.25;font-weight:650}
.tile p{color:var(--soft);font-size:13px}
section{padding:22px 24px;margin-bottom:20px}
.head{display:flex;flex-wrap:wrap;gap:6px 20px;justify-content:space-between;align-items:baseline;margin-bottom:16px}
.legend,.scale{display:flex;flex-wrap:wrap;gap:4px 14px;list-style:none;color:var(--soft);font-size:13px;align-items:center}
.scale{margin:10px 0 6px}
.scale span{display:inline-flex;align-items:center;gap:6px;white-space:nowrap}
.scale i{width:13px;height:13px;border-radius:2px}
.dot{display:inline-block;width:10px;height:10px;border-radius:50%;margin-right:6px;background:currentColor}
.full{color:var(--full)}.copy{color:var(--copy)}.inc{color:var(--inc)}.diff{color:var(--diff)}
figcaption{font-weight:600;margin-bottom:10px}
.plot{position:relative;height:190px;margin:12px 12px 0 64px}
.grid{position:absolute;left:0;right:-12px;border-top:1px solid var(--line)}
.grid b{position:absolute;right:calc(100% + 8px);top:-.75em;font-size:12px;line-height:1.5;font-weight:400;color:var(--soft);white-space:nowrap}
.marks{position:absolute;inset:0 8px}
.mark{position:absolute;bottom:0;width:11px;margin-left:-5.5px}
.mark::before{content:"";position:absolute;left:4.5px;top:5px;bottom:0;width:2px;background:currentColor;opacity:.35}
.mark::after{content:"";position:absolute;left:0;top:-5px;width:11px;height:11px;border-radius:50%;background:currentColor;border:2px solid var(--card)}
.dense .mark::after{left:2px;top:-3px;width:7px;height:7px;border-width:1px}
.mark.bad,.node.bad{color:var(--bad)}
.axis{display:flex;justify-content:space-between;margin:8px 0 0 64px;color:var(--soft);font-size:12px}
.points{list-style:none}
.point{display:grid;grid-template-columns:auto minmax(0,1fr) 280px}
.point+.point .what,.point+.point .size{border-top:1px solid var(--line)}
.what{padding:12px 24px 0 12px}.size{padding:12px 0 0}.more{grid-column:2/-1;margin-top:-12px;padding:0 0 12px 12px}
.name{display:flex;flex-wrap:wrap;gap:2px 10px;align-items:baseline}
.rail{grid-row:1/span 2;position:relative;width:calc(18px + var(--depth)*18px)}
.rail i{position:absolute;left:calc(8px + var(--col,0)*18px)}
.up,.down,.elbow{background:var(--rail)}
.up{top:0;height:24px;width:2px}.down{top:24px;bottom:0;width:2px}
.elbow{top:23px;height:2px;width:18px}
.node{top:19px;width:12px;height:12px;border-radius:50%;background:currentColor;margin-left:-5px;border:2px solid var(--card);outline:1px solid currentColor}
.tag{display:inline-block;padding:0 8px;border-radius:6px;background:var(--tint);font-size:12px;line-height:20px;font-weight:600}
.tag.latest{color:var(--soft)}
.state.complete{color:var(--good);background:none;padding:0;font-weight:400}.state.damaged{color:var(--bad)}.state.partial,.state.orphan{color:var(--warn)}.state.foreign{color:var(--copy)}
.reason{color:var(--bad);font-size:14px}
.size p{display:flex;flex-wrap:wrap;gap:0 8px;justify-content:space-between;align-items:baseline}
.bar{display:block;height:6px;margin-top:6px;border-radius:3px;background:var(--tint);overflow:hidden}
.bar i{display:block;height:100%;background:currentColor;border-radius:3px}
summary{color:var(--soft);font-size:13px;cursor:pointer}
summary:focus-visible{outline:2px solid var(--full);outline-offset:2px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin:8px 0;font-size:13px;overflow-wrap:normal}
th{color:var(--soft);font-weight:600;text-align:left}
th,td{padding:4px 16px 4px 0;vertical-align:top}
.number{text-align:right;white-space:nowrap}
td:last-child{overflow-wrap:anywhere;min-width:180px}
.disk+.disk,.chain+.chain{margin-top:28px;padding-top:24px;border-top:1px solid var(--line)}
.disk h3,.chain h3{margin-bottom:12px}
.maps{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:20px 32px;margin-bottom:8px}
.maps figcaption{font-size:14px}
.cells{display:block;width:100%;height:auto}
.h0{fill:var(--h0);background:var(--h0)}.h1{fill:var(--h1);background:var(--h1)}.h2{fill:var(--h2);background:var(--h2)}
.h3{fill:var(--h3);background:var(--h3)}.h4{fill:var(--h4);background:var(--h4)}.h5{fill:var(--h5);background:var(--h5)}
.r0{fill:var(--r0);background:var(--r0)}.r1{fill:var(--r1);background:var(--r1)}.r2{fill:var(--r2);background:var(--r2)}
.r3{fill:var(--r3);background:var(--r3)}.r4{fill:var(--r4);background:var(--r4)}.r5{fill:var(--r5);background:var(--r5)}
.strip{display:flex;gap:2px;height:16px;max-width:720px;margin-bottom:8px}
.strip i{flex:1 1 0;max-width:48px;min-width:1px;border-radius:3px;background:var(--good)}
.strip .damaged{background:var(--bad)}.strip .foreign{background:var(--copy)}.strip .orphan,.strip .partial{background:var(--warn)}
.problems{list-style:none;margin-top:18px}
.problems li{padding:8px 0;border-top:1px solid var(--line);color:var(--text);font-size:14px}
.problems .error b{color:var(--bad)}.problems .note b{color:var(--soft)}
.chain~h3{margin-top:20px}
.fine{color:var(--soft);margin-top:16px}
footer{padding-top:4px;padding-bottom:48px;color:var(--soft);font-size:13px}
code{font-family:ui-monospace,"DejaVu Sans Mono",monospace}
@media(max-width:720px){header,main,footer{padding-left:14px;padding-right:14px}header{padding-top:24px}h1{font-size:26px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}.tile dd{font-size:22px}section{padding:18px 16px}
.point{grid-template-columns:auto minmax(0,1fr)}.size{grid-column:2;padding-top:0}.point+.point .size{border-top:0}
.rail{grid-row:1/span 3}.what{padding-right:0}.size{padding:4px 0 0 12px}.more{margin-top:4px}
.mark::after{left:2px;top:-3px;width:8px;height:8px;border-width:1px}.maps{grid-template-columns:minmax(0,1fr)}.plot{height:170px}}
@media print{body{background:#fff}section,.tile{break-inside:avoid}}
`;
