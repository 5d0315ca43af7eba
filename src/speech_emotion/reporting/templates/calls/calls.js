// Show, sort, filter and page the calls; load the details and the sound of a call when it is opened.
(() => {
  const LABELS = DATA.labels; // objects of the page have sorted keys
  const AT = Object.fromEntries(DATA.columns.map((name, position) => [name, position]));
  const table = byId("calls");
  if (!table) return;
  const body = table.tBodies[0];
  const form = byId("filters");
  const rows = DATA.rows;
  const state = { sort: "flag", rising: true, page: 0, found: rows, opened: new Map() };

  // Files hand their content to this function: a page on a disk may load scripts, but no JSON.
  const waiting = new Map();
  window.speechEmotion = (name, content) => waiting.get(name)?.content(content);

  function load(name) {
    if (!waiting.has(name)) {
      const entry = {};
      entry.promise = new Promise((resolve, reject) => {
        entry.content = resolve;
        const script = element("script", { src: encodeURI(`${name}.js`) });
        script.addEventListener("error", () => reject(new Error(`${name}.js`)));
        document.head.append(script);
      });
      waiting.set(name, entry);
    }
    return waiting.get(name).promise;
  }

  async function loadRows(names) {
    const parts = await Promise.all(names.map((name) => load(name.replace(/\.js$/, ""))));
    for (const part of parts) for (const row of part.rows) rows.push(row);
    sort();
  }

  let others = null;
  const loadOthers = () => (others ||= loadRows(DATA.others).then(fillChoices));

  const decimal = (value) => (value === null ? "–" : value.toFixed(2));
  const length = (seconds) => (seconds < 59.5 ? `${Math.round(seconds)} s` : `${clock(Math.round(seconds))} min`);
  const signed = (value) => {
    if (value === null) return "–";
    const text = Math.abs(value).toFixed(2);
    return Number(text) === 0 ? text : (value < 0 ? "−" : "+") + text;
  };
  const duration = (seconds) => (unknown(seconds) ? "–" : clock(Math.round(seconds)));

  // Rows: filter, sort, page.
  const RANKS = Object.fromEntries(DATA.flags.map((flag, rank) => [flag, rank]));
  const TEXTS = new Set(["call", "reason", "start", "agent", "customer", "queue", "emotion"]);
  const texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) {
      const parts = ["call", "reason", "agent", "customer", "queue", "emotion"].map((name) => row[AT[name]]);
      texts.set(row, parts.join("\n").toLowerCase());
    }
    return texts.get(row);
  };

  function select() {
    const boxes = [...form.querySelectorAll("input[name=flag]")];
    const flags = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const known = new Set(boxes.map((box) => box.value));
    const words = byId("search").value.trim().toLowerCase();
    const least = parseFloat(byId("least").value);
    const [since, until] = [byId("since").value, byId("until").value];
    const chosen = ["agent", "queue", "direction"]
      .map((name) => [AT[name], byId(name).value])
      .filter(([, value]) => value);
    state.found = rows.filter((row) => {
      const flag = row[AT.flag];
      if (!flags.has(flag) && known.has(flag)) return false;
      if (!Number.isNaN(least) && !(row[AT.score] >= least)) return false;
      const day = row[AT.start].slice(0, 10);
      if (since && !(day >= since)) return false;
      if (until && (!day || day > until)) return false;
      if (chosen.some(([at, value]) => row[at] !== value)) return false;
      return !words || textOf(row).includes(words);
    });
  }

  // Sorting takes the longest, so it is done only when the column or the rows have changed.
  function sort() {
    const at = AT[state.sort];
    const way = state.rising ? 1 : -1;
    if (state.sort === "flag") {
      const rank = (row) => RANKS[row[at]] ?? -1;
      rows.sort((a, b) => way * (rank(a) - rank(b)) || b[AT.score] - a[AT.score]);
      return;
    }
    const keys = new Map(rows.map((row) => [row, keyOf(row[at])]));
    rows.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null); // last
      return x < y ? -way : x > y ? way : 0;
    });
  }

  function keyOf(value) {
    if (value === null || value === "") return null;
    if (typeof value !== "string") return value;
    return value.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0")); // 2 before 10
  }

  const size = () => Number(byId("size").value);
  const has = (name) => rows.some((row) => row[AT[name]] !== "");

  function show() {
    const pages = Math.max(Math.ceil(state.found.length / size()), 1);
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const shown = state.found.slice(state.page * size(), (state.page + 1) * size());
    for (const audio of body.querySelectorAll("audio")) audio.pause();
    body.replaceChildren();
    for (const row of shown) {
      const made = rowElement(row);
      body.append(made);
      const detail = state.opened.get(row[AT.id]);
      if (detail) mark(made, detail, true);
    }
    const total = others ? rows.length : rows.length + DATA.n_others;
    byId("shown").textContent = `${count(state.found.length)} of ${count(total)} shown`;
    byId("place").textContent = `Page ${state.page + 1} of ${pages}`;
    byId("previous").disabled = state.page === 0;
    byId("next").disabled = state.page === pages - 1;
    byId("pages").hidden = pages === 1 && state.found.length <= 25;
  }

  function update() {
    select();
    show();
  }

  const hidden = new Set();

  function rowElement(row) {
    const value = (name) => row[AT[name]];
    const flag = value("flag");
    const badge = element("span", { class: `flag ${flag === DATA.target ? "target" : flag}` });
    badge.textContent = DATA.names[flag] ?? flag;
    const open = element("button", { type: "button", class: "open", "aria-expanded": "false" }, value("call"));
    const role = value("role") === "mixed" ? "mixed" : `${value("role")}, channel ${value("channel")}`;
    const call = element("td", { class: "name" }, open, element("small", {}, role));
    const where = [value("start"), value("agent") && `agent ${value("agent")}`].filter(Boolean);
    if (where.length) call.append(element("small", { class: "narrow" }, where.join(", ")));
    call.append(element("small", { class: "narrow" }, value("reason")));
    const emotion = value("emotion") ? `${value("emotion")} ${percent(value("emotion_share"))}` : "–";
    const cells = {
      flag: element("td", {}, badge),
      call,
      start: element("td", { class: "minor" }, value("start") || "–"),
      agent: element("td", { class: "minor" }, value("agent") || "–"),
      customer: element("td", { class: "minor" }, value("customer") || "–"),
      queue: element("td", { class: "minor" }, value("queue") || "–"),
      score: element("td", { class: "number" }, decimal(value("score"))),
      first: element("td", { class: "number minor" }, clock(value("first"))),
      longest: element("td", { class: "number minor" }, value("longest") ? duration(value("longest")) : "–"),
      emotion: element("td", { class: "minor" }, emotion),
      minutes: element("td", { class: "number minor" }, duration(60 * value("minutes"))),
      talk: element("td", { class: "number minor" }, percent(value("talk"))),
      trend: element("td", { class: "number minor" }, signed(value("trend"))),
      reason: element("td", { class: "minor" }, value("reason")),
    };
    const shown = Object.entries(cells).filter(([name]) => !hidden.has(name));
    const made = element("tr", { class: "call", "data-id": value("id") }, ...shown.map(([, cell]) => cell));
    open.addEventListener("click", () => toggle(made, row));
    return made;
  }

  function mark(made, detail, opened) {
    made.classList.toggle("opened", opened);
    made.querySelector(".open").setAttribute("aria-expanded", String(opened));
    if (opened) made.after(detail);
    else detail.remove();
  }

  function toggle(made, row, seconds) {
    const id = row[AT.id];
    if (state.opened.has(id) && seconds === undefined) {
      const detail = state.opened.get(id);
      for (const audio of detail.querySelectorAll("audio")) audio.pause();
      mark(made, detail, false);
      state.opened.delete(id);
      history.replaceState(null, "", "#");
      return;
    }
    if (!state.opened.has(id)) {
      const detail = detailElement(row);
      state.opened.set(id, detail);
      mark(made, detail, true);
      history.replaceState(null, "", `#call=${encodeURIComponent(id)}`);
    }
    if (seconds !== undefined) state.opened.get(id).seek(seconds);
  }

  // Details of one call.
  function detailElement(row) {
    const id = row[AT.id];
    const inside = element("div", {}, element("p", { class: "details" }, "Loading …"));
    const cell = element("td", { class: "detail", colspan: table.tHead.rows[0].cells.length }, inside);
    const detail = element("tr", { class: "detail", id: `detail-${id}` }, cell);
    let wanted = null;
    detail.seek = (seconds) => (wanted = seconds);
    const name = `details/${id.split("-").at(-2).slice(0, 2)}/${id}`;
    const failed = (error) => {
      const text = `${error.message} was not found next to this page: copy its folder with the page.`;
      inside.replaceChildren(element("p", { class: "problem" }, text));
    };
    load(name).then((call) => {
      const wave = call.sound ? load(call.sound).catch(() => null) : Promise.resolve(null);
      return wave.then((found) => {
        inside.replaceChildren();
        detail.seek = fill(inside, row, call, found);
        if (wanted !== null) detail.seek(wanted);
      });
    }).catch(failed);
    return detail;
  }

  function fill(inside, row, call, wave) {
    const names = ["first", "longest", "minutes", "talk", "trend", "queue", "direction", "customer"];
    const cells = { longest: row[AT.longest] ? duration(row[AT.longest]) : "–", minutes: duration(60 * row[AT.minutes]), talk: percent(row[AT.talk]), trend: signed(row[AT.trend]) };
    const titles = { first: `first ${DATA.target}`, minutes: "length" };
    const values = names
      .map((name) => [titles[name] ?? name, cells[name] ?? (name === "first" ? clock(row[AT[name]]) : row[AT[name]])])
      .filter(([, text]) => text && text !== "–");
    inside.append(element("p", { class: "details narrow" }, values.map((pair) => pair.join(" ")).join(" · ")));
    const shares = LABELS.filter((label) => call.shares[label])
      .sort((a, b) => call.shares[b] - call.shares[a])
      .map((label) => `${label} ${Math.round(100 * call.shares[label])} %`);
    const summary = shares.length ? `Windows of speech: ${shares.join(", ")}.` : "No speech was scored.";
    inside.append(element("p", { class: "details" }, summary));
    const audio = player(inside, row, call);
    const share = element("a", { class: "share", href: `#call=${encodeURIComponent(row[AT.id])}` }, "Link to this moment");
    const seek = (seconds, play) => {
      if (!audio) return;
      const start = Math.max(Math.min(seconds, call.seconds), 0);
      const go = () => {
        audio.currentTime = start;
        if (play) audio.play();
      };
      if (audio.readyState > 0) go();
      else audio.addEventListener("loadedmetadata", go, { once: true });
      if (audio.readyState === 0) audio.load();
    };
    const moved = timeline(inside, row, call, wave, audio, seek);
    if (audio) {
      audio.addEventListener("timeupdate", () => {
        moved(audio.currentTime);
        share.href = `#call=${encodeURIComponent(row[AT.id])}&t=${Math.floor(audio.currentTime)}`;
      });
      inside.append(element("p", { class: "details share" }, share));
    }
    moments(inside, call, seek, Boolean(audio));
    return (seconds) => {
      moved(seconds);
      seek(seconds, false);
    };
  }

  function player(inside, row, call) {
    if (!call.sound) {
      const why = call.error ? `The recording cannot be played: ${call.error}` : "Sounds of these calls were not kept (call_report.sounds).";
      inside.append(element("p", { class: call.error ? "problem" : "details" }, why));
      return null;
    }
    const source = encodeURI(`${call.sound}.mp3`);
    const audio = element("audio", { controls: "", preload: "metadata", src: source, "aria-label": `Call ${row[AT.call]}` });
    audio.addEventListener("play", () => {
      for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    });
    audio.addEventListener("error", () => {
      const text = `${call.sound}.mp3 was not found next to this page: copy its folder with the page.`;
      audio.replaceWith(element("p", { class: "problem" }, text));
    });
    inside.append(audio);
    return audio;
  }

  function moments(inside, call, seek, playable) {
    const button = (words, seconds) => {
      if (!playable) return element("span", {}, words);
      const made = element("button", { type: "button", class: "play" }, words);
      made.addEventListener("click", () => seek(seconds, true));
      return made;
    };
    const box = element("div", { class: "moments" });
    if (call.passages.length) {
      const list = element("ol");
      for (const passage of call.passages) {
        const span = `${clock(passage.start_s)}–${clock(passage.end_s)}`;
        const text = `, ${length(passage.speech_s)} of speech, score up to ${decimal(passage.peak)}, strongest at ${clock(passage.peak_s)}`;
        list.append(element("li", {}, button(span, passage.start_s - DATA.before), text));
      }
      box.append(element("div", {}, element("h2", {}, `Flagged passages (${DATA.target})`), list));
    }
    if (call.strongest.length) {
      const list = element("ol");
      for (const [start, end, probability] of call.strongest) {
        const span = `${clock(start)}–${clock(end)}`;
        list.append(element("li", {}, button(span, start - DATA.before), `, ${DATA.target} ${percent(probability)}`));
      }
      box.append(element("div", {}, element("h2", {}, `Windows with the highest probability of ${DATA.target}`), list));
    }
    inside.append(box);
  }

  const LEFT = 92;
  const RIGHT = 16;
  const LANES = { sound: [18, 88], score: [108, 228], emotions: [248, 358] };
  const HEIGHT = 386;

  function timeline(parent, row, call, wave, audio, seek) {
    // One unit is one pixel at first, so that text keeps its size on narrow screens.
    const width = Math.min(Math.max(parent.clientWidth || table.clientWidth - 30, 300), 1400);
    const inner = width - LEFT - RIGHT;
    const x = (seconds) => LEFT + (inner * seconds) / call.seconds;
    const y = (lane, share) => LANES[lane][1] - share * (LANES[lane][1] - LANES[lane][0]);
    const box = element("div", { class: "timeline" });
    const description = `Timeline of ${row[AT.call]}: score of ${DATA.target} up to ${decimal(row[AT.score])}` +
      (call.passages.length ? `, flagged ${call.passages.map((one) => `${clock(one.start_s)} to ${clock(one.end_s)}`).join(", ")}` : ", no flagged passage");
    const position = {
      role: "slider", tabindex: "0", "aria-label": description, "aria-valuemin": "0",
      "aria-valuemax": String(Math.round(call.seconds)), "aria-valuenow": "0", "aria-valuetext": "0:00",
    };
    for (const [key, value] of Object.entries(audio ? position : { role: "img", "aria-label": description })) box.setAttribute(key, value);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("aria-hidden", "true");
    call.passages.forEach((passage, number) => {
      const [start, end] = [x(passage.start_s), x(passage.end_s)];
      const top = LANES.sound[0];
      const place = { x: start, y: top, width: Math.max(end - start, 2), height: LANES.score[1] - top };
      const band = shape("rect", { ...place, class: "passage" }, svg);
      shape("title", {}, band, `Passage ${number + 1}, ${clock(passage.start_s)}–${clock(passage.end_s)}`);
    });
    const named = { sound: "sound", score: DATA.target, emotions: "emotions" };
    for (const [lane, [top, bottom]] of Object.entries(LANES)) {
      shape("rect", { x: LEFT, y: top, width: inner, height: bottom - top, class: "frame" }, svg);
      shape("text", { x: 0, y: (top + bottom) / 2 + 4 }, svg, named[lane]);
      if (lane === "sound") continue;
      for (const share of [0, 0.5, 1]) {
        shape("text", { x: LEFT - 4, y: y(lane, share) + 4, "text-anchor": "end" }, svg, share ? share.toFixed(1) : "0");
      }
    }
    drawWave(svg, call, wave, row[AT.channel], x);
    drawWindows(svg, call, x, y);
    if (row[AT.threshold] !== null) {
      const height = y("score", row[AT.threshold]);
      shape("line", { x1: LEFT, x2: width - RIGHT, y1: height, y2: height, class: "limit" }, svg);
      shape("text", { x: width - RIGHT - 4, y: height - 4, "text-anchor": "end" }, svg, `threshold ${Number(row[AT.threshold].toPrecision(2))}`);
    }
    for (const [start, end, probability] of call.strongest) {
      const middle = x((start + end) / 2);
      const top = LANES.sound[0] - 3;
      const triangle = shape("path", { d: `M${middle} ${top}l-5 -9l10 0z`, class: "mark" }, svg);
      shape("title", {}, triangle, `${clock(start)}: ${DATA.target} ${percent(probability)}`);
    }
    const steady = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
    const apart = steady.find((step) => call.seconds / step <= inner / 60) || 14400;
    for (let seconds = 0; seconds <= call.seconds; seconds += apart) {
      shape("text", { x: x(seconds), y: LANES.emotions[1] + 18, "text-anchor": "middle" }, svg, clock(seconds));
    }
    const hand = shape("line", { y1: LANES.sound[0], y2: LANES.emotions[1], class: "hand", x1: x(0), x2: x(0) }, svg);
    const hint = audio ? "Point at the timeline to read it; click it to play from there. Arrow keys move by 5 s, space plays." : "Point at the timeline to read it.";
    const readout = element("p", { class: "readout" }, hint);
    const moved = (seconds) => {
      hand.setAttribute("x1", x(seconds));
      hand.setAttribute("x2", x(seconds));
      const text = `${clock(seconds)}  ${reading(call, seconds)}`;
      readout.textContent = text;
      if (!audio) return;
      box.setAttribute("aria-valuenow", String(Math.round(seconds)));
      box.setAttribute("aria-valuetext", text);
    };
    const secondsAt = (event) => {
      const area = svg.getBoundingClientRect();
      const across = ((event.clientX - area.left) / area.width) * width;
      return ((across - LEFT) / inner) * call.seconds;
    };
    svg.addEventListener("pointermove", (event) => {
      const seconds = secondsAt(event);
      if (seconds < 0 || seconds > call.seconds || (audio && !audio.paused)) return;
      moved(seconds);
    });
    if (audio) {
      svg.addEventListener("click", (event) => seek(secondsAt(event), true));
      box.addEventListener("keydown", (event) => {
        const steps = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageUp: 30, PageDown: -30 };
        if (event.key in steps) seek(audio.currentTime + steps[event.key], false);
        else if (event.key === "Home") seek(0, false);
        else if (event.key === "End") seek(call.seconds, false);
        else if (event.key === " " || event.key === "Enter") audio.paused ? audio.play() : audio.pause();
        else return;
        event.preventDefault();
      });
    }
    const legend = element("div", { class: "legend" });
    for (const [label, fill] of [...LABELS.map((label) => [label, DATA.colors[label]]), ["not scored", "transparent"]]) {
      const swatch = element("i");
      swatch.style.background = fill;
      legend.append(element("span", {}, swatch, label));
    }
    legend.append(element("span", {}, `▼ highest probabilities of ${DATA.target}`));
    if (call.passages.length) {
      const swatch = element("i");
      swatch.style.background = "var(--passage)";
      legend.append(element("span", {}, swatch, "flagged passage"));
    }
    box.append(svg);
    parent.append(box, legend, readout);
    return moved;
  }

  function drawWindows(svg, call, x, y) {
    const column = (lane, index, from, to) => {
      const [start, end] = [x(call.starts[index]).toFixed(1), x(call.ends[index]).toFixed(1)];
      const [low, high] = [y(lane, from).toFixed(1), y(lane, to).toFixed(1)];
      return `M${start} ${low}L${start} ${high}L${end} ${high}L${end} ${low}Z`;
    };
    const floors = call.starts.map(() => 0);
    LABELS.forEach((label, position) => {
      let path = "";
      call.probabilities[position].forEach((share, index) => {
        if (share === null) return;
        const top = Math.min(floors[index] + share / 100, 1);
        if (share) path += column("emotions", index, floors[index], top);
        floors[index] = top;
      });
      shape("path", { d: path, fill: DATA.colors[label] }, svg);
    });
    let [unscored, line, steps, pen] = ["", "", "", "M"];
    call.scores.forEach((score, index) => {
      if (score === null) {
        unscored += column("emotions", index, 0, 1);
        pen = "M";
        return;
      }
      const [start, end] = [x(call.starts[index]), x(call.ends[index])];
      const height = y("score", score / 100).toFixed(1);
      steps += `M${start.toFixed(1)} ${height}L${end.toFixed(1)} ${height}`;
      line += `${pen}${((start + end) / 2).toFixed(1)} ${height}`;
      pen = "L";
    });
    shape("path", { d: unscored, class: "unscored" }, svg);
    const quiet = { fill: "none", stroke: DATA.colors[DATA.target] || "#d55e00" };
    shape("path", { d: line, ...quiet, opacity: 0.45 }, svg);
    shape("path", { d: steps, ...quiet, "stroke-width": 2.5 }, svg);
  }

  function drawWave(svg, call, wave, channel, x) {
    const [top, bottom] = LANES.sound;
    const middle = (top + bottom) / 2;
    if (!wave) {
      shape("text", { x: x(call.seconds / 2), y: middle + 4, "text-anchor": "middle" }, svg, "no sound");
      return;
    }
    const drawn = Math.min(channel, wave.low.length - 1);
    const [low, high] = [wave.low[drawn], wave.high[drawn]];
    const loudest = Math.max(...high, ...low.map((value) => -value), 1);
    const scale = (bottom - top) / 2.1 / loudest;
    const at = (index) => x((wave.seconds * (index + 0.5)) / low.length).toFixed(1);
    const upper = high.map((value, index) => `${at(index)} ${(middle - value * scale).toFixed(1)}`);
    const lower = low.map((value, index) => `${at(index)} ${(middle - value * scale + 0.3).toFixed(1)}`);
    shape("path", { d: `M${upper.join("L")}L${lower.reverse().join("L")}Z`, class: "wave" }, svg);
  }

  function reading(call, seconds) {
    const index = call.starts.findIndex((start, at) => start <= seconds && seconds < call.ends[at]);
    if (index < 0) return "no speech";
    if (call.scores[index] === null) return "not scored";
    const likeliest = LABELS.map((label, at) => [label, call.probabilities[at][index]])
      .sort((a, b) => b[1] - a[1])
      .slice(0, 3)
      .map(([label, share]) => `${label} ${share} %`);
    return `${likeliest.join(", ")}; score ${(call.scores[index] / 100).toFixed(2)}`;
  }

  // Links: #call=ID or #call=NAME, and &t=SECONDS.
  async function follow() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const name = wanted.get("call");
    if (!name) return;
    const find = () => rows.find((row) => row[AT.id] === name || row[AT.call] === name);
    let row = find();
    if (!row) {
      await loadOthers();
      row = find();
    }
    if (!row) {
      byId("shown").textContent = `There is no call ${name} on this page`;
      return;
    }
    if (!state.found.includes(row)) {
      form.reset();
      for (const box of form.querySelectorAll("input[name=flag]")) if (box.value === row[AT.flag]) box.checked = true;
      if (row[AT.flag] === "not_flagged") await loadOthers();
      select();
    }
    state.page = Math.floor(state.found.indexOf(row) / size());
    show();
    const made = body.querySelector(`tr.call[data-id="${CSS.escape(row[AT.id])}"]`);
    const seconds = wanted.has("t") ? Number(wanted.get("t")) : undefined;
    if (seconds !== undefined || !state.opened.has(row[AT.id])) toggle(made, row, Number.isFinite(seconds) ? seconds : undefined);
    if (seconds !== undefined) history.replaceState(null, "", `#call=${encodeURIComponent(row[AT.id])}&t=${seconds}`);
    made.scrollIntoView({ block: "start" });
    made.querySelector(".open").focus({ preventScroll: true });
  }

  // What is shown as a file. A spreadsheet must not run a name as a formula.
  function save() {
    const cell = (value) => {
      let text = value === null || value === undefined ? "" : String(value);
      if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const columns = DATA.columns.filter((name) => name !== "id");
    const lines = [columns.join(",")];
    for (const row of state.found) {
      lines.push(columns.map((name) => cell(name === "flag" ? DATA.names[row[AT.flag]] ?? row[AT.flag] : row[AT[name]])).join(","));
    }
    const blob = new Blob([`\ufeff${lines.join("\r\n")}\r\n`], { type: "text/csv" });
    const link = element("a", { href: URL.createObjectURL(blob), download: "calls.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function fillChoices() {
    for (const label of form.querySelectorAll("[data-needs]")) label.hidden = !has(label.dataset.needs);
    for (const name of ["agent", "queue", "direction"]) {
      const list = byId(name);
      const kept = list.value;
      const values = [...new Set(rows.map((row) => row[AT[name]]))].filter(Boolean);
      values.sort(compareNames);
      list.replaceChildren(element("option", { value: "" }, "all"), ...values.map((value) => element("option", { value }, value)));
      list.value = values.includes(kept) ? kept : "";
    }
    for (const header of [...table.tHead.rows[0].cells]) {
      const name = header.dataset.name;
      if (!["start", "agent", "customer", "queue"].includes(name)) continue;
      header.hidden = !has(name);
      if (header.hidden) hidden.add(name);
      else hidden.delete(name);
    }
  }

  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const name = button.dataset.sort;
      const again = state.sort === name;
      state.rising = again ? !state.rising : TEXTS.has(name) || name === "flag";
      state.sort = name;
      markSorted(button.closest("th"), state.rising);
      state.page = 0;
      sort();
      update();
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", async () => {
    state.page = 0;
    if (form.querySelector("input[name=flag][value=not_flagged]").checked && !others) {
      byId("shown").textContent = "Loading …";
      await loadOthers().catch(missing);
    }
    update();
  });
  const turn = (step) => () => {
    state.page += step;
    show();
    table.scrollIntoView({ block: "start" });
  };
  byId("previous").addEventListener("click", turn(-1));
  byId("next").addEventListener("click", turn(1));
  byId("size").addEventListener("change", () => { state.page = 0; show(); });
  byId("export").addEventListener("click", save);
  addEventListener("hashchange", follow);
  const missing = (error) => alertOnce(`${error.message} was not found next to this page: copy its folder with the page.`);
  function alertOnce(text) {
    if (!byId("missing")) form.before(element("p", { class: "problem", id: "missing", role: "alert" }, text));
  }
  form.reset(); // some browsers keep boxes over a reload
  fillChoices();
  sort();
  update();
  const first = [loadRows(DATA.flagged)];
  if (form.querySelector("input[name=flag][value=not_flagged]").checked) first.push(loadOthers());
  Promise.all(first).then(() => {
    if (DATA.flagged.length || others) {
      fillChoices();
      update();
    }
  }).catch(missing).then(follow);
})();
