/** The page's style sheet. No `style` attributes are used, so its hash is all that the page's policy allows. */
export const STYLE = `
:root{color-scheme:light dark;--page:#f6f5f1;--sheet:#fff;--sunk:#f1f0ea;--ink:#1a1d20;--quiet:#5b626a;--line:#dcdad2;--link:#1f5f86;
--passed:#17724a;--failed:#b3261e;--flaky:#8a5300;--broken:#8a5300;--interrupted:#6b4fa0;--skipped:#536273;
--first:#2f7396;--reuse:#8fbfd6;--on-first:#fff;--on-reuse:#10303f;--field:#eef3f5;--limit:#1a1d20}
@media (prefers-color-scheme:dark){:root{--page:#101316;--sheet:#171b1f;--sunk:#1f252a;--ink:#e6e9eb;--quiet:#9aa5ae;--line:#2d343a;--link:#7cc0e4;
--passed:#4cc38a;--failed:#ff8078;--flaky:#e5b454;--broken:#e5b454;--interrupted:#b7a0ec;--skipped:#9fb0c3;
--first:#3f88ad;--reuse:#a9d3e6;--on-first:#fff;--on-reuse:#0d2530;--field:#1c2328;--limit:#e6e9eb}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0;overflow-wrap:anywhere;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
code,pre,.number,.scenario-id{font-family:ui-monospace,"SF Mono",SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.88em}
pre{margin:.4rem 0;padding:.6rem .8rem;background:var(--sunk);border-radius:4px;overflow:auto;max-height:32rem;white-space:pre-wrap;overflow-wrap:anywhere;tab-size:4}
code{overflow-wrap:anywhere}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,button:focus-visible,input:focus-visible,[tabindex]:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:2px}
.skip{position:absolute;left:-999px}.skip:focus{left:1rem;top:.5rem;background:var(--sheet);padding:.3rem .6rem}
.heard{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.quiet{color:var(--quiet);font-weight:400;font-size:.86em}
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;color:var(--quiet)}
.wrap{max-width:70rem;margin:0 auto;padding:0 1.5rem}
h1,h2,h3,h4,p{margin:0}h2{font-size:1.05rem;margin:0 0 .6rem}h4{font-size:.95rem;margin:0 0 .5rem}
summary{cursor:pointer}

.top{border-bottom:1px solid var(--line);background:var(--sheet)}
.top .wrap{display:flex;gap:1rem;align-items:baseline;justify-content:space-between;padding-top:.7rem;padding-bottom:.7rem;flex-wrap:wrap}
.brand{font-weight:650;letter-spacing:.01em}
.verdict{background:var(--sheet);border-bottom:1px solid var(--line);border-top:5px solid var(--tone)}
.verdict .wrap{padding-top:1.8rem;padding-bottom:1.6rem}
.passed{--tone:var(--passed)}.failed{--tone:var(--failed)}.flaky{--tone:var(--flaky)}.broken{--tone:var(--broken)}.interrupted{--tone:var(--interrupted)}.skipped{--tone:var(--skipped)}
.verdict-word{color:var(--tone);font-size:1rem;font-weight:700;text-transform:uppercase;letter-spacing:.09em}
.verdict h1{font-size:clamp(1.3rem,2.6vw,1.9rem);line-height:1.28;font-weight:620;max-width:52rem;margin:.35rem 0 .6rem;overflow-wrap:anywhere;text-wrap:balance}
.worth{max-width:52rem;color:var(--quiet)}
.worth strong{color:var(--ink)}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr));gap:.9rem 1.5rem;margin:1.4rem 0 0}
.facts div{min-width:0}.facts dt{color:var(--quiet);font-size:.78rem;overflow-wrap:anywhere}.facts dd{margin:0;overflow-wrap:anywhere}
.facts.small{margin-top:.6rem;gap:.5rem 1.5rem}
.pill{display:inline-block;border:1px solid currentColor;border-radius:1rem;padding:0 .55rem;font-size:.78rem;font-weight:600}

main.wrap{padding-top:1.8rem;padding-bottom:2rem}
.columns{display:grid;grid-template-columns:1fr 1fr;gap:1.5rem;margin-bottom:2rem}
.panel ul,.notes{margin:0;padding-left:1.1rem}.panel li{margin:.25rem 0;overflow-wrap:anywhere}
.panel{border-top:2px solid var(--line);padding-top:.8rem}
.panel.failed{border-color:var(--failed)}
.panel.broken{border-color:var(--broken)}
.block{margin-bottom:2rem}
.tag{display:inline-flex;align-items:baseline;gap:.35rem;color:var(--tone);font-weight:650;white-space:nowrap;font-size:.88rem}
.sign{display:inline-block;width:1.05em;text-align:center;font-weight:700}

table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.45rem .7rem .45rem 0;border-bottom:1px solid var(--line);font-weight:400}
thead th{color:var(--quiet);font-size:.78rem;padding-top:0;white-space:nowrap}
thead th.number{font-family:inherit;text-align:right;padding-right:.7rem}
td.number{padding-right:.7rem}
.index td,.index th{padding-top:.35rem;padding-bottom:.35rem}
.index{table-layout:fixed}.index thead th:nth-child(1){width:7.6rem}.index thead th:nth-child(2){width:11rem}.index thead th:nth-child(4){width:8rem}.index thead th:nth-child(5){width:5.5rem}.index a{font-weight:600;text-decoration:none}.index a:hover{text-decoration:underline}
.tools{display:flex;gap:.5rem;flex-wrap:wrap;margin:0 0 1rem;align-items:center}
.tools[hidden]{display:none}
.tools button,.tools input{font:inherit;font-size:.86rem;color:inherit;background:var(--sheet);border:1px solid var(--line);border-radius:4px;padding:.25rem .65rem}
.tools button{cursor:pointer}.tools button[aria-pressed=true]{background:var(--ink);color:var(--page);border-color:var(--ink)}
.tools input{flex:1 1 12rem;min-width:8rem}

.scenario{background:var(--sheet);border:1px solid var(--line);border-left:4px solid var(--tone);border-radius:4px;margin:0 0 1rem}
.scenario[hidden]{display:none}
.scenario>details>summary{list-style:none;padding:.8rem 1.1rem}.scenario>details>summary::-webkit-details-marker{display:none}
.scenario-head{display:grid;grid-template-columns:7.2rem 1fr auto;gap:.8rem;align-items:baseline}
.scenario h3{font-size:1rem;font-weight:400;overflow-wrap:anywhere}.scenario-id{font-weight:700;font-size:.95rem;margin-right:.4rem}
.scenario-body{padding:.2rem 1.1rem 1rem}
.reason{font-weight:600;margin-bottom:.8rem;overflow-wrap:anywhere}
.part,.timeline{margin:1.3rem 0 0}
.meta{color:var(--quiet);font-size:.82rem;margin-top:.8rem;overflow-wrap:anywhere}
.checks{table-layout:fixed}.checks thead th:first-child{width:8.4rem}.checks thead th:nth-child(2){width:50%}.checks td,.checks th{overflow-wrap:anywhere}.checks tbody tr:last-child>*{border-bottom:0}
.checks th span{display:block}.because{display:block;margin:.25rem 0;border-left:3px solid var(--tone);padding-left:.6rem}
.check.failed .promise{font-weight:650}.check.failed td code,.check.failed .because{color:var(--ink)}
.check.failed td,.check.failed th{background:color-mix(in srgb,var(--failed) 7%,transparent)}
.check.failed td.result{box-shadow:inset 3px 0 0 var(--failed);padding-left:.6rem}
.long[open]>summary code{display:none}.long{padding-left:1rem}.long summary{list-style-position:outside}.facts.small div:has(.long){grid-column:1/-1}
.error{border:1px solid var(--line);border-left:4px solid var(--failed);border-radius:3px;padding:.7rem .9rem;margin:.4rem 0 1rem;background:var(--page)}
.error .message{background:none;padding:0;margin:.2rem 0;font-weight:600;font-size:.92em}
.text-name{color:var(--quiet);font-size:.78rem;margin-top:.6rem}.error-head code{font-weight:700}.hint{margin-top:.3rem}.stack{margin-top:.5rem;font-size:.9rem}
.notes{margin:.2rem 0 .8rem}.note{margin:.2rem 0 .2rem 1.6rem;font-size:.92rem}.step-error{margin:.2rem 0 .2rem 1.6rem;color:var(--failed);overflow-wrap:anywhere;font-size:.92rem}

.steps{list-style:none;margin:0;padding:0;font-size:.93rem}.steps .steps{margin-left:1.15rem;border-left:1px solid var(--line);padding-left:.6rem}
.steps summary{list-style:none}.steps summary::-webkit-details-marker{display:none}
.step-line{display:grid;grid-template-columns:1.3rem 1fr 8rem 5.2rem;gap:.5rem;align-items:center;padding:.16rem 0}
.steps summary .step-title::after{content:" ▸";color:var(--quiet)}.steps details[open]>summary .step-title::after{content:" ▾"}
.step-title{overflow-wrap:anywhere}
.step-bar{width:100%;height:7px;display:block}.track{fill:var(--sunk)}.span{fill:var(--first)}.span.failed{fill:var(--failed)}.span.interrupted{fill:var(--interrupted)}

.evidence{border-bottom:1px solid var(--line);padding:.35rem 0}.evidence-name{font-weight:600;overflow-wrap:anywhere}.evidence-body{padding:.3rem 0 .4rem}
.evidence img{max-width:100%;border:1px solid var(--line);background:#fff}.hash{font-size:.95em}
.earlier{margin:1rem 0 0;border-top:1px solid var(--line);padding-top:.7rem}.earlier>summary{font-weight:600}

figcaption{font-weight:650;font-size:.95rem;margin-bottom:.4rem}
figure{margin-left:0;margin-right:0}
.scroll{overflow-x:auto;max-height:44rem}
.timeline .scroll>svg{display:block;width:100%;min-width:46rem;height:auto}
.timeline text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;fill:var(--ink)}
.timeline .slot,.timeline .pool-facts,.timeline .axis text{fill:var(--quiet);font-size:11px}
.timeline .pool{font-size:13px;font-weight:650}
.timeline .field{fill:var(--field)}.memory{fill:var(--first)}.timeline>.quiet+.scroll{margin-top:.6rem}.timeline text.axis{fill:var(--quiet);font-size:11px}
.bar{fill:var(--first)}.bar.first{fill:var(--first)}.bar.reuse{fill:var(--reuse)}.bar.over{fill:var(--failed);stroke:var(--ink);stroke-dasharray:3 2}
.bar.usage,.usage{fill:var(--first);fill-opacity:.75}.usage{stroke:var(--first)}
.timeline .bar-name{font-size:10.5px;fill:var(--on-first);pointer-events:none}.bar.reuse+.bar-name{fill:var(--on-reuse)}.bar.over+.bar-name{fill:var(--sheet)}
.timeline .limit{stroke:var(--limit);stroke-width:1.5;stroke-dasharray:6 4}.timeline .limit-name{font-weight:650;font-size:11.5px}
.grid{stroke:var(--line)}.axis line{stroke:var(--quiet)}
.refusal path,.refused{stroke:var(--failed);stroke-width:2.2;fill:none}.timeline .refusal text{fill:var(--failed);font-weight:650}
.killed{fill:var(--failed);stroke:var(--sheet);stroke-width:1.2}.open{fill:var(--quiet)}
.peak{fill:var(--ink)}.timeline .peak-name{font-weight:650;paint-order:stroke;stroke:var(--sheet);stroke-width:3px}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;margin:.5rem 0;padding:0;font-size:.84rem;color:var(--quiet)}
.legend li{display:flex;gap:.4rem;align-items:center}.swatch{width:22px;height:12px}
.refusal-texts{margin:.6rem 0;font-size:.92rem}
.timeline-data{font-size:.92rem}.timeline-data .scroll{max-height:24rem;overflow:auto}
footer{border-top:1px solid var(--line);color:var(--quiet);font-size:.84rem;padding:1rem 0 2rem}
@media (max-width:44rem){.wrap{padding:0 1rem}.columns{grid-template-columns:1fr}.scenario-head{grid-template-columns:1fr auto}.scenario h3{grid-row:2;grid-column:1/-1}
.step-line{grid-template-columns:1.3rem 1fr 4.6rem}.step-bar{display:none}
.checks thead{position:absolute;left:-999px}.checks tr,.checks td,.checks th{display:block;width:auto}.checks tr{border-bottom:1px solid var(--line);padding:.5rem 0}.checks td,.checks th{border:0;padding:.1rem .5rem}
.checks td:empty{display:none}.checks td[data-label]::before{content:attr(data-label) ": ";color:var(--quiet);font-size:.8rem}
.index,.index tbody{display:block}.index thead{position:absolute;left:-999px}.index .wide{display:none}.index tr{display:grid;grid-template-columns:6.6rem 1fr auto;column-gap:.5rem;border-bottom:1px solid var(--line)}.index td,.index th{border:0;padding-right:0}.index td.number{display:none}.index .promise{grid-row:2;grid-column:1/-1;padding:0}}
@media print{:root{color-scheme:light;--page:#fff;--sheet:#fff;--sunk:#f4f4f4;--ink:#000;--quiet:#444;--line:#bbb;--link:#000;--passed:#0b5a36;--failed:#8f1a14;--flaky:#6b4000;--broken:#6b4000;--interrupted:#4b357a;--skipped:#3c4855;--first:#2f7396;--reuse:#8fbfd6;--on-first:#fff;--on-reuse:#000;--field:#f4f4f4;--limit:#000}
html{font-size:12px}body{font-size:.95rem}.tools,.skip{display:none}.scenario,.error,figure,tr{break-inside:avoid-page}.scenario{break-inside:auto}pre,.scroll{max-height:none;overflow:visible}.timeline .scroll>svg{min-width:0}
.bar,.field,.memory,.span,.track,.usage{print-color-adjust:exact;-webkit-print-color-adjust:exact}.timeline-data{display:none}}
`.trim();
