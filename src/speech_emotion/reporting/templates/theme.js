"use strict";
// Plotly charts follow the color scheme of the page, and print in light colors.
(() => {
  const LIGHT = { ink: "#1f2328", grid: "#e3e7ec", zero: "#aab3bd", paper: "#ffffff" };
  const DARK = { ink: "#e6eaef", grid: "#323a44", zero: "#66707c", paper: "#1e242b" };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 40rem)");
  const PAPER = 680; // pixels of A4 within its margins

  function restyle(colors, size = {}) {
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      const update = {
        "font.color": colors.ink,
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        "hoverlabel.bgcolor": colors.paper,
        "hoverlabel.font.color": colors.ink,
        ...size,
      };
      for (const axis of Object.keys(plot._fullLayout)) {
        if (!/^[xy]axis\d*$/.test(axis)) continue;
        update[`${axis}.gridcolor`] = colors.grid;
        update[`${axis}.zerolinecolor`] = colors.zero;
        update[`${axis}.linecolor`] = colors.zero;
      }
      Plotly.relayout(plot, update);
      const cells = plot.data.findIndex((trace) => trace.texttemplate);
      if (cells >= 0) Plotly.restyle(plot, { "textfont.size": narrow.matches ? 8 : 12 }, [cells]);
    }
  }

  const follow = () => restyle(dark.matches ? DARK : LIGHT);
  dark.addEventListener("change", follow);
  narrow.addEventListener("change", follow);
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    restyle(LIGHT, { width: PAPER });
  });
  addEventListener("afterprint", () => {
    restyle(dark.matches ? DARK : LIGHT, { width: null, autosize: true });
  });
  follow();
})();
