"use strict";

// The table of silos. Names are anybody's text: they only ever become text nodes.
(() => {
  const PAGE = 50;
  const silos = JSON.parse(document.getElementById("silo-data").textContent);
  const table = document.getElementById("silos");
  const search = document.getElementById("search");
  const show = document.getElementById("show");
  const previous = document.getElementById("previous");
  const next = document.getElementById("next");
  const count = number => number.toLocaleString("en");
  const dash = "–";
  const decimals = (value, sign) => {
    if (value === null) return dash;
    const size = Math.abs(value);
    const text = value === 0 || (size >= 5e-5 && size < 1e5) ? size.toFixed(4) : String(Number(size.toPrecision(3)));
    return (value < 0 ? "−" : sign) + text;
  };
  const enough = place => silos.evidence[place] === "enough";
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const figure = text => element("td", "figure", text);
  const percent = value => 100 * (value - silos.low) / (silos.high - silos.low);

  const nameCell = place => {
    const cell = element("th");
    cell.scope = "row";
    cell.append(element("span", "name", silos.name[place]));
    if (!enough(place)) cell.append(element("small", "", silos.evidenceInWords[silos.evidence[place]]));
    return cell;
  };
  const intervalCell = place => {
    const cell = element("td", "drawn");
    const [lower, upper, value] = [silos.lower[place], silos.upper[place], silos.value[place]];
    if (lower === null || upper === null || value === null) return cell;
    const drawing = element("div", "interval");
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", `${decimals(lower, "")} to ${decimals(upper, "")}`);
    drawing.title = `${decimals(lower, "")} to ${decimals(upper, "")}`;
    const mark = (className, at, width) => {
      const span = element("span", className);
      span.style.left = `${percent(at)}%`;
      if (width !== undefined) span.style.width = `${width}%`;
      drawing.append(span);
    };
    if (silos.overall !== null) mark("overall", silos.overall);
    mark("bounds", lower, percent(upper) - percent(lower));
    mark("value", value);
    cell.append(drawing);
    return cell;
  };
  const gainCell = gain => place => {
    const cell = figure(decimals(gain.gain[place], "+"));
    const verdict = gain.verdict[place];
    const words = {
      "significantly helped": ["passed", "▲ helped"], "significantly hurt": ["failed", "▼ hurt"],
      "no significant difference": ["", "not significant"],
    };
    if (verdict in words) cell.append(element("small", ...words[verdict]));
    if (gain.lower[place] !== null) {
      cell.title = `${decimals(gain.lower[place], "+")} to ${decimals(gain.upper[place], "+")}`;
    }
    return cell;
  };

  const metric = table.dataset.metric;
  const known = values => values.some(value => value !== null);
  const columns = [
    {title: "Silo", values: silos.name, cell: nameCell},
    {title: "Rows", values: silos.rows, cell: place => figure(count(silos.rows[place]))},
  ];
  if (known(silos.positives)) {
    const cell = place => figure(silos.positives[place] === null ? dash : count(silos.positives[place]));
    columns.push({title: "Positives", values: silos.positives, cell});
  }
  columns.push(
    {title: metric, values: silos.value, claim: enough, cell: place => figure(decimals(silos.value[place], ""))},
    {title: "Interval", values: silos.lower, claim: enough, drawn: true, cell: intervalCell},
    {
      title: "To all rows", values: silos.difference_to_overall, claim: enough,
      cell: place => figure(decimals(silos.difference_to_overall[place], "+")),
    },
  );
  if (known(silos.bias)) {
    const cell = place => figure(decimals(silos.bias[place], "+"));
    columns.push({title: "Prediction minus label", values: silos.bias, claim: enough, cell});
  }
  for (const gain of silos.gains) {
    const claim = place => gain.verdict[place] !== null && gain.verdict[place] !== "too few rows";
    columns.push({title: `Gain over ${gain.words}`, values: gain.gain, claim, cell: gainCell(gain)});
    for (const verdict of ["significantly hurt", "significantly helped"]) {
      if (!gain.verdict.includes(verdict)) continue;
      const option = element("option", "", `${verdict}, against ${gain.words}`);
      option.value = JSON.stringify([silos.gains.indexOf(gain), verdict]);
      show.append(option);
    }
  }

  // The data come worst first.
  let order = silos.name.map((_, place) => place);
  let found = order;
  let page = 0;
  const folded = silos.name.map(name => name.toLocaleLowerCase());
  const collator = new Intl.Collator(undefined, {numeric: true});

  const filters = {all: () => true, enough, few: place => !enough(place)};
  const shown = () => {
    if (show.value in filters) return filters[show.value];
    const [number, verdict] = JSON.parse(show.value);
    return place => silos.gains[number].verdict[place] === verdict;
  };
  const render = () => {
    const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    page = Math.min(page, last);
    const start = page * PAGE;
    table.tBodies[0].replaceChildren(...found.slice(start, start + PAGE).map(place => {
      const row = element("tr", enough(place) ? "" : "few");
      row.append(...columns.map(column => column.cell(place)));
      return row;
    }));
    previous.disabled = page === 0;
    next.disabled = page === last;
    document.getElementById("status").textContent = found.length
      ? `${count(start + 1)} to ${count(Math.min(start + PAGE, found.length))} of ${count(found.length)} silos`
      : "No silo matches.";
  };
  const filter = () => {
    const text = search.value.trim().toLocaleLowerCase();
    const wanted = shown();
    found = order.filter(place => wanted(place) && folded[place].includes(text));
    page = 0;
    render();
  };
  const sort = (column, ascending) => {
    const {values, claim} = column;
    const last = place => values[place] === null || (claim !== undefined && !claim(place));
    const direction = ascending ? 1 : -1;
    const compare = typeof values[0] === "string"
      ? (a, b) => direction * collator.compare(values[a], values[b])
      : (a, b) => last(a) - last(b) || direction * (values[a] - values[b]);
    order = [...order].sort(compare);
  };

  const headers = columns.map(column => {
    const header = element("th", column.drawn || column.values === silos.name ? "" : "figure");
    header.scope = "col";
    const button = element("button", "", column.title);
    button.type = "button";
    header.append(button);
    button.addEventListener("click", () => {
      const ascending = header.getAttribute("aria-sort") !== "ascending";
      headers.forEach(other => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sort(column, ascending);
      filter();
    });
    return header;
  });
  table.tHead.rows[0].append(...headers);
  search.addEventListener("input", filter);
  show.addEventListener("change", filter);
  previous.addEventListener("click", () => { page -= 1; render(); });
  next.addEventListener("click", () => { page += 1; render(); });
  document.getElementById("interactive").hidden = false;
  document.documentElement.classList.add("scripted");
  render();
})();
