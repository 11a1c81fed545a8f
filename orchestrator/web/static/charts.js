// Charts of metrics: lines that the server made few enough to be drawn, with one cursor for all of a page.
// A page holds `figure[data-chart]` (templates/charts.html). Anyone may dispatch `reprise:points` when more
// points are there, and `reprise:chosen` with {runs: Set|null} for the runs that are to be seen.
(() => {
  "use strict";
  const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
  const charts = [];
  let chosen = null; // a Set of runs; null: all

  const colourOf = window.repriseColour;
  const short = (value) => value === null || value === undefined ? "–"
    : Number.isInteger(value) && Math.abs(value) < 1e9 ? value.toLocaleString("en") : String(Number(value.toPrecision(6)));
  const tick = (value) => value === null ? "" : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(1).replace(".0e", "e") : String(Number(value.toPrecision(5)));

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.place = figure.querySelector(".plot");
      this.readout = figure.querySelector(".readout");
      this.runs = figure.dataset.runs.split(",");
      this.plot = null;
      this.asked = 0;
      this.place.addEventListener("keydown", (event) => this.key(event));
    }

    async load() {
      const asked = ++this.asked;
      const wanted = options();
      const query = new URLSearchParams({
        runs: this.figure.dataset.runs, metric: decodeURIComponent(this.figure.dataset.metric),
        x: decodeURIComponent(wanted.x), smooth: wanted.smooth, width: Math.max(200, Math.round(this.place.clientWidth)),
      });
      let answer;
      try {
        const response = await fetch(this.figure.dataset.src + "?" + query);
        if (!response.ok) throw new Error("the server answered " + response.status);
        answer = await response.json();
      } catch (error) {
        if (asked === this.asked) this.readout.textContent = "not drawn: " + error.message;
        return;
      }
      if (asked !== this.asked) return; // a newer question was asked meanwhile
      this.lines = answer.lines;
      this.leftOut = answer.left_out.length;
      this.draw();
    }

    draw() {
      if (!this.lines) return;
      const { logx, logy } = options();
      const fits = (value, log) => !log || value > 0;
      let dropped = 0;
      const tables = this.lines.map((line) => {
        const x = [], y = [];
        line.x.forEach((at, place) => {
          if (fits(at, logx) && fits(line.y[place], logy)) {
            if (x.length && x[x.length - 1] === at) {
              // uPlot has one value at a place; of several the one farther from the last is kept.
              const before = y.length > 1 ? y[y.length - 2] : 0;
              if (Math.abs(line.y[place] - before) > Math.abs(y[y.length - 1] - before)) y[y.length - 1] = line.y[place];
            } else { x.push(at); y.push(line.y[place]); }
          } else dropped += 1;
        });
        return [x, y];
      });
      const some = tables.some((table) => table[0].length);
      this.plot?.destroy();
      this.plot = null;
      this.told = this.notes(dropped);
      this.say(null);
      if (!some) { this.readout.textContent = ["no points to draw", ...this.told].join("; "); return; }
      const data = tables.length === 1 ? tables[0] : uPlot.join(tables);
      const grid = { stroke: colourOf("chart-grid") , width: 1 };
      const axis = { stroke: colourOf("quiet"), grid, ticks: grid, values: (_, all) => all.map(tick), font: "11px sans-serif" };
      this.plot = new uPlot({
        width: Math.max(200, this.place.clientWidth),
        height: 220,
        legend: { show: false },
        scales: { x: { time: false, distr: logx ? 3 : 1 }, y: { distr: logy ? 3 : 1 } },
        axes: [{ ...axis, space: 60 }, { ...axis, size: 62 }],
        cursor: { sync: { key: "reprise", setSeries: false }, focus: { prox: 1e6 }, points: { size: 6 } },
        focus: { alpha: this.lines.length > 1 ? 0.35 : 1 },
        series: [{}, ...this.lines.map((line, number) => ({
          label: line.run, stroke: colourOf("c" + number % 8), width: 1.5, dash: DASHES[Math.floor(number / 8) % 4],
          spanGaps: true, show: !chosen || chosen.has(line.run), points: { show: data[0].length < 3 },
        }))],
        hooks: {
          setCursor: [() => this.say(this.focused ?? 1)],
          setSeries: [(_, number) => { this.focused = number; }],
        },
      }, data, this.place);
      this.place.dataset.drawn = String(Number(this.place.dataset.drawn || 0) + 1);
    }

    notes(dropped) {
      const found = [];
      if (this.leftOut) found.push(`the last ${short(this.leftOut)} of ${short(this.runs.length)} runs are left out: the others have too many points for one chart`);
      const lost = this.lines.filter((line) => line.not_numbers);
      if (lost.length) {
        const count = lost.reduce((sum, line) => sum + line.not_numbers, 0);
        const first = Math.min(...lost.map((line) => line.first_not_number));
        found.push(`${short(count)} ${count === 1 ? "point is no finite number" : "points are no finite numbers"}, the first at ${short(first)}`);
      }
      if (dropped) found.push(`${short(dropped)} points are not above zero: a logarithmic axis has no place for them`);
      const points = this.lines.reduce((sum, line) => sum + line.points, 0);
      const drawn = this.lines.reduce((sum, line) => sum + line.x.length, 0);
      if (this.lines.some((line) => line.reduced)) {
        found.push(`${short(points)} points drawn as ${short(drawn)}: the least and the greatest of each stretch`);
      }
      const timeless = this.lines.filter((line) => line.without_times);
      if (timeless.length) {
        const count = timeless.reduce((sum, line) => sum + line.without_times, 0);
        const whose = this.lines.length > 1 ? ` of ${short(timeless.length)} of ${short(this.lines.length)} runs` : "";
        found.push(`${short(count)} ${count === 1 ? "point" : "points"}${whose} not drawn: no time is recorded with them`);
      }
      if (this.lines.some((line) => line.without_steps)) found.push("some points have no step: those lines go by their order");
      return found;
    }

    say(number) {
      const at = this.plot?.cursor.idx;
      if (number === null || number === undefined || at === null || at === undefined) {
        this.readout.textContent = this.told.join("; ");
        return;
      }
      const line = this.plot.series[number];
      let value = this.plot.data[number]?.[at];
      for (let back = at; (value === null || value === undefined) && back >= 0; back -= 1) value = this.plot.data[number][back];
      this.readout.textContent = `${this.lines.length > 1 ? line.label + " · " : ""}${short(this.plot.data[0][at])} · ${short(value)}`;
    }

    show() {
      if (!this.plot) return;
      this.plot.batch(() => this.lines.forEach((line, place) => {
        const wanted = !chosen || chosen.has(line.run);
        if (this.plot.series[place + 1].show !== wanted) this.plot.setSeries(place + 1, { show: wanted });
      }));
    }

    key(event) {
      if (!this.plot || event.ctrlKey || event.metaKey || event.altKey) return;
      const { data } = this.plot;
      const last = data[0].length - 1;
      const at = this.plot.cursor.idx ?? -1;
      const leap = event.shiftKey ? Math.max(1, Math.round(last / 20)) : 1;
      let to;
      switch (event.key) {
        case "ArrowRight": to = Math.min(last, at + leap); break;
        case "ArrowLeft": to = Math.max(0, at - leap); break;
        case "Home": to = 0; break;
        case "End": to = last; break;
        case "ArrowDown": case "ArrowUp": {
          const count = this.lines.length;
          const next = (this.focused ?? 1) + (event.key === "ArrowDown" ? 1 : -1);
          this.plot.setSeries(((next - 1 + count) % count) + 1, { focus: true });
          to = Math.max(0, at);
          break;
        }
        case "0": this.plot.setScale("x", { min: data[0][0], max: data[0][last] }); event.preventDefault(); return;
        default: return;
      }
      event.preventDefault();
      this.plot.setCursor({ left: this.plot.valToPos(data[0][to], "x"), top: this.plot.bbox.height / devicePixelRatio / 2 });
    }
  }

  const form = () => document.querySelector(".chart-controls");
  const options = () => {
    const fields = form()?.elements;
    return {
      x: fields?.x.value ?? "step", smooth: fields?.smooth.value ?? "0",
      logx: fields?.logx.checked ?? false, logy: fields?.logy.checked ?? false,
    };
  };

  // The address holds what was chosen.
  const remember = () => {
    const here = new URL(location);
    const wanted = options();
    const plain = { x: "step", smooth: "0", logx: false, logy: false };
    for (const [name, value] of Object.entries(wanted)) {
      if (value === plain[name]) here.searchParams.delete(name);
      else here.searchParams.set(name, value === true ? "1" : value);
    }
    history.replaceState(history.state, "", here);
  };
  const recall = (fields) => {
    const asked = new URL(location).searchParams;
    const x = asked.get("x");
    if (x && [...fields.x.options].some((one) => one.value === x)) fields.x.value = x;
    if (asked.get("smooth")) fields.smooth.value = asked.get("smooth");
    fields.logx.checked = asked.get("logx") === "1";
    fields.logy.checked = asked.get("logy") === "1";
    fields.smoothed.value = Number(fields.smooth.value) ? fields.smooth.value : "none";
  };

  addEventListener("DOMContentLoaded", () => {
    const figures = [...document.querySelectorAll("[data-chart]")];
    if (!figures.length) return;
    document.querySelectorAll(".chart-need").forEach((need) => { need.hidden = true; });
    const controls = form();
    if (controls) {
      controls.hidden = false;
      recall(controls.elements);
      controls.addEventListener("submit", (event) => event.preventDefault());
      let waiting = 0;
      controls.addEventListener("input", (event) => {
        const { name } = event.target;
        controls.elements.smoothed.value = Number(controls.elements.smooth.value) ? controls.elements.smooth.value : "none";
        remember();
        clearTimeout(waiting);
        if (name === "logx" || name === "logy") charts.forEach((chart) => chart.draw());
        else waiting = setTimeout(() => charts.forEach((chart) => chart.seen && chart.load()), 150);
      });
    }
    const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      const chart = charts.find((one) => one.figure === entry.target);
      if (entry.isIntersecting && !chart.seen) { chart.seen = true; chart.load(); }
    }), { rootMargin: "300px" });
    const sized = new ResizeObserver((entries) => entries.forEach((entry) => {
      const chart = charts.find((one) => one.place === entry.target);
      const width = Math.round(entry.contentRect.width);
      if (chart.plot && width > 0 && chart.plot.width !== width) chart.plot.setSize({ width, height: 220 });
    }));
    for (const figure of figures) {
      const chart = new Chart(figure);
      charts.push(chart);
      seen.observe(figure);
      sized.observe(chart.place);
    }
    const redraw = () => charts.forEach((chart) => chart.draw());
    addEventListener("reprise:theme", redraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  });
  addEventListener("reprise:points", () => charts.forEach((chart) => chart.seen && chart.load()));
  addEventListener("reprise:chosen", (event) => { chosen = event.detail.runs; charts.forEach((chart) => chart.show()); });
})();
