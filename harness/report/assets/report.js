"use strict";
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const $ = (s, at = document) => at.querySelector(s);
  const el = (tag, attrs = {}, ...kids) => {
    const n = document.createElement(tag);
    for (const [k, v] of Object.entries(attrs)) n.setAttribute(k, v);
    n.append(...kids);
    return n;
  };

  // ---- numbers and times -------------------------------------------------
  const fmts = new Map();
  const fixed = (v, d) => {
    if (!fmts.has(d)) fmts.set(d, new Intl.NumberFormat("en", { minimumFractionDigits: d, maximumFractionDigits: d }));
    return fmts.get(d).format(v).replace("-", "−");
  };
  // digits so that steps of the given size are told apart
  const digits = step => step > 0 ? Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9))) : 0;
  const num = (v, d) => v == null ? "–" : fixed(v, d);
  const short = v => {
    if (v == null) return "–";
    const a = Math.abs(v);
    return fixed(v, a >= 1000 || a === 0 ? 0 : Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(a)))));
  };
  // a round number, without zeros that say nothing
  const plain = v => (+v.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 });
  const pad = (n, w = 2) => String(n).padStart(w, "0");
  // A load measured from outside has no signals: its own instants are those of the page.
  if (!D.t.length && D.loads.length) D.t = D.loads[0].t;
  const end = Math.max(D.end || 0, D.t.length ? D.t[D.t.length - 1] : 0);
  const clock = (t, sub = true) => {
    const neg = t < 0 ? "−" : "";
    t = Math.abs(t);
    let s = Math.floor(t + 1e-6), ms = sub ? Math.round((t - s) * 1000) : 0;
    if (ms < 0) ms = 0;
    if (ms >= 1000) { s++; ms -= 1000; }
    const d = Math.floor(s / 86400), h = Math.floor(s % 86400 / 3600), m = Math.floor(s % 3600 / 60);
    return neg + (end >= 86400 ? d + "d " : "") + (end >= 3600 ? pad(h) + ":" : "") + pad(m) + ":" + pad(s % 60) + (ms ? "." + pad(ms, 3) : "");
  };
  const clockUnit = end >= 86400 ? "d h:min:s" : end >= 3600 ? "h:min:s" : "min:s";
  const utc = t => D.start_ms ? new Date(D.start_ms + t * 1000).toISOString().slice(0, 19).replace("T", " ") : "";
  const rel = op => ({ "<=": "≤", ">=": "≥", "==": "=" })[op] || op;
  const span = s => {
    if (s == null) return "–";
    if (s < 1) return plain(s * 1000) + " ms";
    if (s < 120) return plain(s) + " s";
    if (s < 7200) return plain(s / 60) + " min";
    return plain(s / 3600) + " h";
  };

  // ---- colours: resolved from the style sheet, so that one place rules ----
  const probe = document.body.appendChild(el("i", { hidden: "" }));
  const colour = (name, alpha = 1) => {
    probe.style.color = `color-mix(in srgb, var(--${name}) ${alpha * 100}%, transparent)`;
    return getComputedStyle(probe).color;
  };
  const font = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

  // ---- time plots --------------------------------------------------------
  let plots = [];
  let marker = null; // s, of the event chosen
  const S = D.s, has = k => k in S;
  const neg = k => S[k].map(v => v == null ? null : -Math.abs(v));

  // line describes one series; hidden ones only bound a band.
  const line = (label, data, o = {}) => ({ label, data, ...o });
  const charts = [];
  if (has("power") || has("target")) {
    const series = [];
    const bands = [];
    if (has("avail_charge") && has("avail_discharge")) {
      series.push(line("can charge", S.avail_charge, { stroke: "soft", width: .75, alpha: .7, unit: "kW" }));
      series.push(line("can discharge", neg("avail_discharge"), { stroke: "soft", width: .75, alpha: .7, unit: "kW" }));
      bands.push([1, 2, .10]);
    }
    if (has("target")) series.push(line("target", S.target, { stroke: "soft", width: 3.5, alpha: .5, step: true, unit: "kW" }));
    if (has("power")) series.push(line("delivered", S.power, { stroke: "line", width: 1.25, unit: "kW" }));
    charts.push({ title: "Power", note: "positive charges; grey: what the fleet could do", unit: "kW", height: 280, series, bands, labels: true });
  }
  if (has("power") && has("target")) {
    const k = D.rated_kw ? 100 / D.rated_kw : 1, unit = D.rated_kw ? "%" : "kW";
    const e = S.power.map((p, i) => p == null || S.target[i] == null ? null : (p - S.target[i]) * k);
    charts.push({ title: "Tracking error", note: "delivered − target" + (D.rated_kw ? ", percent of rated power " + short(D.rated_kw) + " kW" : "") + (D.rated_kw ? "; lines at ±2 %" : ""), unit, height: 150,
      series: [line("error", e, { stroke: "line", width: 1, fill: true, unit })],
      lines: D.rated_kw ? [{ v: 2 }, { v: -2 }] : [], least: D.rated_kw ? 2.5 : 1 });
  }
  const bandChart = (title, note, unit, names, extra) => {
    const present = names.filter(n => has(n[0]));
    if (!present.length) return;
    const series = [], bands = [], idx = {};
    for (const [key, label, o] of present) { series.push(line(label, S[key], { unit, ...o })); idx[key] = series.length; }
    for (const [hi, lo, a] of extra.bands) if (idx[hi] && idx[lo]) bands.push([idx[hi], idx[lo], a]);
    charts.push({ title, note, unit, height: extra.height, series, bands, lines: extra.lines || [], range: extra.range });
  };
  const edge = { stroke: "band", width: .75, alpha: .8 }, thin = { stroke: "band", width: .5, alpha: .35 };
  const limitLines = metric => D.limits.filter(l => l.metric === metric && ["min", "max", "p999", "p99"].includes(l.stat)).map(l => ({ v: l.value, text: `limit ${l.stat} ${rel(l.op)} ${plain(l.value)}`, failed: l.state === "failed", strong: true }));
  bandChart("State of charge", "bands over the fleet: least to largest, 5 to 95 %, 25 to 75 %, median", "%", [
    ["soc_max", "max", edge], ["soc_p95", "p95", thin], ["soc_p75", "p75", thin], ["soc_p50", "median", { stroke: "line", width: 1.75 }],
    ["soc_mean", "mean", has("soc_p50") ? { stroke: "soft", width: 1, dash: [2, 3], off: true } : { stroke: "line", width: 1.75 }],
    ["soc_p25", "p25", thin], ["soc_p5", "p5", thin], ["soc_min", "min", edge],
  ], { height: 210, bands: [["soc_max", "soc_min", .13], ["soc_p95", "soc_p5", .16], ["soc_p75", "soc_p25", .22]],
    lines: limitLines("fleet.soc").concat(D.band ? [{ v: D.band.Min, text: "window" }, { v: D.band.Max, text: "window" }] : []), range: [0, 100] });
  bandChart("Temperature", "hottest cell of each device: least, mean, largest", "°C", [
    ["temp_max", "max", { stroke: "line", width: 1.5 }], ["temp_mean", "mean", { stroke: "soft", width: 1.25 }], ["temp_min", "min", edge],
  ], { height: 160, bands: [["temp_max", "temp_min", .16]], lines: limitLines("fleet.temperature_c") });
  if (has("online")) charts.push({ title: "Devices online", note: "", unit: "devices", height: 110, whole: true,
    series: [line("online", S.online, { stroke: "line", width: 1.5, step: true, unit: "" })] });
  const site = [["site_load", "load", { stroke: "soft", width: 1, dash: [2, 3] }], ["site_pv", "PV", { stroke: "soft", width: 1 }], ["site_import", "import", { stroke: "line", width: 1.75 }]].filter(x => has(x[0]));
  if (site.length) charts.push({ title: "Site", note: "at the grid meter; positive is import", unit: "kW", height: 180, lines: limitLines("site.import_kw"),
    series: site.map(([k, l, o]) => line(l, S[k], { unit: "kW", ...o })) });
  if (has("price")) charts.push({ title: "Price", note: "", unit: D.price_unit || "per kWh", height: 130,
    series: [line("price", S.price, { stroke: "line", width: 1.5, step: true, unit: D.price_unit || "" })] });

  for (const l of D.loads) {
    charts.push({ title: `Load ${l.name}: rate`, note: "due, answered and failed, by the second in which they were due", unit: "1/s", height: 180, whole: true, t: l.t, series: [
      line("due", l.due, { stroke: "soft", width: 3.5, alpha: .5, unit: "/s" }), line("answered", l.answered, { stroke: "line", width: 1.5, unit: "/s" }),
      line("failed", l.errors, { stroke: "red", width: 1.5, unit: "/s" })] });
    charts.push({ title: `Load ${l.name}: latency`, note: "median, 90th and 99th percentile and largest of those due in a second", unit: "ms", height: 180, t: l.t, lines: limitLines(`api.${l.name}.latency_ms`), series: [
      line("max", l.max, { stroke: "band", width: .75, alpha: .8, unit: "ms" }), line("p99", l.p99, { stroke: "line", width: 1.75, unit: "ms" }),
      line("p90", l.p90, { stroke: "soft", width: 1, unit: "ms" }), line("median", l.p50, { stroke: "soft", width: 1, dash: [2, 3], unit: "ms" })] });
  }

  const incrs = [.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 604800];

  const drawBehind = chart => u => {
    const c = u.ctx, b = u.bbox, r = devicePixelRatio;
    c.save();
    c.beginPath(); c.rect(b.left, b.top, b.width, b.height); c.clip();
    let free = -1e9;
    for (const f of D.faults) {
      const x0 = u.valToPos(f.from_s, "x", true), x1 = u.valToPos(f.to_s == null ? end : f.to_s, "x", true);
      if (x1 < b.left || x0 > b.left + b.width) continue;
      const w = Math.max(x1 - x0, 1.5 * r);
      c.fillStyle = colour("fault", .11);
      c.fillRect(x0, b.top, w, b.height);
      c.fillStyle = colour("fault", .75);
      c.fillRect(x0, b.top, w, 2 * r);
      if (chart.labels) {
        c.font = font.replace("11px", 11 * r + "px");
        c.textBaseline = "top"; c.textAlign = "left";
        const text = f.label, left = Math.max(x0, b.left) + 4 * r;
        if (left > free && c.measureText(text).width < b.left + b.width - left) {
          c.fillStyle = colour("fault");
          c.fillText(text, left, b.top + 5 * r);
          free = left + c.measureText(text).width + 8 * r;
        }
      }
    }
    c.restore();
  };
  const drawAbove = chart => u => {
    const c = u.ctx, b = u.bbox, r = devicePixelRatio;
    c.save();
    c.beginPath(); c.rect(b.left, b.top, b.width, b.height); c.clip();
    for (const l of chart.lines || []) {
      const y = u.valToPos(l.v, "y", true);
      if (!(y >= b.top - 1 && y <= b.top + b.height + 1)) continue;
      c.strokeStyle = l.failed ? colour("red") : colour("mute", .9);
      c.lineWidth = (l.strong ? 1.25 : 1) * r;
      c.setLineDash(l.strong ? [5 * r, 3 * r] : [2 * r, 3 * r]);
      c.beginPath(); c.moveTo(b.left, y); c.lineTo(b.left + b.width, y); c.stroke();
      if (l.text) {
        c.font = font.replace("11px", 10.5 * r + "px");
        c.fillStyle = l.failed ? colour("red") : colour("mute");
        // What was asked stands at the right, what is only drawn for comparison at the left.
        const below = y < b.top + 16 * r || l.v < 0;
        c.textAlign = l.strong ? "right" : "left"; c.textBaseline = below ? "top" : "bottom";
        c.fillText(l.text, l.strong ? b.left + b.width - 4 * r : b.left + 4 * r, y + (below ? 3 : -3) * r);
      }
    }
    if (marker != null) {
      const x = u.valToPos(marker, "x", true);
      c.setLineDash([]); c.strokeStyle = colour("ink"); c.lineWidth = 1.25 * r;
      c.beginPath(); c.moveTo(x, b.top); c.lineTo(x, b.top + b.height); c.stroke();
    }
    c.restore();
  };

  const build = (chart, host, width) => {
    const axis = { stroke: colour("mute"), font, labelFont: font, grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false } };
    const opts = {
      width, height: chart.height, tzDate: null, pxAlign: 1,
      cursor: { sync: { key: "run", setSeries: false }, drag: { x: true, y: false, dist: 4 }, points: { size: 6, width: 1.5, fill: (u, i) => u.series[i]._stroke || colour("line"), stroke: colour("card") }, y: false },
      focus: { alpha: 1 },
      legend: { live: true, markers: { width: 0, fill: (u, i) => u.series[i]._line || "transparent" } },
      scales: {
        x: { time: false, min: 0, max: end, range: (u, lo, hi) => lo == null || lo <= D.t[0] && hi >= D.t[D.t.length - 1] ? [0, end] : [lo, hi] },
        y: { range: (u, lo, hi) => {
          if (lo == null) return [0, 1];
          for (const l of chart.lines || []) if (l.strong && Math.abs(l.v - (lo + hi) / 2) < 3 * Math.max(hi - lo, 1e-9)) { lo = Math.min(lo, l.v); hi = Math.max(hi, l.v); }
          if (chart.least) { lo = Math.min(lo, -chart.least); hi = Math.max(hi, chart.least); }
          if (chart.whole) { lo = Math.min(lo, 0); }
          if (lo === hi) { const d = Math.abs(lo) * .05 || 1; lo -= d; hi += d; }
          const p = (hi - lo) * .08;
          let a = lo === 0 ? 0 : lo - p, z = hi + p;
          if (chart.range) { if (lo >= chart.range[0]) a = Math.max(a, chart.range[0] - .5); if (hi <= chart.range[1]) z = Math.min(z, chart.range[1] + .5); }
          return [a, z];
        } },
      },
      axes: [
        { ...axis, incrs, space: 84, size: 30, gap: 6, label: `time since start, ${clockUnit}`, labelSize: 16, labelGap: 0, values: (u, vs) => vs.map(v => clock(v)) },
        { ...axis, size: 58, gap: 6, space: chart.height < 200 ? 22 : 32, label: chart.unit, labelSize: 16, labelGap: 0,
          values: (u, vs, i, space, inc) => vs.map(v => chart.whole && v % 1 ? "" : fixed(v, digits(inc))) },
      ],
      series: [{ label: "t", value: (u, v) => v == null ? "" : clock(v) + (D.start_ms ? "  " + utc(v).slice(11) + " UTC" : "") }],
      bands: [],
      hooks: { drawAxes: [drawBehind(chart)], draw: [drawAbove(chart)], setScale: [shareZoom] },
    };
    for (const s of chart.series) {
      const stroke = colour(s.stroke, s.alpha || 1);
      const o = { label: s.label, stroke, _line: colour(s.stroke), _stroke: colour(s.stroke), width: s.width, dash: s.dash, show: !s.off, spanGaps: false, points: { show: false },
        value: (u, v) => v == null ? "" : short(v) + (s.unit ? " " + s.unit : "") };
      if (s.step) o.paths = uPlot.paths.stepped({ align: 1 });
      if (s.fill) { o.fill = colour(s.stroke, .12); o.fillTo = () => 0; }
      opts.series.push(o);
    }
    opts.bands = (chart.bands || []).map(([hi, lo, a]) => ({ series: [hi, lo], fill: colour("band", a) }));
    return new uPlot(opts, [chart.t || D.t, ...chart.series.map(s => s.data)], host);
  };

  // ---- one zoom for all --------------------------------------------------
  let zoom = [0, end];
  const same = (a, b) => Math.abs(a - b) < 1e-9 * Math.max(1, end);
  function shareZoom(u, key) {
    if (key !== "x" || !plots.includes(u)) return;
    const { min, max } = u.scales.x;
    if (min == null || same(min, zoom[0]) && same(max, zoom[1])) return;
    zoom = [min, max];
    for (const p of plots) if (p !== u && !(same(p.scales.x.min, min) && same(p.scales.x.max, max))) p.setScale("x", { min, max });
    showZoom();
  }
  const setZoom = (lo, hi) => {
    if (!(hi > lo)) return;
    const least = D.t.length > 1 ? 2 * (D.t[1] - D.t[0]) : 1;
    if (hi - lo < least) { const m = (lo + hi) / 2; lo = m - least / 2; hi = m + least / 2; }
    const w = hi - lo;
    lo = Math.max(0, Math.min(lo, end - w)); hi = Math.min(end, lo + w);
    zoom = [lo, hi];
    for (const p of plots) p.setScale("x", { min: lo, max: hi });
    showZoom();
  };
  const whole = () => same(zoom[0], 0) && same(zoom[1], end);
  function showZoom() {
    $("#reset").disabled = whole();
    $("#window").textContent = whole() ? "" : `${clock(zoom[0], false)} – ${clock(zoom[1], false)} (${span(zoom[1] - zoom[0])})`;
    if ($("#inwin").checked) listEvents();
  }
  // A new scale is in force only after the plot's own microtask.
  const cursorAt = t => queueMicrotask(() => {
    for (const p of plots) p.setCursor({ left: p.valToPos(t, "x"), top: p.bbox.height / devicePixelRatio / 2 }, true, false);
  });
  let at = null; // index of the keyboard cursor
  const keys = e => {
    const n = D.t.length, mid = at == null ? (zoom[0] + zoom[1]) / 2 : D.t[at], w = zoom[1] - zoom[0];
    if (e.altKey || e.ctrlKey || e.metaKey) return;
    switch (e.key) {
      case "ArrowLeft": case "ArrowRight": {
        if (at == null) at = D.t.findIndex(t => t >= mid);
        const step = Math.max(1, Math.round(n * w / end / (e.shiftKey ? 20 : 200)));
        at = Math.min(n - 1, Math.max(0, at + (e.key === "ArrowLeft" ? -step : step)));
        if (D.t[at] < zoom[0] || D.t[at] > zoom[1]) setZoom(D.t[at] - w / 2, D.t[at] + w / 2);
        cursorAt(D.t[at]);
        break;
      }
      case "+": case "=": setZoom(mid - w / 4, mid + w / 4); break;
      case "-": setZoom(mid - w, mid + w); break;
      case "0": case "Escape": setZoom(0, end); break;
      default: return;
    }
    e.preventDefault();
  };

  const host = $("#charts");
  const draw = width => {
    for (const p of plots) p.destroy();
    plots = [];
    for (const c of charts) {
      if (c.figure) continue;
      c.figure = el("figure", { tabindex: "0", role: "group", "aria-label": `${c.title} over time in ${c.unit}; the values are in signals.csv` },
        el("figcaption", {}, c.whole ? c.title : c.title + ", " + c.unit, el("span", {}, c.note)), el("div"));
      c.figure.addEventListener("keydown", keys);
      host.append(c.figure);
    }
    plots = charts.map(c => build(c, c.figure.lastChild, width || c.figure.clientWidth - 24));
    if (!whole()) for (const p of plots) p.setScale("x", { min: zoom[0], max: zoom[1] });
    for (const th of host.querySelectorAll(".u-legend .u-series:not(:first-child) th")) {
      th.tabIndex = 0; th.setAttribute("role", "button");
      th.addEventListener("keydown", e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); th.click(); } });
    }
  };

  // ---- latency -----------------------------------------------------------
  const NS = "http://www.w3.org/2000/svg";
  const svg = (tag, attrs, text) => {
    const n = document.createElementNS(NS, tag);
    for (const [k, v] of Object.entries(attrs)) n.setAttribute(k, v);
    if (text != null) n.textContent = text;
    return n;
  };
  const ticksLog = (lo, hi) => {
    const out = [];
    for (let e = Math.floor(Math.log10(lo)); e <= Math.ceil(Math.log10(hi)); e++)
      for (const m of [1, 2, 5]) { const v = m * 10 ** e; if (v >= lo * .999 && v <= hi * 1.001) out.push(v); }
    return out.length > 7 ? out.filter(v => Math.abs(Math.log10(v) % 1) < 1e-6) : out;
  };
  const latency = h => {
    const W = 640, H = 232, top = 26, bottom = 36, mid = 318;
    const g = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${h.name}: distribution of ${h.n} values` });
    // The axis begins where 0.2 % of the values lie below; those stand in the first bar.
    const low = (h.curve.find(c => c[0] >= .002) || h.curve[0])[1];
    const lo = Math.max(h.bins[0].from, low, h.max / 1e5, 1e-3) / 1.15, hi = Math.max(h.max, ...h.limits.map(l => l.value)) * 1.15;
    const L = v => Math.log(Math.max(v, lo) / lo) / Math.log(hi / lo);
    const ticks = ticksLog(lo, hi);
    // left: histogram
    const x0 = 42, x1 = mid - 22, X = v => x0 + L(v) * (x1 - x0), base = H - bottom;
    const bins = [];
    for (const b of h.bins) {
      const last = bins[bins.length - 1];
      if (last && last.to <= lo * 1.1) { last.n += b.n; last.to = b.to; } else bins.push({ ...b });
    }
    const dens = bins.map(b => b.n / Math.max(L(b.to) - L(b.from), .004)), peak = Math.max(...dens);
    g.append(svg("text", { x: x0, y: 12 }, "share of values"));
    for (const v of ticks) {
      g.append(svg("line", { class: "grid", x1: X(v), x2: X(v), y1: top, y2: base }));
      g.append(svg("text", { x: X(v), y: base + 15, "text-anchor": "middle" }, plain(v)));
    }
    bins.forEach((b, i) => {
      const y = base - dens[i] / peak * (base - top), w = Math.max(X(b.to) - X(b.from) - .6, 1.2);
      const r = svg("rect", { class: "bar", x: X(b.from), y: Math.min(y, base - .8), width: w, height: Math.max(base - y, .8) });
      r.append(svg("title", {}, `${short(b.from)} – ${short(b.to)} ${h.unit}: ${b.n.toLocaleString("en")} (${short(100 * b.n / h.n)} %)`));
      g.append(r);
    });
    g.append(svg("line", { class: "axis", x1: x0, x2: x1, y1: base, y2: base }));
    g.append(svg("text", { x: (x0 + x1) / 2, y: H - 4, "text-anchor": "middle" }, h.unit));
    // right: value at each percentile, on an axis of nines
    const p0 = mid + 40, p1 = W - 18, last = h.curve[h.curve.length - 1][0];
    const nines = q => -Math.log10(1 - q), far = Math.max(nines(last), 1);
    const P = q => p0 + Math.min(nines(q) / far, 1) * (p1 - p0), Y = v => base - L(v) * (base - top);
    g.append(svg("text", { x: p0 - 34, y: 12 }, h.unit + " at percentile"));
    for (const v of ticks) {
      g.append(svg("line", { class: "grid", x1: p0, x2: p1, y1: Y(v), y2: Y(v) }));
      g.append(svg("text", { x: p0 - 6, y: Y(v) + 3.5, "text-anchor": "end" }, plain(v)));
    }
    for (const [q, name] of [[0, "0"], [.5, "50"], [.9, "90"], [.99, "99"], [.999, "99.9"], [.9999, "99.99"], [.99999, "99.999"], [.999999, "99.9999"]]) {
      if (nines(q) > far + 1e-9) continue;
      g.append(svg("line", { class: "grid", x1: P(q), x2: P(q), y1: top, y2: base }));
      g.append(svg("text", { x: P(q), y: base + 15, "text-anchor": "middle" }, name));
    }
    g.append(svg("line", { class: "axis", x1: p0, x2: p1, y1: base, y2: base }));
    g.append(svg("text", { x: (p0 + p1) / 2, y: H - 4, "text-anchor": "middle" }, "percentile, %"));
    for (const l of h.limits) {
      const cls = l.state === "failed" ? " failed" : "";
      const q = l.q == null ? last : Math.min(l.q, last);
      g.append(svg("line", { class: "limit" + cls, x1: X(l.value), x2: X(l.value), y1: top, y2: base }));
      g.append(svg("line", { class: "limit" + cls, x1: p0, x2: P(q), y1: Y(l.value), y2: Y(l.value) }));
      g.append(svg("line", { class: "limit" + cls, x1: P(q), x2: P(q), y1: Y(l.value), y2: base }));
      g.append(svg("text", { class: cls, x: p0 + 4, y: Y(l.value) - 5 }, `limit ${l.stat} ${rel(l.op)} ${plain(l.value)} ${h.unit}`));
    }
    g.append(svg("path", { class: "curve", d: h.curve.map(([q, v], i) => (i ? "L" : "M") + P(q).toFixed(1) + " " + Y(v).toFixed(1)).join("") }));
    // pointer readout
    const dot = svg("circle", { class: "dot", r: 4, cx: 0, cy: 0, visibility: "hidden" }), say = svg("text", { class: "lead", x: p1, y: 12, "text-anchor": "end" });
    g.append(dot, say);
    g.addEventListener("pointermove", e => {
      const m = g.getScreenCTM().inverse(), x = e.clientX * m.a + m.e;
      if (x < p0 - 10) { dot.setAttribute("visibility", "hidden"); say.textContent = ""; return; }
      let best = h.curve[0];
      for (const c of h.curve) if (Math.abs(P(c[0]) - x) < Math.abs(P(best[0]) - x)) best = c;
      dot.setAttribute("cx", P(best[0])); dot.setAttribute("cy", Y(best[1])); dot.setAttribute("visibility", "visible");
      say.textContent = `p${+(100 * best[0]).toPrecision(6)}: ${short(best[1])} ${h.unit}`;
    });
    g.addEventListener("pointerleave", () => { dot.setAttribute("visibility", "hidden"); say.textContent = ""; });
    return el("figure", {}, el("figcaption", {}, h.name, el("span", {}, `${h.n.toLocaleString("en")} values · min ${short(h.min)} · mean ${short(h.mean)} · max ${short(h.max)} ${h.unit}`)), g);
  };

  // ---- tables ------------------------------------------------------------
  const go = (row, lo, hi, mark) => {
    for (const r of document.querySelectorAll(".rows tr.on")) r.classList.remove("on");
    row.classList.add("on");
    marker = mark;
    const w = Math.max((hi - lo) * 2, Math.min(end, Math.max(end / 30, 60)));
    setZoom((lo + hi) / 2 - w / 2, (lo + hi) / 2 + w / 2);
    for (const p of plots) p.redraw(false, false);
    cursorAt(lo);
  };
  const row = (cells, act) => {
    const tr = el("tr", { tabindex: "0" });
    for (const [text, cls] of cells) tr.append(el("td", cls ? { class: cls } : {}, text));
    tr.addEventListener("click", () => { act(tr); $("#plots").scrollIntoView({ block: "start" }); });
    tr.addEventListener("keydown", e => { if (e.key === "Enter") act(tr); });
    return tr;
  };
  if (D.faults.length) {
    $("#faults").hidden = false;
    const body = $("#faults tbody");
    for (const f of D.faults) {
      const to = f.to_s == null ? end : f.to_s;
      body.append(row([[clock(f.from_s), "r t"], [f.to_s == null ? "end" : clock(to), "r t"], [span(to - f.from_s), "r"], [f.label, ""], [f.devices || "", ""],
        [f.recovery_s == null ? "–" : span(f.recovery_s), "r"]], tr => go(tr, f.from_s, to, null)));
    }
  }
  const signs = { info: "·", warning: "▲", critical: "◆" };
  let limit = 200;
  const E = D.events;
  function listEvents() {
    const q = $("#q").value.trim().toLowerCase().split(/\s+/).filter(Boolean), sev = $("#sev").value, kind = $("#kind").value, win = $("#inwin").checked;
    const hit = E.filter(e => (!sev || e.severity === sev) && (!kind || e.kind === kind) && (!win || e.t >= zoom[0] && e.t <= zoom[1]) &&
      (!q.length || (h => q.every(w => h.includes(w)))((e.kind + " " + e.device + " " + e.text + " " + e.severity).toLowerCase())));
    const rows = hit.slice(0, limit).map(e => row([
      [clock(e.t), "r t"], [utc(e.t), "t"], [`${signs[e.severity] || "·"} ${e.severity}`, "sev " + (e.severity in signs ? e.severity : "")], [e.kind, ""], [e.device, "t"], [e.text, ""],
    ], tr => go(tr, e.t, e.t, e.t)));
    $("#events tbody").replaceChildren(...rows);
    $("#more").hidden = hit.length <= limit;
    $("#shown").textContent = (rows.length < hit.length ? `${rows.length} of ` : "") + hit.length.toLocaleString("en") + (hit.length === 1 ? " event" : " events") +
      (D.more_events ? `; ${D.more_events.toLocaleString("en")} more in journal.jsonl` : "");
  }
  if (E.length) {
    $("#events").hidden = false;
    const uniq = k => [...new Set(E.map(e => e[k]))].filter(Boolean).sort();
    for (const [id, k] of [["#sev", "severity"], ["#kind", "kind"]]) for (const v of uniq(k)) $(id).append(el("option", { value: v }, v));
    for (const id of ["#q", "#sev", "#kind", "#inwin"]) $(id).addEventListener("input", () => { limit = 200; listEvents(); });
    $("#more").addEventListener("click", () => { limit += 1000; listEvents(); });
    listEvents();
  }

  // ---- go ----------------------------------------------------------------
  if (D.t.length > 1 && charts.length) {
    $("#plots").hidden = false;
    if (D.thinned) $("#thinned").textContent = `Each point stands for ${D.thinned} recorded instants: the worst error and the extremes among them.`;
    draw();
    $("#reset").addEventListener("click", () => { marker = null; setZoom(0, end); for (const p of plots) p.redraw(false, false); });
    showZoom();
    let width = host.clientWidth, printing = false;
    new ResizeObserver(() => {
      if (printing || host.clientWidth === width || !host.clientWidth) return;
      width = host.clientWidth;
      charts.forEach((c, i) => plots[i].setSize({ width: c.figure.clientWidth - 24, height: c.height }));
    }).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
    // Paper is white, and as wide as it is: 186 mm between the margins.
    addEventListener("beforeprint", () => { printing = true; document.documentElement.style.colorScheme = "light"; draw(670); });
    addEventListener("afterprint", () => { printing = false; document.documentElement.style.colorScheme = ""; draw(); });
  }
  if (D.latency.length) {
    $("#latency").hidden = false;
    $("#hists").append(...D.latency.map(latency));
  }
  document.documentElement.dataset.ready = "1";
})();
