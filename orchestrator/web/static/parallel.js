// Parallel coordinates on a canvas, and a scatter of two axes, both linked with the table of runs beside them.
// `#parallel` holds data-drawing: {runs, axes: [{name, numbers, logarithmic, categories, places}]}. The axes'
// order, scales and brushes stand in the address. Without a mouse: an axis is a button (arrows move it), and
// its range is given by fields.
(() => {
  "use strict";
  const HEIGHT = 320, TOP = 14, FOOT = 34, MISSING = 16, WIDEST = 3000, NARROWEST = 110, NEAR = 7;

  const short = (value) => value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)
    ? value.toExponential(2).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(4)));
  const colourOf = window.repriseColour;
  const element = (name, attributes = {}, ...children) => {
    const found = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
    found.append(...children);
    return found;
  };

  class Axis {
    constructor(given, number) {
      Object.assign(this, given);
      this.number = number;
      this.log = given.logarithmic;
      this.brush = null; // [from, to] of values; for categories of their places
      const known = this.places.filter((place) => place !== null);
      this.positive = this.numbers && known.every((place) => place > 0);
      this.least = Math.min(...known);
      this.greatest = Math.max(...known);
    }
    // 0 at the foot to 1 at the top; null for a run that has no such value.
    share(place) {
      if (place === null) return null;
      if (!this.numbers) return this.categories.length < 2 ? 0.5 : place / (this.categories.length - 1);
      const scale = this.log ? Math.log10 : (value) => value;
      const low = scale(this.least), high = scale(this.greatest);
      // By halves: the distance may be more than a double can say.
      return high > low ? (scale(place) / 2 - low / 2) / (high / 2 - low / 2) : 0.5;
    }
    value(share) {
      if (!this.numbers) return share * Math.max(0, this.categories.length - 1);
      if (!this.log) return this.least * (1 - share) + share * this.greatest;
      const low = Math.log10(this.least), high = Math.log10(this.greatest);
      return 10 ** (low + share * (high - low));
    }
    holds(run) {
      if (!this.brush) return true;
      const place = this.places[run];
      return place !== null && place >= this.brush[0] && place <= this.brush[1];
    }
    text(place) {
      return place === null ? "–" : this.numbers ? short(place) : this.categories[Math.round(place)];
    }
    ticks() {
      if (!this.numbers) return this.categories.map((text, place) => [this.share(place), text]);
      return [0, 0.25, 0.5, 0.75, 1].map((share) => [this.least === this.greatest ? 0.5 : share, short(this.value(share))]);
    }
  }

  class Parallel {
    constructor(root) {
      const drawing = JSON.parse(root.dataset.drawing);
      this.root = root;
      this.runs = drawing.runs;
      this.kept = this.runs.map((_, run) => run);
      this.axes = drawing.axes.map((axis, number) => new Axis(axis, number));
      this.order = this.axes.map((_, number) => number);
      this.chosen = this.order[this.order.length - 1];
      this.lit = null;
      this.lanes = root.querySelector(".lanes");
      this.heads = element("ol");
      this.canvas = element("canvas", { role: "img", "aria-label": "A line for each run through its values; the table below holds them" });
      this.lanes.append(this.heads, this.canvas);
      this.count = root.querySelector("#parallel-count");
      this.form = root.querySelector(".axis-form");
      this.rows = new Map([...document.querySelectorAll("#beside tbody tr")].map((row) => [row.dataset.run, row]));
      this.recall();
      this.makeHeads();
      this.makeForm();
      this.makeScatter();
      this.listen();
      root.hidden = false;
      this.layout();
      this.changed(false);
    }

    // The address: order=2.0.1, and for each axis that was changed aN=log:from:to
    recall() {
      const asked = new URL(location).searchParams;
      const order = (asked.get("order") ?? "").split(".").filter((word) => word !== "").map(Number);
      if (order.length === this.axes.length && new Set(order).size === order.length && order.every((at) => this.axes[at])) this.order = order;
      for (const axis of this.axes) {
        const words = (asked.get("a" + axis.number) ?? "").split("~");
        if (words.length !== 3) continue;
        axis.log = words[0] === "log" && axis.positive;
        if (words[1] !== "" && Number.isFinite(Number(words[1])) && Number.isFinite(Number(words[2]))) axis.brush = [Number(words[1]), Number(words[2])];
      }
      const chosen = Number(asked.get("axis"));
      if (asked.get("axis") !== null && this.axes[chosen]) this.chosen = chosen;
    }
    remember() {
      const here = new URL(location);
      const set = (name, value) => value === null ? here.searchParams.delete(name) : here.searchParams.set(name, value);
      set("order", this.order.every((at, place) => at === place) ? null : this.order.join("."));
      set("axis", this.chosen === this.axes.length - 1 ? null : String(this.chosen));
      for (const axis of this.axes) {
        const plain = axis.log === axis.logarithmic && !axis.brush;
        set("a" + axis.number, plain ? null : [axis.log ? "log" : "lin", ...(axis.brush ?? ["", ""])].join("~"));
      }
      history.replaceState(history.state, "", here);
    }

    makeHeads() {
      this.buttons = this.axes.map((axis) => {
        const button = element("button", { type: "button", title: axis.name, "aria-describedby": "parallel-help" }, element("span", {}, axis.name));
        button.addEventListener("click", () => { this.chosen = axis.number; this.changed(); });
        button.addEventListener("keydown", (event) => {
          const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
          if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
          event.preventDefault();
          this.move(axis.number, this.order.indexOf(axis.number) + by);
          button.focus();
          this.count.textContent = `${axis.name} is now axis ${this.order.indexOf(axis.number) + 1} of ${this.order.length}`;
        });
        button.addEventListener("pointerdown", (event) => this.dragHead(event, axis, button));
        return button;
      });
      this.arrange();
    }
    arrange() {
      this.heads.replaceChildren(...this.order.map((at) => element("li", {}, this.buttons[at])));
      this.place();
    }
    move(axis, to) {
      const from = this.order.indexOf(axis);
      if (to < 0 || to >= this.order.length || to === from) return;
      this.order.splice(from, 1);
      this.order.splice(to, 0, axis);
      this.arrange();
      this.changed();
    }
    dragHead(down, axis, button) {
      if (down.button !== 0) return;
      let moved = false;
      const move = (event) => {
        if (!moved && Math.abs(event.clientX - down.clientX) < 8) return;
        moved = true;
        const at = event.clientX - this.lanes.getBoundingClientRect().left + this.lanes.scrollLeft;
        const to = this.order.map((_, place) => Math.abs(this.x(place) - at));
        this.move(axis.number, to.indexOf(Math.min(...to)));
      };
      const up = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", up); removeEventListener("pointercancel", up); button.focus(); };
      addEventListener("pointermove", move);
      addEventListener("pointerup", up);
      addEventListener("pointercancel", up);
    }

    // The fields of the chosen axis: what the mouse does, for the keyboard.
    makeForm() {
      const name = element("strong");
      const field = (label, type) => {
        const input = element("input", { type, step: "any" });
        return [element("label", {}, label, input), input];
      };
      const [fromLabel, from] = field("from", "number");
      const [toLabel, to] = field("to", "number");
      const [onlyLabel, only] = [element("label", {}, "only"), element("select")];
      onlyLabel.append(only);
      const log = element("input", { type: "checkbox" });
      const logLabel = element("label", { class: "check" }, log, "logarithmic");
      const clear = element("button", { type: "button" }, "All runs");
      this.form.append(name, fromLabel, toLabel, onlyLabel, logLabel, clear);
      const ranged = () => {
        const axis = this.axes[this.chosen];
        const given = [from.value === "" ? axis.least : Number(from.value), to.value === "" ? axis.greatest : Number(to.value)];
        axis.brush = from.value === "" && to.value === "" ? null : [Math.min(...given), Math.max(...given)];
        this.changed();
      };
      from.addEventListener("change", ranged);
      to.addEventListener("change", ranged);
      only.addEventListener("change", () => {
        this.axes[this.chosen].brush = only.value === "" ? null : [Number(only.value), Number(only.value)];
        this.changed();
      });
      log.addEventListener("change", () => { this.axes[this.chosen].log = log.checked; this.changed(); });
      clear.addEventListener("click", () => { for (const axis of this.axes) axis.brush = null; this.changed(); });
      this.fillForm = () => {
        const axis = this.axes[this.chosen];
        name.textContent = axis.name;
        fromLabel.hidden = toLabel.hidden = logLabel.hidden = !axis.numbers;
        onlyLabel.hidden = axis.numbers;
        logLabel.hidden ||= !axis.positive;
        log.checked = axis.log;
        from.placeholder = short(axis.least);
        to.placeholder = short(axis.greatest);
        from.value = axis.brush && axis.numbers ? String(Number(axis.brush[0].toPrecision(6))) : "";
        to.value = axis.brush && axis.numbers ? String(Number(axis.brush[1].toPrecision(6))) : "";
        only.replaceChildren(element("option", { value: "" }, "any"), ...axis.categories.map((text, place) => element("option", { value: String(place) }, text)));
        only.value = axis.brush && !axis.numbers && axis.brush[0] === axis.brush[1] ? String(axis.brush[0]) : "";
      };
    }

    makeScatter() {
      if (this.axes.length < 2) return;
      const select = (label, value) => {
        const found = element("select", {}, ...this.axes.map((axis) => element("option", { value: String(axis.number) }, axis.name)));
        found.value = String(value);
        found.addEventListener("change", () => this.draw());
        return [element("label", {}, label + " ", found), found];
      };
      const [acrossLabel, across] = select("Across", 0);
      const [upLabel, up] = select("Up", this.axes.length - 1);
      this.across = across;
      this.up = up;
      this.scatter = element("canvas", { role: "img", "aria-label": "A point for each run; the table below holds the values" });
      const box = element("details", { class: "scatter" }, element("summary", {}, "Scatter of two of them"), element("div", { class: "bar" }, acrossLabel, upLabel), this.scatter);
      box.addEventListener("toggle", () => this.draw());
      this.scatterBox = box;
      this.root.append(box);
    }

    listen() {
      this.canvas.addEventListener("pointerdown", (event) => this.dragBrush(event));
      this.canvas.addEventListener("pointermove", (event) => this.light(this.nearest(event)));
      this.canvas.addEventListener("pointerleave", () => this.light(null));
      for (const [run, row] of this.rows) {
        row.addEventListener("pointerenter", () => this.light(this.runs.indexOf(run)));
        row.addEventListener("pointerleave", () => this.light(null));
        row.addEventListener("focusin", () => this.light(this.runs.indexOf(run)));
        row.addEventListener("focusout", () => this.light(null));
      }
      new ResizeObserver(() => { if (this.lanes.clientWidth !== this.laidOut) this.layout(); }).observe(this.lanes);
      addEventListener("reprise:theme", () => this.draw());
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }
    at(event) {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }
    shareAt(y) { return Math.min(1, Math.max(0, (HEIGHT - FOOT - y) / (HEIGHT - FOOT - TOP))); }
    dragBrush(down) {
      if (down.button !== 0) return;
      const [x, y] = this.at(down);
      const gaps = this.order.map((_, place) => Math.abs(this.x(place) - x));
      const place = gaps.indexOf(Math.min(...gaps));
      if (gaps[place] > 24) return;
      const axis = this.axes[this.order[place]];
      this.chosen = axis.number;
      const start = this.shareAt(y);
      let moved = false;
      const move = (event) => {
        const end = this.shareAt(this.at(event)[1]);
        if (!moved && Math.abs(end - start) < 0.01) return;
        moved = true;
        axis.brush = [axis.value(Math.min(start, end)), axis.value(Math.max(start, end))];
        this.changed(false);
      };
      const up = () => {
        removeEventListener("pointermove", move);
        removeEventListener("pointerup", up);
        removeEventListener("pointercancel", up);
        if (!moved) axis.brush = null; // a click lets go
        this.changed();
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", up);
      addEventListener("pointercancel", up);
      down.preventDefault();
    }
    nearest(event) {
      const [x, y] = this.at(event);
      let best = NEAR, found = null;
      for (const run of this.kept) {
        for (let place = 0; place + 1 < this.order.length || place === 0; place += 1) {
          const [x0, y0] = this.point(run, place);
          const [x1, y1] = place + 1 < this.order.length ? this.point(run, place + 1) : [x0 + 1, y0];
          if (x < x0 - 1 || x > x1 + 1) continue;
          const gap = Math.abs(y0 + (y1 - y0) * (x - x0) / (x1 - x0 || 1) - y);
          if (gap < best) { best = gap; found = run; }
        }
      }
      return found;
    }
    light(run) {
      if (run === this.lit) return;
      if (this.lit !== null) this.rows.get(this.runs[this.lit])?.classList.remove("lit");
      this.lit = run;
      if (run !== null) this.rows.get(this.runs[run])?.classList.add("lit");
      this.draw();
    }

    changed(remembering = true) {
      this.kept = this.runs.map((_, run) => run).filter((run) => this.axes.every((axis) => axis.holds(run)));
      const all = this.kept.length === this.runs.length;
      const kept = new Set(this.kept.map((run) => this.runs[run]));
      for (const [run, row] of this.rows) row.hidden = !kept.has(run);
      this.count.textContent = all ? "" : `${this.kept.length} of ${this.runs.length} runs are kept`;
      this.buttons.forEach((button, number) => button.setAttribute("aria-pressed", String(number === this.chosen)));
      if (remembering || !this.filled) { this.fillForm(); this.filled = true; }
      if (remembering) this.remember();
      dispatchEvent(new CustomEvent("reprise:chosen", { detail: { runs: all ? null : kept } }));
      this.draw();
    }

    layout() {
      this.laidOut = this.lanes.clientWidth;
      this.width = Math.min(WIDEST, Math.max(this.laidOut, this.order.length * NARROWEST));
      this.fit(this.canvas, this.width, HEIGHT);
      this.place();
      this.draw();
    }
    fit(canvas, width, height) {
      const ratio = devicePixelRatio || 1;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = width + "px";
      canvas.style.height = height + "px";
    }
    gap() { return this.width / this.order.length; }
    x(place) { return this.gap() * (place + 0.5); }
    y(share) { return share === null ? HEIGHT - MISSING : HEIGHT - FOOT - share * (HEIGHT - FOOT - TOP); }
    point(run, place) {
      const axis = this.axes[this.order[place]];
      return [this.x(place), this.y(axis.share(axis.places[run]))];
    }
    place() {
      if (!this.width) return;
      this.heads.style.width = this.width + "px";
      [...this.heads.children].forEach((head, place) => {
        head.style.width = Math.max(60, this.gap() - 10) + "px";
        head.style.left = this.x(place) - Math.max(60, this.gap() - 10) / 2 + "px";
      });
    }

    // Few runs have their own colours, as in the table and in the charts. Of many: from one colour to another along the chosen axis; the table says the value, too.
    tint(run) {
      if (this.runs.length <= 8) return this.paint.own[run];
      const axis = this.axes[this.chosen];
      const share = axis.share(axis.places[run]);
      if (share === null) return this.paint.quiet;
      const mix = (from, to) => Math.round(from + (to - from) * share);
      const [a, b] = [this.paint.low, this.paint.high];
      return `rgb(${mix(a[0], b[0])} ${mix(a[1], b[1])} ${mix(a[2], b[2])})`;
    }
    draw() {
      if (!this.width) return;
      const rgb = (name) => (colourOf(name).match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
      this.paint = { quiet: colourOf("quiet"), line: colourOf("chart-grid"), text: colourOf("strong"), low: rgb("c0"), high: rgb("c1") };
      this.paint.page = getComputedStyle(document.documentElement).backgroundColor;
      this.paint.own = this.runs.slice(0, 8).map((_, run) => colourOf("c" + run));
      this.drawLanes();
      if (this.scatterBox?.open) this.drawScatter();
    }
    drawLanes() {
      const pen = this.canvas.getContext("2d");
      const ratio = devicePixelRatio || 1;
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, this.width, HEIGHT);
      const kept = new Set(this.kept);
      const line = (run, colour, width, alpha) => {
        pen.strokeStyle = colour;
        pen.lineWidth = width;
        pen.globalAlpha = alpha;
        pen.beginPath();
        this.order.forEach((_, place) => {
          const [x, y] = this.point(run, place);
          if (place === 0) pen.moveTo(x - (this.order.length === 1 ? 20 : 0), y); else pen.lineTo(x, y);
        });
        if (this.order.length === 1) pen.lineTo(this.x(0) + 20, this.point(run, 0)[1]);
        pen.stroke();
      };
      this.runs.forEach((_, run) => { if (!kept.has(run)) line(run, this.paint.line, 1, 1); });
      for (const run of this.kept) line(run, this.tint(run), 1.5, this.lit === null ? 0.85 : 0.25);
      if (this.lit !== null) line(this.lit, this.tint(this.lit), 3, 1);
      pen.globalAlpha = 1;
      pen.font = "11px sans-serif";
      this.order.forEach((at, place) => this.drawAxis(pen, this.axes[at], this.x(place)));
    }
    drawAxis(pen, axis, x) {
      pen.strokeStyle = pen.fillStyle = this.paint.quiet;
      pen.lineWidth = axis.number === this.chosen ? 2 : 1;
      pen.beginPath();
      pen.moveTo(x, TOP);
      pen.lineTo(x, HEIGHT - FOOT);
      pen.stroke();
      const room = this.gap() - 14;
      let last = Infinity;
      for (const [share, text] of axis.ticks()) {
        const y = this.y(share);
        if (last - y < 13 && last !== Infinity) continue;
        last = y;
        pen.fillRect(x - 3, y - 0.5, 6, 1);
        let shown = text;
        while (shown.length > 1 && pen.measureText(shown).width > room) shown = shown.slice(0, -2) + "…";
        pen.strokeStyle = this.paint.page;
        pen.lineWidth = 3;
        pen.lineJoin = "round";
        pen.strokeText(shown, x + 6, y + 4); // so that it is read over lines, too
        pen.fillStyle = this.paint.text;
        pen.fillText(shown, x + 6, y + 4);
        pen.fillStyle = this.paint.quiet;
      }
      if (axis.places.includes(null)) pen.fillText("none", x + 6, HEIGHT - MISSING + 4);
      if (axis.log) pen.fillText("log", x + 6, HEIGHT - 2);
      if (axis.brush) {
        const [low, high] = axis.brush.map((value) => this.y(Math.min(1.02, Math.max(-0.02, axis.share(value) ?? 0))));
        pen.fillStyle = colourOf("c0");
        pen.globalAlpha = 0.3;
        pen.fillRect(x - 7, Math.min(low, high) - 3, 14, Math.abs(low - high) + 6);
        pen.globalAlpha = 1;
      }
    }
    drawScatter() {
      const across = this.axes[Number(this.across.value)], up = this.axes[Number(this.up.value)];
      const width = Math.min(640, this.lanes.clientWidth), height = 300, left = 70, foot = 30;
      this.fit(this.scatter, width, height);
      const pen = this.scatter.getContext("2d");
      const ratio = devicePixelRatio || 1;
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      const x = (share) => left + share * (width - left - 20), y = (share) => height - foot - share * (height - foot - 12);
      pen.strokeStyle = this.paint.quiet;
      pen.strokeRect(left - 8, 6, width - left - 4, height - foot);
      pen.font = "11px sans-serif";
      pen.fillStyle = this.paint.text;
      for (const [share, text] of across.ticks().filter((_, place, all) => place === 0 || place === all.length - 1)) {
        pen.textAlign = share > 0.5 ? "right" : "left";
        pen.fillText(text.slice(0, 24), x(share), height - 8);
      }
      pen.textAlign = "right";
      for (const [share, text] of up.ticks().filter((_, place, all) => place === 0 || place === all.length - 1)) pen.fillText(text.slice(0, 9), left - 12, y(share) + 4);
      pen.textAlign = "left";
      const kept = new Set(this.kept);
      this.runs.forEach((_, run) => {
        const place = [across.share(across.places[run]), up.share(up.places[run])];
        if (place.includes(null)) return;
        pen.fillStyle = kept.has(run) ? this.tint(run) : this.paint.line;
        pen.beginPath();
        pen.arc(x(place[0]), y(place[1]), run === this.lit ? 7 : 4, 0, 7);
        pen.fill();
      });
    }
  }

  addEventListener("DOMContentLoaded", () => {
    const root = document.getElementById("parallel");
    if (root) new Parallel(root);
  });
})();
