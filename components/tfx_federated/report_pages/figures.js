"use strict";

// Figures, in the colours of the page: those of its dark mode on a dark screen, never on paper.
(() => {
  const data = JSON.parse(document.getElementById("figure-data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const darkOf = new Map(Object.entries(data.light).map(([role, color]) => [color, data.dark[role]]));
  const darkened = value => {
    if (typeof value === "string") return darkOf.get(value) ?? value;
    if (Array.isArray(value)) return value.map(darkened);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, darkened(item)]));
  };
  const draw = isDark => {
    for (const [name, figure] of Object.entries(data.figures)) {
      const {data: traces, layout} = isDark ? darkened(figure) : structuredClone(figure);
      const config = {responsive: true, displayModeBar: false, displaylogo: false, showLink: false};
      Plotly.react(`figure-${name}`, traces, layout, config);
    }
  };
  draw(dark.matches);
  dark.addEventListener("change", () => draw(dark.matches));
  addEventListener("beforeprint", () => draw(false));
  addEventListener("afterprint", () => draw(dark.matches));
})();
