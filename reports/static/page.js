// The script of a report page: filter and sort the tables, lead links to folded places, draw charts when they are seen.
// Nothing here builds HTML from text; what comes from a record goes through textContent or into the chart package as data.
"use strict";
(() => {
  document.documentElement.classList.add("js");
  const ROWS_AT_FIRST = 60; // as in reports/page.py: more rows at once would make each keystroke wait for the layout

  // ---- filter, sort -----------------------------------------------------------------------------------------------
  let rows = [], tests = [], form, body, more, wholeTable = false;

  const searchable = (element) => element.textContent.replace(/\s+/g, " ").toLowerCase();

  function setUpTables() {
    form = document.querySelector("form.filter");
    body = document.getElementById("rows");
    more = document.querySelector(".more");
    rows = [...document.querySelectorAll("#rows > tr")].map((element) => ({ element, text: null }));
    tests = [...document.querySelectorAll("article.test")].map((element) => ({ element, text: null }));
    form.hidden = false;
    form.addEventListener("input", () => { wholeTable = false; filter(); });
    form.querySelector("button").addEventListener("click", () => clear(false));
    form.addEventListener("submit", (event) => event.preventDefault());
    if (more) more.querySelector("button").addEventListener("click", () => { wholeTable = true; filter(); });
    for (const heading of document.querySelectorAll("th[data-by]")) setUpHeading(heading);
    filter();
    prepare([...rows, ...tests]);
  }

  function clear(all) {
    form.reset();
    wholeTable = all;
    filter();
  }

  // The first search must not wait for the texts of thousands of rows: they are taken while the browser is idle.
  function prepare(items) {
    const next = (deadline) => {
      while (items.length && deadline.timeRemaining() > 2) textOf(items.pop());
      if (items.length) requestIdleCallback(next);
    };
    if ("requestIdleCallback" in window) requestIdleCallback(next);
  }

  function textOf(item) {
    if (item.text === null) {
      const parts = item.element.matches("tr") ? [item.element] : item.element.querySelectorAll("summary, .criterion, .meta");
      item.text = [...parts].map(searchable).join(" ");
    }
    return item.text;
  }

  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set([...form.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
    const kind = form.elements.kind.value;
    const matches = (item) => {
      const { verdict, kind: itsKind } = item.element.dataset;
      return (!verdicts.size || verdicts.has(verdict)) && (!kind || kind === itsKind)
        && (!words.length || words.every((word) => textOf(item).includes(word)));
    };
    let found = 0, foundTests = 0;
    for (const row of rows) {
      const hit = matches(row);
      found += hit;
      hide(row, !hit || (!wholeTable && found > ROWS_AT_FIRST));
    }
    for (const test of tests) {
      const hit = matches(test);
      foundTests += hit;
      hide(test, !hit);
    }
    form.querySelector("output").textContent =
      `${found} of ${rows.length} measurements, ${foundTests} of ${tests.length} tests`;
    if (more) {
      more.hidden = wholeTable || found <= ROWS_AT_FIRST;
      more.querySelector("button").textContent = `Show all ${found} measurements`;
    }
  }

  // The browser lays out again what is touched, even where nothing changes: most rows stay as they are.
  function hide(item, hidden) {
    if (item.hidden === hidden) return;
    item.hidden = hidden;
    item.element.hidden = hidden;
    item.element.classList.remove("late");
  }

  const keys = {
    order: (row) => Number(row.element.dataset.order),
    margin: (row) => Number(row.element.dataset.margin),
    name: (row) => row.element.querySelector("th a").textContent.toLowerCase(),
    test: (row) => row.element.querySelector("[data-label=Test]").textContent.toLowerCase(),
  };

  function setUpHeading(heading) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => sort(heading));
  }

  function sort(heading) {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of document.querySelectorAll("th[data-by]")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = keys[heading.dataset.by], sign = down ? -1 : 1;
    const keyed = rows.map((row) => [key(row), row]);
    keyed.sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0));
    rows = keyed.map(([, row]) => row);
    body.replaceChildren(...rows.map((row) => row.element));
    filter();
  }

  // ---- links to folded or filtered places ---------------------------------------------------------------------------
  function reveal() {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    if (!target) return;
    const item = target.closest("tr, article");
    if (item && item.hidden) {
      clear(item.matches("tr"));
    }
    const fold = target.querySelector(":scope > details");
    if (fold) fold.open = true;
    target.scrollIntoView();
  }

  // ---- charts -------------------------------------------------------------------------------------------------------
  let loading = null;
  const drawn = new Map(); // element → its data

  function chartPackage() {
    loading ??= (async () => {
      const packed = atob(document.getElementById("chart-package").textContent.trim());
      const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.textContent = await new Response(stream).text();
      document.head.append(script);
      if (!window.Plotly) throw new Error("the chart package did not start");
      return window.Plotly;
    })();
    return loading;
  }

  function setUpCharts() {
    if (!("DecompressionStream" in window) || !document.getElementById("chart-package")) return;
    const seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        seen.unobserve(target);
        draw(target).catch(() => target.classList.add("failed")); // the drawing in the page stays
      }
    }, { rootMargin: "200px" });
    for (const place of document.querySelectorAll(".live")) seen.observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const plot of drawn.keys()) redraw(plot);
    });
    addEventListener("resize", () => {
      for (const plot of drawn.keys()) {
        const small = narrow(plot.parentElement.clientWidth);
        if (small !== plot.parentElement.classList.contains("narrow")) redraw(plot);
      }
    });
  }

  function redraw(plot) {
    const data = drawn.get(plot), width = plot.parentElement.clientWidth;
    plot.parentElement.classList.toggle("narrow", narrow(width));
    window.Plotly.react(plot, traces(data), layout(data, width, plot.layout.xaxis.range.slice()), config());
  }

  async function draw(place) {
    const data = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    const Plotly = await chartPackage();
    const plot = document.createElement("div");
    plot.className = "plotted";
    place.append(tools(plot, data, place.dataset.label), plot, ...names(data), ...notes(data));
    place.classList.add("drawn-live");
    const width = place.clientWidth;
    place.classList.toggle("narrow", narrow(width));
    await Plotly.newPlot(plot, traces(data), layout(data, width, data.range), config());
    drawn.set(plot, data);
    plot.on("plotly_doubleclick", () => show(plot, data.range));
    plot.on("plotly_relayout", () => tell(plot, data));
    place.dataset.state = "ready";
  }

  const config = () => ({ displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false });
  const narrow = (width) => width < 620;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const veil = () => `${colour("paper")}b8`; // the paper, through which lines can still be seen
  const row = (index) => (index ? String(index + 1) : "");
  const DASHES = ["solid", "dash"];

  function traces(data) {
    return data.panels.flatMap((panel, index) => panel.lines.map((line, number) => ({
      type: "scatter", mode: line.v.length > 1 ? "lines" : "markers", name: plain(line.name),
      x: data.times[line.t], y: line.v, xaxis: "x", yaxis: `y${row(index)}`,
      line: { color: colour(`s${number % 8}`), width: 1.6, dash: DASHES[Math.floor(number / 8) % 2] },
      marker: { color: colour(`s${number % 8}`) },
      legend: `legend${row(index)}`, hovertemplate: `%{y:.4~g} ${panel.unit}`,
    })));
  }

  // The chart package reads a little HTML in its texts; names from a record are shown as they are.
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  const PANEL = 165, GAP = 46, BOTTOM = 36, LEGEND_LINE = 19;

  function layout(data, width, range) {
    const TOP = data.events.length ? 52 : 30;
    const small = narrow(width), ink = colour("ink"), soft = colour("soft"), rule = colour("rule");
    // On a narrow page the names of the lines stand below the charts instead of beside them.
    const heights = data.panels.map((panel) => Math.max(PANEL, small ? 0 : panel.lines.length * LEGEND_LINE - GAP + 20));
    const inside = heights.reduce((sum, height) => sum + height + GAP, 0) - GAP;
    const made = {
      height: TOP + inside + BOTTOM, margin: { t: TOP, b: BOTTOM, l: small ? 44 : 58, r: small ? 8 : 190 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 12, color: ink },
      hovermode: "x unified", hoversubplots: "axis", dragmode: small ? false : "zoom",
      hoverlabel: { bgcolor: colour("paper"), bordercolor: rule, font: { color: ink, size: 12 }, namelength: 40 },
      xaxis: {
        range, gridcolor: rule, zeroline: false, ticksuffix: ` ${data.unit}`, showspikes: true, spikemode: "across",
        spikethickness: 1, spikecolor: soft, spikedash: "dot", tickfont: { color: soft }, nticks: small ? 5 : 10, automargin: true,
      },
      shapes: [], annotations: [],
    };
    let y = 1;
    data.panels.forEach((panel, index) => {
      const bottom = Math.max(0, y - heights[index] / inside);
      axis(made, panel, index, [bottom, y], { small, ink, soft, rule });
      y = bottom - GAP / inside;
    });
    made.xaxis.anchor = `y${row(data.panels.length - 1)}`;
    const together = new Map(); // events at one time share a mark
    for (const event of data.events) together.set(event.at, [...(together.get(event.at) ?? []), event]);
    for (const [at, events] of together) {
      moment(made, { at, n: events.map((event) => event.n).join(", "), text: events.map((event) => `${event.n}: ${event.text}`).join("\n") });
    }
    return made;
  }

  function axis(made, panel, index, domain, { small, soft, rule, ink }) {
    const id = `y${row(index)}`;
    made[`yaxis${row(index)}`] = {
      domain, range: [panel.bottom, panel.top], fixedrange: true, gridcolor: rule, zerolinecolor: rule,
      tickfont: { color: soft }, nticks: 6, anchor: "x", ticks: "outside", ticklen: 4, tickcolor: "rgba(0,0,0,0)",
    };
    made[`legend${row(index)}`] = { visible: !small, x: 1.015, y: domain[1], yanchor: "top", font: { size: 11.5 }, bgcolor: "rgba(0,0,0,0)" };
    made.annotations.push(note(`<b>${plain(panel.title)}</b>, ${plain(panel.unit)}`, { x: 0, xanchor: "left", y: domain[1], yanchor: "bottom", yref: "paper", yshift: 4, size: 13, color: ink }));
    for (const band of panel.bands) {
      const low = Math.max(band.low ?? panel.bottom, panel.bottom), high = Math.min(band.high ?? panel.top, panel.top);
      const edge = band.low ?? band.high;
      made.shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, yref: id, y0: low, y1: high, fillcolor: colour("pass"), opacity: 0.13, line: { width: 0 }, layer: "below" });
      made.shapes.push(level(id, edge, colour("pass"), "solid"));
      made.annotations.push(note(plain(band.name), { x: 0.005, xanchor: "left", y: edge, yref: id, yanchor: band.low === null ? "top" : "bottom", size: 11, color: colour("pass"), background: veil() }));
    }
    for (const each of panel.levels) {
      made.shapes.push(level(id, each.at, ink, "dash"));
      made.annotations.push(note(`${plain(each.name)} ${each.at}`, { x: 0.995, xanchor: "right", y: each.at, yref: id, yanchor: "bottom", size: 11, color: ink, background: veil() }));
    }
  }

  const level = (yref, y, color, dash) => ({ type: "line", xref: "paper", x0: 0, x1: 1, yref, y0: y, y1: y, line: { color, width: 1.1, dash } });

  const note = (text, { x, xanchor, y, yref, yanchor, yshift = 0, size, color, background = "rgba(0,0,0,0)" }) =>
    ({ text, showarrow: false, xref: "paper", x, xanchor, y, yref, yanchor, yshift, font: { size, color }, bgcolor: background });

  function moment(made, event) {
    const color = colour("fault");
    made.shapes.push({ type: "line", xref: "x", x0: event.at, x1: event.at, yref: "paper", y0: 0, y1: 1, line: { color, width: 1.2, dash: "dot" } });
    made.annotations.push({
      text: `<b>${plain(event.n)}</b>`, hovertext: plain(event.text).replaceAll("\n", "<br>"), showarrow: false, xref: "x", x: event.at, yref: "paper", y: 1, yanchor: "bottom",
      yshift: 28, font: { size: 11, color: colour("paper") }, bgcolor: color, borderpad: 2,
    });
  }

  // Buttons do with the keyboard and on a phone what dragging does with a pointer.
  function tools(plot, data, label) {
    const bar = document.createElement("div");
    bar.className = "chart-tools";
    bar.setAttribute("role", "toolbar");
    bar.setAttribute("aria-label", `Time axis of ${label}`);
    const actions = [
      ["Zoom in", "+", ([a, b]) => [a + (b - a) / 4, b - (b - a) / 4]],
      ["Zoom out", "−", ([a, b]) => [a - (b - a) / 2, b + (b - a) / 2]],
      ["Earlier", "←", ([a, b]) => [a - (b - a) / 2, b - (b - a) / 2]],
      ["Later", "→", ([a, b]) => [a + (b - a) / 2, b + (b - a) / 2]],
      ["Whole run", "Whole run", () => data.range],
    ];
    for (const [name, text, move] of actions) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.title = name;
      button.setAttribute("aria-label", name);
      button.addEventListener("click", () => show(plot, within(move(plot.layout.xaxis.range.map(Number)), data.range)));
      bar.append(button);
    }
    const range = document.createElement("output");
    range.className = "soft";
    range.setAttribute("aria-live", "polite");
    bar.append(range);
    return bar;
  }

  function within([a, b], [low, high]) {
    const width = Math.min(b - a, high - low);
    const start = Math.min(Math.max(a, low), high - width);
    return [start, start + width];
  }

  const show = (plot, range) => window.Plotly.relayout(plot, { "xaxis.range": [...range] });

  function tell(plot, data) {
    const [a, b] = plot.layout.xaxis.range.map((value) => Number(Number(value).toPrecision(4)));
    const whole = a <= data.range[0] && b >= Number(data.range[1].toPrecision(4));
    plot.parentElement.querySelector("output").textContent = whole ? "" : `${a} to ${b} ${data.unit}`;
  }

  function names(data) {
    return data.panels.map((panel) => {
      const list = document.createElement("ul"), title = document.createElement("li");
      list.className = "names";
      title.append(Object.assign(document.createElement("b"), { textContent: panel.title }));
      title.style.flexBasis = "100%";
      list.append(title, ...panel.lines.map((line, number) => {
        const item = document.createElement("li"), swatch = document.createElement("i");
        swatch.className = `s${number % 8}`;
        item.append(swatch, line.name);
        return item;
      }));
      return list;
    });
  }

  function notes(data) {
    return data.panels.flatMap((panel) => panel.notes.map((text) => {
      const line = document.createElement("p");
      line.className = "soft small";
      line.textContent = `${panel.title}: ${text}`;
      return line;
    }));
  }

  document.addEventListener("DOMContentLoaded", () => {
    setUpTables();
    setUpCharts();
    reveal();
    addEventListener("hashchange", reveal);
  });
})();
