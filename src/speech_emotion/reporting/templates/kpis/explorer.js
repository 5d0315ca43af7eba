// KPIs of the chosen team, agent and months, from monthly sums; angry calls sorted and filtered.
(() => {
  const MONTH = 0, TEAM = 1, AGENT = 2, N = 3, TOTAL = 4, SQUARES = 5, N_FCR = 6, FCR = 7, N_ANGRY = 8, ANGRY = 9, CONFIRMED = 10;
  const months = [...new Set(DATA.rows.map((row) => row[MONTH]))].sort();
  const SHOWN = 100;
  const order = { column: 6, rising: false };

  const precise = (share) => percent(share, 1);

  function sums(rows) {
    const total = [0, 0, 0, 0, 0, 0, 0, 0];
    for (const row of rows) for (let at = 0; at < total.length; at += 1) total[at] += row[N + at];
    const [n, seconds, squares, nFcr, fcr, nAngry, angry, confirmed] = total;
    const mean = n ? seconds / n : NaN;
    const half = n > 1 ? 1.96 * Math.sqrt(Math.max(squares - n * mean * mean, 0) / (n - 1) / n) : NaN;
    return {
      n,
      aht: { value: mean, low: mean - half, high: mean + half, n },
      fcr: wilson(fcr, nFcr),
      angry: wilson(angry, nAngry),
      confirmed: angry ? confirmed / angry : 0,
    };
  }
  function wilson(hits, n) {
    if (!n) return { value: NaN, low: NaN, high: NaN, n };
    const [share, weight] = [hits / n, 1.96 ** 2 / n];
    const middle = (share + weight / 2) / (1 + weight);
    const half = (1.96 * Math.sqrt((share * (1 - share)) / n + weight / (4 * n))) / (1 + weight);
    return { value: share, low: Math.max(middle - half, 0), high: Math.min(middle + half, 1), n };
  }

  const chosen = () => {
    const [team, agent, from, to] = ["team", "agent", "from", "to"].map((id) => byId(id).value);
    return { team, agent, from, to };
  };
  const inPeriod = (month, { from, to }) => month >= from && month <= to;
  const inScope = (team, agent, wanted) => (!wanted.team || team === wanted.team) && (!wanted.agent || agent === wanted.agent);

  function tile(name, text, note) {
    return element("li", {}, element("b", {}, text), name, element("small", {}, note));
  }
  function against(kpi, target, lower) {
    if (Number.isNaN(kpi.low)) return "";
    const [met, missed] = lower ? [kpi.high <= target, kpi.low > target] : [kpi.low >= target, kpi.high < target];
    return met ? " ✓ met" : missed ? " ✗ missed" : " ? not certain";
  }

  function show() {
    const wanted = chosen();
    const rows = DATA.rows.filter((row) => inPeriod(row[MONTH], wanted));
    const own = rows.filter((row) => inScope(row[TEAM], row[AGENT], wanted));
    const name = wanted.agent ? `agent ${wanted.agent}` : wanted.team ? `team ${wanted.team}` : "the contact center";
    const span = wanted.from === wanted.to ? wanted.from : `${wanted.from} to ${wanted.to}`;
    byId("chosen").replaceChildren(`${name[0].toUpperCase()}${name.slice(1)}, `, element("span", { class: "when" }, span));
    byId("name").textContent = name;
    byId("center").hidden = !(wanted.agent || wanted.team);
    const all = sums(own);
    const range = (kpi, words) => (Number.isNaN(kpi.low) ? "" : `[${words(kpi.low)}, ${words(kpi.high)}], `);
    byId("tiles").replaceChildren(
      tile("calls", count(all.n), ""),
      tile("average handle time (AHT)", clock(all.aht.value), `${range(all.aht, clock)}target ${clock(DATA.target_aht)}${against(all.aht, DATA.target_aht, true)}`),
      tile("first call resolution (FCR)", precise(all.fcr.value), `${range(all.fcr, precise)}target ${precise(DATA.target_fcr)}${against(all.fcr, DATA.target_fcr, false)}`),
      tile("angry calls", precise(all.angry.value), `${range(all.angry, precise)}n = ${count(all.angry.n)}${all.confirmed > 0 ? `, ${precise(all.confirmed)} of them confirmed by reviewers` : ""}`),
    );
    const shown = months.filter((month) => inPeriod(month, wanted));
    const series = (part) => shown.map((month) => sums(part.filter((row) => row[MONTH] === month)));
    const [mine, center] = [series(own), series(rows)];
    byId("charts").replaceChildren(
      chart("Average handle time (AHT)", "aht", shown, mine, center, DATA.target_aht, clock, name),
      chart("First call resolution (FCR)", "fcr", shown, mine, center, DATA.target_fcr, precise, name),
      chart("Angry calls", "angry", shown, mine, center, null, precise, name),
    );
    list(wanted);
  }

  function chart(title, kpi, shown, mine, center, target, words, name) {
    const [width, height, left, right, top, bottom] = [460, 250, 56, 12, 14, 30];
    const enough = (one) => one[kpi].n >= DATA.min_calls && !Number.isNaN(one[kpi].value);
    const known = [...mine, ...center].filter(enough);
    const values = known.flatMap((one) => [one[kpi].value]).concat(mine.filter(enough).flatMap((one) => [one[kpi].low, one[kpi].high]));
    if (target !== null) values.push(target);
    const drawn = mine.map((one, at) => [one, at]).filter(([one]) => enough(one));
    const first = drawn[0]?.[0], last = drawn.at(-1)?.[0];
    const summary = first ? `${name}: ${words(first[kpi].value)} in ${shown[drawn[0][1]]}, ${words(last[kpi].value)} in ${shown[drawn.at(-1)[1]]}` : "too few calls";
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${title} by month. ${summary}`);
    const figure = element("figure", {}, element("figcaption", {}, element("strong", {}, title), element("span", { class: "note" }, summary)), svg);
    if (!values.length) return figure;
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = (high - low) * 0.1 || high * 0.1 || 1;
    [low, high] = [Math.max(low - margin, 0), high + margin];
    const x = (at) => left + ((width - left - right) * (at + 0.5)) / shown.length;
    const y = (value) => height - bottom - ((height - top - bottom) * (value - low)) / (high - low);
    const rough = (high - low) / 4;
    const steps = kpi === "aht" ? [5, 10, 15, 30, 60, 120, 300, 600, 1800] : [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
    const step = steps.find((one) => one >= rough) ?? steps.at(-1);
    for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
      shape("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "grid" }, svg);
      shape("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, svg, words(value));
    }
    const each = Math.ceil(shown.length / 6);
    shown.forEach((month, at) => {
      if (at % each === 0) shape("text", { x: x(at), y: height - 10, "text-anchor": "middle" }, svg, month);
    });
    if (target !== null) shape("line", { x1: left, x2: width - right, y1: y(target), y2: y(target), class: "target" }, svg);
    const line = (series) => {
      let [path, pen] = ["", "M"];
      series.forEach((one, at) => {
        if (!enough(one)) return void (pen = "M");
        path += `${pen}${x(at).toFixed(1)} ${y(one[kpi].value).toFixed(1)}`;
        pen = "L";
      });
      return path;
    };
    if (drawn.length > 1) {
      const upper = drawn.map(([one, at]) => `${x(at)} ${y(Math.min(one[kpi].high, high))}`);
      const lower = drawn.map(([one, at]) => `${x(at)} ${y(Math.max(one[kpi].low, low))}`).reverse();
      shape("path", { d: `M${upper.join("L")}L${lower.join("L")}Z`, class: "band" }, svg);
    }
    shape("path", { d: line(center), class: "center" }, svg);
    shape("path", { d: line(mine), class: "chosen" }, svg);
    for (const [one, at] of drawn) {
      const dot = shape("circle", { cx: x(at), cy: y(one[kpi].value), r: 4, class: DATA.cut.includes(shown[at]) ? "cut" : "" }, svg);
      shape("title", {}, dot, `${shown[at]}: ${words(one[kpi].value)} [${words(one[kpi].low)}, ${words(one[kpi].high)}], n = ${count(one[kpi].n)}`);
    }
    return figure;
  }

  function list(wanted) {
    const found = DATA.angry.filter((row) => inPeriod(row[1].slice(0, 7), wanted) && inScope(row[3], row[2], wanted));
    const { column, rising } = order;
    found.sort((a, b) => {
      const [x, y] = [a[column], b[column]];
      if (x === null || y === null) return (x === null) - (y === null);
      return (rising ? 1 : -1) * (typeof x === "number" ? x - y : compareNames(x, y));
    });
    const all = DATA.rows.filter((row) => inPeriod(row[MONTH], wanted) && inScope(row[TEAM], row[AGENT], wanted)).reduce((sum, row) => sum + row[ANGRY], 0);
    byId("count").textContent = `${count(all)} angry call${all === 1 ? "" : "s"}${found.length < all ? `, the ${count(found.length)} angriest of them on this page` : ""}${found.length > SHOWN ? `, ${SHOWN} shown` : ""}.`;
    byId("angry").tBodies[0].replaceChildren(...found.slice(0, SHOWN).map((row) => {
      const start = row[1].replace(" ", "\u00a0");
      const texts = [row[0], start, ...row.slice(2, 6), precise(row[6]), clock(row[7]), clock(row[8])];
      const cells = texts.map((text, at) => element("td", { class: at > 5 ? "number" : at === 1 ? "when" : "" }, text || "–"));
      const link = row[9] ? element("a", { href: `../calls/calls.html#call=${encodeURIComponent(row[9])}` }, row[9]) : "–";
      return element("tr", {}, ...cells, element("td", {}, link));
    }));
  }

  function choices(id, values, first) {
    byId(id).replaceChildren(...(first === undefined ? [] : [element("option", { value: "" }, first)]), ...values.map((value) => element("option", { value }, value)));
  }
  const unique = (at, keep = () => true) => [...new Set(DATA.rows.filter(keep).map((row) => row[at]))].filter(Boolean).sort(compareNames);
  choices("team", unique(TEAM), "all teams");
  choices("agent", unique(AGENT), "all agents");
  choices("from", months);
  choices("to", months);
  byId("team").value = DATA.team;
  byId("agent").value = DATA.agent;
  const within = (month) => (month < months[0] ? months[0] : month > months.at(-1) ? months.at(-1) : month);
  byId("from").value = within(DATA.from);
  byId("to").value = within(DATA.to);
  byId("pick").addEventListener("change", (event) => {
    if (event.target.id === "team") choices("agent", unique(AGENT, (row) => !byId("team").value || row[TEAM] === byId("team").value), "all agents");
    if (byId("to").value < byId("from").value) byId(event.target.id === "from" ? "to" : "from").value = event.target.value;
    show();
  });
  [...byId("angry").tHead.rows[0].cells].forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      order.rising = order.column === column ? !order.rising : column < 6;
      order.column = column;
      markSorted(header, order.rising);
      list(chosen());
    });
  });
  show();
})();
