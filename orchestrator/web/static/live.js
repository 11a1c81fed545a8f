// A run that is not over: one stream of events, closed while the tab is hidden; without it, a question every two seconds.
(() => {
  "use strict";
  const root = document.querySelector("[data-live]");
  if (!root) return;
  const base = root.dataset.live;
  const at = (id) => document.getElementById(id);
  const [status, tiles, ribbon, charts, log] = ["live-link", "live-tiles", "live-ribbon", "live-series", "live-log"].map(at);
  const SVG = "http://www.w3.org/2000/svg";
  const PHASES = ["init", "rng", "batch", "forward", "backward", "optimizer"];
  const MOST = 300;
  const across = at("live-across"), scale = across.querySelector("select");
  let stream = null, timer = 0, mark = "", shown = [];

  const make = (name, text, kind) => {
    const found = document.createElement(name);
    if (text !== undefined) found.textContent = text;
    if (kind) found.className = kind;
    return found;
  };
  const draw = (name, values) => {
    const found = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(values)) found.setAttribute(key, value);
    return found;
  };
  const said = (text) => { if (status.textContent !== text) status.textContent = text; };
  const number = (value) => value === null ? "not finite" : typeof value !== "number" ? String(value)
    : Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(6)));
  const size = (bytes) => {
    let value = bytes, unit = 0;
    while (value >= 1024 && unit < 4) { value /= 1024; unit += 1; }
    return `${unit ? value.toFixed(1) : value} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
  };

  // Words: a list of [name, text].
  function words(live) {
    const found = [];
    const trace = live.trace, use = live.use;
    if (trace) {
      found.push(["step", number(trace.steps)], ["phase", trace.phase || "-"]);
      found.push(["traced", `${number(trace.events)} events, ${number(trace.tensors)} digests`]);
      if (trace.processes > 1) found.push(["processes", number(trace.processes)]);
    }
    if (use && use.memory !== null) found.push(["memory", use.limit ? `${size(use.memory)} of ${size(use.limit)}` : size(use.memory)]);
    if (use && use.processors !== null) found.push(["processors", use.processors.toFixed(2)]);
    for (const gpu of use ? use.gpus : []) {
      found.push([gpu.name, `${gpu.busy === null ? "" : `${gpu.busy} %, `}${size(gpu.memory)} of ${size(gpu.total)}`]);
    }
    for (const problem of live.problems) found.push(["not followed", problem]);
    if (live.more_series) found.push(["more metrics", `${live.more_series}, at the end of the run`]);
    return found;
  }

  function showWords(live) {
    const rows = words(live);
    rows.forEach(([name, text], place) => {
      let tile = tiles.children[place];
      if (!tile) {
        tile = make("div");
        tile.append(make("dt"), make("dd"));
        tiles.append(tile);
      }
      if (tile.firstChild.textContent !== name) tile.firstChild.textContent = name;
      if (tile.lastChild.textContent !== text) tile.lastChild.textContent = text;
    });
    while (tiles.children.length > rows.length) tiles.lastChild.remove();
  }

  // A cell is a path of its own colour; where a rerun differs it is a cross besides.
  function showRibbon(trace) {
    const groups = trace ? trace.ribbon : [];
    ribbon.hidden = !groups.length;
    if (!groups.length) return;
    const paths = { same: "", plain: "", apart: "" };
    let crosses = "", apart = null;
    groups.forEach((group, column) => {
      PHASES.forEach((phase, row) => {
        if (!(phase in group.phases)) return;
        const other = group.apart.includes(phase);
        const kind = other ? "apart" : trace.compared ? "same" : "plain";
        paths[kind] += `M${column * 10} ${row * 12}h9v11h-9z`;
        if (other) crosses += `M${column * 10 + 2} ${row * 12 + 3}l5 5m0-5l-5 5`;
        if (other && apart === null) apart = [group.first, phase];
      });
    });
    const picture = draw("svg", { viewBox: `0 0 ${groups.length * 10} 72`, preserveAspectRatio: "none", role: "img", "aria-labelledby": "live-ribbon-said" });
    for (const kind of Object.keys(paths)) if (paths[kind]) picture.append(draw("path", { d: paths[kind], class: `cell ${kind}` }));
    if (crosses) picture.append(draw("path", { d: crosses, class: "cross" }));
    at("live-ribbon-picture").replaceChildren(picture);
    const last = groups[groups.length - 1].last;
    const text = `steps ${number(groups[0].first)} to ${number(last)}; rows: ${PHASES.join(", ")}`;
    const verdict = !trace.compared ? "" : apart ? `; differs from the original from step ${number(apart[0])} on (${apart[1]})` : "; all equal to the original so far";
    at("live-ribbon-said").textContent = text + verdict;
  }

  // Buckets that are drawn, where each begins and ends across, and what is said of that.
  function placed(series) {
    const { buckets, seconds } = series;
    const timed = buckets.map((_, place) => place).filter((place) => seconds[place]);
    const last = timed.length ? seconds[timed[timed.length - 1]][1] : 0;
    const words = timed.length ? `, the last at ${number(Math.round(last * 10) / 10)} s` : "";
    if (scale.value !== "time") return [buckets, buckets, words];
    if (!timed.length) return [buckets, buckets, ", by step: they have no times"];
    return [timed.map((place) => buckets[place]), timed.map((place) => seconds[place]), words];
  }

  function chart(series) {
    let figure = [...charts.children].find((one) => one.dataset.name === series.name);
    if (!figure) {
      figure = make("figure", undefined, "spark");
      figure.dataset.name = series.name;
      figure.append(make("figcaption"), make("div"));
      charts.append(figure);
    }
    const range = series.low === null ? "" : `, ${number(series.low)} to ${number(series.high)}`;
    const odd = series.not_finite ? `, ${number(series.not_finite)} not finite` : "";
    const [buckets, where, words] = placed(series);
    const caption = figure.firstChild;
    caption.replaceChildren(make("b", series.name), " ", make("span", number(series.value), "mono"), make("span", ` ${number(series.points)} points${range}${odd}${words}`, "quiet"));
    if (!buckets.length) return;
    const [left, right] = [where[0][0], where[where.length - 1][1]];
    const [low, high] = [series.low, series.high];
    const x = (place) => right > left ? ((place - left) / (right - left)) * 300 : 150;
    const y = (value) => high > low ? 58 - ((value / 2 - low / 2) / (high / 2 - low / 2)) * 56 : 30;
    const middle = (place) => x((where[place][0] + where[place][1]) / 2).toFixed(1);
    const top = buckets.map((one, place) => `${middle(place)} ${y(one[3]).toFixed(1)}`);
    const bottom = buckets.map((one, place) => `${middle(place)} ${y(one[2]).toFixed(1)}`);
    const picture = draw("svg", { viewBox: "0 0 300 60", preserveAspectRatio: "none", role: "img", "aria-label": `${series.name}: ${number(series.value)} after ${number(series.points)} points${range}` });
    picture.append(draw("path", { class: "band", d: `M${top.join("L")}L${bottom.reverse().join("L")}z` }), draw("path", { class: "line", d: `M${top.join("L")}` }));
    figure.lastChild.replaceChildren(picture);
  }

  function showState(live) {
    if (!live) return;
    showWords(live);
    showRibbon(live.trace);
    shown = live.series;
    across.hidden = !shown.some((series) => series.seconds.length);
    shown.forEach(chart);
  }

  function showLines(from, lines, whole) {
    if (whole) log.replaceChildren();
    if (!lines.length) return;
    const follow = log.hidden || log.scrollTop + log.clientHeight >= log.scrollHeight - 30;
    log.hidden = false;
    const rows = lines.map((line, place) => {
      const row = make("span");
      row.append(make("i", String(from + place)), line);
      return row;
    });
    log.append(...rows);
    while (log.children.length > MOST) log.firstChild.remove();
    if (follow) log.scrollTop = log.scrollHeight;
  }

  function everything(data) {
    if (!data.log) { over(); return; }
    if (data.state !== root.dataset.state) { over(); return; }
    showLines(data.log.first, data.log.lines, true);
    showState(data.live);
    said("live");
  }

  // The page has other parts in another state of the run; it keeps its place where it is loaded anew.
  function over() {
    stop();
    location.reload();
  }

  function open() {
    stop();
    if (document.hidden) return;
    said("connecting");
    stream = new EventSource(`${base}/events`);
    const heard = (name, use) => stream.addEventListener(name, (event) => use(JSON.parse(event.data)));
    heard("reset", everything);
    heard("state", (data) => { showState(data); said("live"); });
    heard("log", (data) => showLines(data.first, data.lines, false));
    heard("run", over);
    heard("end", over);
    heard("problem", (data) => said(data.problem));
    stream.addEventListener("error", () => {
      said("the server does not answer; trying again");
      if (stream && stream.readyState === EventSource.CLOSED) { stop(); poll(); }
    });
  }

  async function poll() {
    timer = 0;
    if (document.hidden) return;
    try {
      const answer = await fetch(`${base}/live`, { headers: mark ? { "If-None-Match": mark } : {}, cache: "no-store" });
      if (answer.status === 200) { mark = answer.headers.get("ETag") || ""; everything(await answer.json()); said("live, by asking"); }
      else if (answer.status !== 304) said("the server refuses; trying again");
    } catch { said("the server does not answer; trying again"); }
    timer = setTimeout(poll, 2000);
  }

  // The address holds it: the charts of the run that is over go by the same.
  if (new URL(location).searchParams.get("x") === "time") scale.value = "time";
  scale.addEventListener("change", () => {
    const here = new URL(location);
    if (scale.value === "time") here.searchParams.set("x", "time");
    else here.searchParams.delete("x");
    history.replaceState(history.state, "", here);
    shown.forEach(chart);
  });

  function stop() {
    if (stream) stream.close();
    stream = null;
    if (timer) clearTimeout(timer);
    timer = 0;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : open()));
  addEventListener("pagehide", stop);
  open();
})();
