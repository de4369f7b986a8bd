// Live regions, charts, keys and times. Pages work without it, but for charts and news.
(() => {
  "use strict";
  const body = document.body;
  const live = document.getElementById("live");
  const EVERY = 2000;
  let marker = body.dataset.marker || "";
  let paused = localStorage.getItem("updates") === "off";
  let lost = 0;
  let waiting = new Set();

  // Times: UTC as the page has them, or the zone chosen under Settings.
  const zone = localStorage.getItem("zone") || "UTC";
  const clock = (at) => {
    const options = {
      year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
      second: "2-digit", hourCycle: "h23", timeZoneName: "short",
    };
    if (zone !== "local") options.timeZone = zone;
    return new Intl.DateTimeFormat("sv-SE", options).format(at);
  };
  const times = (within) => {
    if (zone === "UTC") return;
    for (const one of within.querySelectorAll("time[datetime]")) {
      one.textContent = clock(new Date(one.dateTime));
    }
  };

  // News: one small question every two seconds while the tab is seen.
  const say = (text, state) => {
    if (!live) return;
    if (live.textContent !== text) live.textContent = text;
    live.className = "live " + state;
  };
  const busy = (region) =>
    (region.contains(document.activeElement) && document.activeElement !== body) ||
    region.querySelector("input:checked") !== null ||
    (!getSelection().isCollapsed && region.contains(getSelection().anchorNode));
  const refresh = () => {
    for (const region of document.querySelectorAll("[data-live]")) {
      const topics = region.dataset.live.split(" ");
      if (!topics.some((topic) => waiting.has(topic)) || busy(region)) continue;
      htmx.trigger(region, "refresh");
    }
    for (const [figure, drawn] of charts) {
      if (waiting.size) load(figure, drawn);
    }
    waiting = new Set();
  };
  const look = async () => {
    if (document.hidden || !live) return;
    if (paused) { say("updates are paused", "off"); return; }
    try {
      const answer = await fetch("/api/changes?since=" + encodeURIComponent(marker), {
        headers: { accept: "application/json" }, signal: AbortSignal.timeout(4000),
      });
      if (answer.status === 401) { say("signed out", "off"); return; }
      if (answer.status === 200) {
        const news = await answer.json();
        marker = news.marker;
        for (const topic of news.changed) waiting.add(topic);
      } else if (answer.status !== 304) throw new Error(answer.status);
      lost = 0;
      say("live", "on");
      refresh();
      tail();
    } catch {
      lost = lost || Date.now();
      say("not live since " + clock(lost).slice(11, 19), "off");
    }
  };

  // Charts.
  const charts = new Map();
  const colours = ["#2f7fd1", "#d1762f", "#2f9e6b", "#b1489b", "#8a7a2a", "#6a5acd", "#c0392b", "#4a8f8f"];
  const units = {
    bytes: (v) => (v >= 2 ** 30 ? (v / 2 ** 30).toFixed(1) + " GB" : (v / 2 ** 20).toFixed(0) + " MB"),
    dollars: (v) => (Math.abs(v) >= 1e6 ? (v / 1e6).toFixed(1) + " M$" : Math.abs(v) >= 1e4 ? (v / 1e3).toFixed(0) + " k$" : v.toFixed(0) + " $"),
    percent: (v) => (100 * v).toFixed(1) + " %",
    ratio: (v) => v.toFixed(2),
    share: (v) => v.toFixed(2),
    core: (v) => v.toFixed(0) + " %",
  };
  // [least step in seconds, text, and what is added where year, month, day or hour change]
  const dates = [
    [365 * 86400, "{YYYY}", null, null, null, null, null, null, 1],
    [28 * 86400, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
    [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{YYYY}-{MM}-{DD}", null, null, null, 1],
  ];
  // Steps that are whole seconds, and whole in binary units.
  const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    ...[1, 2, 3, 5, 7, 10, 15, 30, 60, 90, 120, 180, 365, 730, 1825, 3650].map((days) => days * 86400)];
  const binary = Array.from({ length: 50 }, (_, power) => 2 ** power);
  const options = (data, width, height) => {
    const style = getComputedStyle(document.documentElement);
    const text = style.getPropertyValue("--text").trim(), line = style.getPropertyValue("--line").trim();
    const warn = style.getPropertyValue("--warn").trim();
    const unit = units[data.unit] || ((v) => (Math.abs(v) >= 1000 ? v.toLocaleString("en") : String(+v.toPrecision(4))));
    const show = (v) => (v === null || v === undefined ? "–" : unit(v));
    return {
      width, height, cursor: { sync: { key: "time" } },
      scales: {
        x: { time: data.axis === "time" },
        y: data.unit === "share" ? { range: [0, 1] } : {},
      },
      tzDate: (ts) => (zone === "local" ? new Date(ts * 1000) : uPlot.tzDate(new Date(ts * 1000), zone === "UTC" ? "Etc/UTC" : zone)),
      axes: [
        {
          stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line },
          ...(data.axis === "time" ? { values: dates, incrs: seconds, space: 75 } : {}),
          ...(units[data.x_unit] ? { space: 75, values: (u, all) => all.map(units[data.x_unit]) } : {}),
        },
        { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line }, size: 76, ...(data.unit === "bytes" ? { incrs: binary } : {}), values: (u, all, axis, space, step) => all.map((v) => (data.unit === "dollars" && step < 1e4 ? v.toLocaleString("en") + " $" : show(v))) },
      ],
      series: [
        data.axis === "time" ? { value: "{YYYY}-{MM}-{DD} {HH}:{mm}" } : { label: data.x_name || "x", value: (u, v) => (v === null ? "–" : (units[data.x_unit] || ((n) => String(+n.toPrecision(4))))(v)) },
        ...data.series.map((one, place) => ({
          label: one.label, stroke: colours[place % colours.length], width: 1.5,
          dash: place > 3 ? [6, 3] : undefined,
          paths: data.points ? () => null : undefined,
          points: data.points ? { show: true, size: 5 } : { show: data.x.length < 60 },
          value: (u, v) => show(v), spanGaps: !data.points,
        })),
      ],
      hooks: {
        draw: [(u) => {
          for (const [at, label] of data.marks) {
            const x = u.valToPos(at, "x", true);
            if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
            u.ctx.save();
            u.ctx.strokeStyle = u.ctx.fillStyle = warn;
            u.ctx.setLineDash([4, 4]);
            u.ctx.beginPath(); u.ctx.moveTo(x, u.bbox.top); u.ctx.lineTo(x, u.bbox.top + u.bbox.height); u.ctx.stroke();
            u.ctx.font = 11 * devicePixelRatio + "px sans-serif";
            u.ctx.fillText(label, x + 4, u.bbox.top + 12 * devicePixelRatio);
            u.ctx.restore();
          }
        }],
      },
    };
  };
  const load = async (figure, drawn) => {
    const place = figure.querySelector(".plot");
    const width = Math.max(place.clientWidth, 200);
    try {
      const address = figure.dataset.chart;
      const answer = await fetch(address + (address.includes("?") ? "&" : "?") + "width=" + width);
      const data = await answer.json();
      if (!answer.ok) throw new Error(data.error);
      const columns = [data.x, ...data.series.map((one) => one.values)];
      const known = data.series.some((one) => one.values.some((v) => v !== null));
      if (!known) {
        if (drawn.plot) drawn.plot.destroy();
        drawn.plot = null;
        place.textContent = "Nothing to draw yet. " + data.note;
      } else if (data.x[0] === data.x[data.x.length - 1]) {
        // What lies at one place has no width that an axis could have.
        if (drawn.plot) drawn.plot.destroy();
        drawn.plot = null;
        const plain = (v) => String(+v.toPrecision(6));
        const shown = (unit, v) => (v === null ? "–" : (units[unit] || plain)(v));
        const values = (one) => one.label + " " + one.values.map((v) => shown(data.unit, v)).join(", ");
        place.textContent = (data.x.length === 1 ? "One point so far: " : data.x.length + " points at one place: ") +
          data.series.map(values).join("; ") + " at " +
          (data.axis === "time" ? clock(new Date(data.x[0] * 1000)) : data.x_name + " " + shown(data.x_unit, data.x[0])) +
          (data.note ? ". " + data.note : "");
      } else if (drawn.plot && drawn.plot.series.length === columns.length) {
        drawn.marks.splice(0, drawn.marks.length, ...data.marks);
        drawn.plot.setData(columns);
      } else {
        if (drawn.plot) drawn.plot.destroy();
        place.textContent = "";
        drawn.marks = data.marks;
        drawn.plot = new uPlot(options(data, width, Number(figure.dataset.height) || 220), columns, place);
        if (data.note) {
          const note = document.createElement("p");
          note.className = "note";
          note.textContent = data.note;
          place.append(note);
        }
      }
    } catch (problem) {
      if (!drawn.plot) place.textContent = "The chart is not to be had: " + problem.message;
    }
  };
  const draw = (within) => {
    for (const figure of within.querySelectorAll("figure[data-chart]")) {
      if (charts.has(figure)) continue;
      const drawn = { plot: null, marks: [] };
      charts.set(figure, drawn);
      load(figure, drawn);
    }
  };
  const forget = () => {
    for (const [figure, drawn] of charts) {
      if (figure.isConnected) continue;
      if (drawn.plot) drawn.plot.destroy();
      charts.delete(figure);
    }
  };
  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      for (const [figure, drawn] of charts) {
        if (drawn.plot) drawn.plot.setSize({ width: Math.max(figure.querySelector(".plot").clientWidth, 200), height: Number(figure.dataset.height) || 220 });
      }
    }, 150);
  });

  // The end of a log, as it grows; only so many lines are kept.
  const log = document.getElementById("log");
  const tail = async () => {
    if (!log) return;
    const answer = await fetch(log.dataset.tail + "?offset=" + log.dataset.offset);
    if (!answer.ok) return;
    const news = await answer.json();
    log.dataset.offset = news.offset;
    if (!news.lines.length) return;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    const lines = (log.textContent + news.lines.join("\n") + "\n").split("\n");
    log.textContent = lines.slice(-2000).join("\n");
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  if (log) log.scrollTop = log.scrollHeight;

  // Keys: only where they are not switched off, and never while somebody writes.
  const pages = {};
  for (const one of document.querySelectorAll("nav a[data-key]")) pages[one.dataset.key] = one.href;
  const keys = document.getElementById("keys");
  let going = 0;
  addEventListener("keydown", (event) => {
    if (localStorage.getItem("keys") === "off" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (Date.now() - going < 1500 && pages[event.key]) { location.href = pages[event.key]; return; }
    going = 0;
    if (event.key === "g") going = Date.now();
    else if (event.key === "/") { event.preventDefault(); document.getElementById("search")?.focus(); }
    else if (event.key === "?") keys?.showModal();
    else if (event.key === "u") { paused = !paused; localStorage.setItem("updates", paused ? "off" : "on"); look(); }
  });

  // Settings of this browser.
  for (const one of document.querySelectorAll("[data-setting]")) {
    const name = one.dataset.setting;
    one.value = localStorage.getItem(name) || one.value;
    one.addEventListener("change", () => { localStorage.setItem(name, one.value); location.reload(); });
  }

  // What is newest stands at the right, and is what a narrow window shows.
  const newest = (within) => {
    for (const one of within.querySelectorAll('[data-newest="right"]')) one.scrollLeft = one.scrollWidth;
  };

  times(document);
  newest(document);
  if (window.uPlot) draw(document);
  body.addEventListener("htmx:afterSwap", () => { forget(); times(document); newest(document); draw(document); });
  if (live) { look(); setInterval(look, EVERY); document.addEventListener("visibilitychange", look); }
})();
