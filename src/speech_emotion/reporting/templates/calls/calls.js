"use strict";
// Sort, filter and open the calls of the page; draw a timeline when its call is opened.
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const LABELS = Object.keys(DATA.colors);
  const table = document.getElementById("calls");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.querySelectorAll("tr.call")];
  const details = new Map();

  const clock = (seconds) => {
    const whole = Math.floor(seconds);
    const two = (value) => String(value).padStart(2, "0");
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function shape(name, attributes, parent, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  // Sorting and filtering: rows move with their details, nothing is rebuilt.
  function place(ordered) {
    for (const row of ordered) {
      body.append(row);
      if (details.has(row)) body.append(details.get(row));
    }
  }

  function sortBy(button) {
    const header = button.closest("th");
    const column = [...header.parentNode.children].indexOf(header);
    const texts = ["flag", "call", "reason"].includes(button.dataset.sort);
    const before = header.getAttribute("aria-sort");
    const rising = before ? before === "descending" : texts;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const values = new Map(rows.map((row) => [row, row.cells[column].dataset.value]));
    const numeric = button.dataset.sort === "flag" || !texts;
    const compare = (a, b) => {
      const [x, y] = [values.get(a), values.get(b)];
      if (!numeric) return (rising ? 1 : -1) * x.localeCompare(y, undefined, { numeric: true });
      const [p, q] = [parseFloat(x), parseFloat(y)];
      if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q); // last
      return (rising ? 1 : -1) * (p - q);
    };
    place([...rows].sort(compare));
  }

  function filter() {
    const boxes = [...document.querySelectorAll("input[name=flag]")];
    const flags = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const known = new Set(boxes.map((box) => box.value));
    const words = document.getElementById("search").value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const flag = row.dataset.flag;
      const wanted = flags.has(flag) || !known.has(flag);
      row.hidden = !(wanted && row.textContent.toLowerCase().includes(words));
      shown += !row.hidden;
      if (details.has(row)) {
        const opened = row.querySelector(".open").getAttribute("aria-expanded") === "true";
        hide(details.get(row), row.hidden || !opened);
      }
    }
    const text = `${shown} of ${rows.length} shown`;
    document.getElementById("shown").textContent = text;
  }

  function hide(detail, hidden) {
    detail.hidden = hidden;
    if (hidden) detail.querySelectorAll("audio").forEach((audio) => audio.pause());
  }

  function toggle(row) {
    const button = row.querySelector(".open");
    const opening = button.getAttribute("aria-expanded") !== "true";
    if (opening && !details.has(row)) {
      const detail = draw(row);
      detail.id = `detail-${row.dataset.id}`;
      button.setAttribute("aria-controls", detail.id);
      row.after(detail);
      details.set(row, detail);
    }
    button.setAttribute("aria-expanded", String(opening));
    row.classList.toggle("opened", opening);
    hide(details.get(row), !opening);
  }

  function draw(row) {
    const call = DATA.calls[row.dataset.id];
    const inside = element("div");
    const titles = table.tHead.rows[0].cells;
    const left = [...row.cells].filter((cell) => cell.classList.contains("minor"));
    const columns = left.map((cell) => `${titles[cell.cellIndex].textContent} ${cell.textContent}`);
    inside.append(element("p", { class: "details narrow" }, columns.join(" · ")));
    const shares = LABELS.filter((label) => call.shares[label])
      .sort((a, b) => call.shares[b] - call.shares[a])
      .map((label) => `${label} ${(100 * call.shares[label]).toFixed(0)} %`);
    if (shares.length) {
      inside.append(element("p", { class: "details" }, `Scored speech: ${shares.join(", ")}.`));
    }
    const audios = call.passages.map(player);
    if (call.starts) {
      timeline(inside, call, audios, row.querySelector(".open").textContent);
    } else {
      const text = "No timeline: set call_report.timelines=all to draw one for every call.";
      inside.append(element("p", { class: "details" }, text));
    }
    if (audios.length) {
      const list = element("ol", { class: "passages" });
      call.passages.forEach((passage, number) => list.append(item(passage, audios[number], number)));
      inside.append(list);
    }
    const cell = element("td", { class: "detail", colspan: row.cells.length }, inside);
    return element("tr", { class: "detail" }, cell);
  }

  function player(passage) {
    if (!passage.source) return null;
    const audio = element("audio", { controls: "", preload: "metadata", src: passage.source });
    const between = `${clock(passage.start_s)} to ${clock(passage.end_s)}`;
    audio.setAttribute("aria-label", `Passage from ${between}`);
    audio.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    });
    return audio;
  }

  function item(passage, audio, number) {
    const between = `${clock(passage.start_s)}–${clock(passage.end_s)}`;
    const made = element("li", {}, element("b", {}, `${number + 1}. ${between}`));
    made.append(`, score up to ${passage.peak.toFixed(2)}`);
    if (audio) {
      made.append(audio);
      audio.addEventListener("error", () => {
        const text = `${passage.source} was not found next to this page: copy its folder with the page.`;
        audio.replaceWith(element("p", { class: "problem" }, text));
      });
    } else {
      const text = `No excerpt: the recording ${passage.error || "was not read"}`;
      made.append(element("p", { class: "problem" }, text));
    }
    return made;
  }

  const LEFT = 96;
  const RIGHT = 24;
  const LANES = { sound: [8, 78], score: [98, 218], emotions: [238, 348] };
  const HEIGHT = 376;

  function timeline(parent, call, audios, name) {
    // One unit is one pixel at first, so that text keeps its size on narrow screens.
    const width = Math.min(Math.max(table.clientWidth - 30, 480), 1300);
    const inner = width - LEFT - RIGHT;
    const x = (seconds) => LEFT + (inner * seconds) / call.seconds;
    const y = (lane, share) => LANES[lane][1] - share * (LANES[lane][1] - LANES[lane][0]);
    const label = `Timeline of ${name}: waveform, score of ${DATA.target}, and emotions`;
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const box = { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label };
    for (const [key, value] of Object.entries(box)) svg.setAttribute(key, value);
    call.passages.forEach((passage, number) => {
      const [start, end] = [x(passage.start_s), x(passage.end_s)];
      const top = LANES.sound[0];
      const place = { x: start, y: top, width: Math.max(end - start, 2), height: LANES.score[1] - top };
      const band = shape("rect", { ...place, fill: "#fbd9c6", class: "passage" }, svg);
      const text = `Passage ${number + 1}, ${clock(passage.start_s)}–${clock(passage.end_s)}: play`;
      shape("title", {}, band, text);
      band.addEventListener("click", () => audios[number] && audios[number].play());
    });
    const named = { sound: "sound", score: DATA.target, emotions: "emotions" };
    for (const [lane, [top, bottom]] of Object.entries(LANES)) {
      const frame = { x: LEFT, y: top, width: inner, height: bottom - top };
      shape("rect", { ...frame, fill: "none", stroke: "#b8c2cc", "pointer-events": "none" }, svg);
      const place = { x: 4, y: (top + bottom) / 2 + 4 };
      shape("text", place, svg, named[lane]);
      if (lane === "sound") continue;
      for (const share of [0, 0.5, 1]) {
        const tick = { x: LEFT - 5, y: y(lane, share) + 4, "text-anchor": "end" };
        shape("text", tick, svg, share.toFixed(1));
      }
    }
    waveform(svg, call.envelope, x, call.seconds);
    const column = (lane, index, from, to) => {
      const [start, end] = [x(call.starts[index]), x(call.ends[index])];
      const [low, high] = [y(lane, from), y(lane, to)];
      const corners = [start, low, start, high, end, high, end, low].map((value) => value.toFixed(1));
      const pairs = [0, 2, 4, 6].map((at) => `${corners[at]} ${corners[at + 1]}`);
      return `M${pairs.join("L")}Z`;
    };
    const floors = call.starts.map(() => 0);
    LABELS.forEach((label, position) => {
      let path = "";
      call.probabilities[position].forEach((percent, index) => {
        if (percent === null) return;
        const top = Math.min(floors[index] + percent / 100, 1);
        if (percent) path += column("emotions", index, floors[index], top);
        floors[index] = top;
      });
      shape("path", { d: path, fill: DATA.colors[label], "pointer-events": "none" }, svg);
    });
    let unscored = "";
    let line = "";
    let steps = "";
    let pen = "M";
    call.scores.forEach((score, index) => {
      if (score === null) {
        unscored += column("emotions", index, 0, 1);
        pen = "M";
        return;
      }
      const [start, end] = [x(call.starts[index]).toFixed(1), x(call.ends[index]).toFixed(1)];
      const height = y("score", score / 100).toFixed(1);
      steps += `M${start} ${height}L${end} ${height}`;
      line += `${pen}${((+start + +end) / 2).toFixed(1)} ${height}`;
      pen = "L";
    });
    shape("path", { d: unscored, fill: "#f0f0f0", stroke: "#c4c4c4", "stroke-dasharray": "3 3" }, svg);
    const color = DATA.colors[DATA.target] || "#d55e00";
    const quiet = { fill: "none", stroke: color, "pointer-events": "none" };
    shape("path", { d: line, ...quiet, opacity: 0.45 }, svg);
    shape("path", { d: steps, ...quiet, "stroke-width": 2.5 }, svg);
    if (call.threshold !== null) {
      const height = y("score", call.threshold);
      const across = { x1: LEFT, x2: width - RIGHT, y1: height, y2: height };
      shape("line", { ...across, stroke: "#333", "stroke-dasharray": "6 4" }, svg);
      const place = { x: width - RIGHT - 4, y: height - 4, "text-anchor": "end" };
      shape("text", place, svg, `threshold ${call.threshold.toFixed(2)}`);
    }
    const steady = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
    const apart = steady.find((step) => call.seconds / step <= inner / 70) || 14400;
    for (let seconds = 0; seconds <= call.seconds; seconds += apart) {
      const place = { x: x(seconds), y: LANES.emotions[1] + 18, "text-anchor": "middle" };
      shape("text", place, svg, clock(seconds));
    }
    const hand = shape("line", { y1: LANES.sound[0], y2: LANES.emotions[1], stroke: "#111" }, svg);
    hand.style.display = "none";
    const point = (seconds) => {
      hand.style.display = "";
      hand.setAttribute("x1", x(seconds));
      hand.setAttribute("x2", x(seconds));
      hand.style.pointerEvents = "none";
    };
    const hint = audios.length ? "; click a shaded passage to play it." : ".";
    const readout = element("p", { class: "readout" }, `Point at the timeline to read it${hint}`);
    svg.addEventListener("pointermove", (event) => {
      const area = svg.getBoundingClientRect();
      const across = ((event.clientX - area.left) / area.width) * width;
      const seconds = ((across - LEFT) / inner) * call.seconds;
      if (seconds < 0 || seconds > call.seconds) return;
      point(seconds);
      readout.textContent = `${clock(seconds)}  ${reading(call, seconds)}`;
    });
    audios.forEach((audio, number) => {
      if (!audio) return;
      const offset = call.passages[number].from_s;
      audio.addEventListener("timeupdate", () => point(offset + audio.currentTime));
    });
    const legend = element("div", { class: "legend" });
    const drawn = [...LABELS.map((label) => [label, DATA.colors[label]]), ["not scored", "#f0f0f0"]];
    for (const [label, fill] of drawn) {
      const swatch = element("i");
      swatch.style.background = fill;
      legend.append(element("span", {}, swatch, label));
    }
    parent.append(svg, legend, readout);
  }

  function waveform(svg, envelope, x, seconds) {
    const [top, bottom] = LANES.sound;
    const middle = (top + bottom) / 2;
    if (envelope.error) {
      const place = { x: x(seconds / 2), y: middle + 4, "text-anchor": "middle" };
      shape("text", place, svg, `The recording ${envelope.error}`);
      return;
    }
    const loudest = Math.max(...envelope.high, ...envelope.low.map((low) => -low), 1);
    const count = envelope.low.length;
    const scale = (bottom - top) / 2.1 / loudest;
    const at = (index) => x((seconds * (index + 0.5)) / count).toFixed(1);
    const upper = envelope.high.map((high, index) => `${at(index)} ${(middle - high * scale).toFixed(1)}`);
    const lower = envelope.low.map((low, index) => `${at(index)} ${(middle - low * scale + 0.3).toFixed(1)}`);
    const path = `M${upper.join("L")}L${lower.reverse().join("L")}Z`;
    shape("path", { d: path, fill: "#44546a", "pointer-events": "none" }, svg);
  }

  function reading(call, seconds) {
    const index = call.starts.findIndex((start, at) => start <= seconds && seconds < call.ends[at]);
    if (index < 0) return "no speech";
    if (call.scores[index] === null) return "not scored";
    const likeliest = LABELS.map((label, at) => [label, call.probabilities[at][index]])
      .sort((a, b) => b[1] - a[1])
      .slice(0, 3)
      .map(([label, percent]) => `${label} ${percent} %`);
    return `${likeliest.join(", ")}; smoothed ${DATA.target} ${call.scores[index]} %`;
  }

  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => sortBy(button));
  }
  for (const row of rows) row.querySelector(".open").addEventListener("click", () => toggle(row));
  const form = document.getElementById("filters");
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.reset(); // some browsers keep boxes over a reload
  filter();
})();
