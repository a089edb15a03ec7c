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
  const decimals = value => {
    if (value === null) return dash;
    const size = Math.abs(value);
    const text = value === 0 || (size >= 5e-5 && size < 1e5) ? size.toFixed(4) : String(Number(size.toPrecision(3)));
    return (value < 0 ? "−" : "+") + text;
  };
  const percent = value => value === null ? dash : `${(100 * value).toFixed(1)} %`;
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const figure = text => element("td", "figure", text);
  const nameCell = place => {
    const cell = element("th");
    cell.scope = "row";
    cell.append(element("span", "name", silos.name[place]));
    return cell;
  };
  const wordsCell = place => {
    const cell = element("td", "wrap", silos.findings[place]);
    if (silos.notes[place]) cell.append(element("small", "", silos.notes[place]));
    return cell;
  };
  const gainCell = gain => place => {
    const cell = figure(decimals(gain.gain[place]));
    const verdict = gain.verdict[place];
    const colour = {"significantly helped": "passed", "significantly hurt": "failed"}[verdict] ?? "";
    cell.append(element("small", colour, verdict));
    return cell;
  };

  const columns = [
    {title: "Silo", values: silos.name, cell: nameCell},
    {title: "Rows", values: silos.rows, cell: place => figure(silos.rows[place] === null ? dash : count(silos.rows[place]))},
    {title: "Weight", values: silos.weight_share, cell: place => figure(percent(silos.weight_share[place]))},
    {title: "Gave", values: silos.contribution, cell: place => figure(decimals(silos.contribution[place]))},
    {title: "Share", values: silos.contribution_share, cell: place => figure(percent(silos.contribution_share[place]))},
  ];
  for (const gain of silos.gains) {
    columns.push({title: `Got: ${gain.title}`, values: gain.gain, cell: gainCell(gain)});
    for (const verdict of ["significantly hurt", "significantly helped"]) {
      if (!gain.verdict.includes(verdict)) continue;
      const option = element("option", "", `${verdict}, ${gain.title}`);
      option.value = JSON.stringify([silos.gains.indexOf(gain), verdict]);
      show.append(option);
    }
  }
  columns.push(
    {title: "Suspicion", values: silos.suspicion, cell: place => figure(silos.suspicion[place]?.toFixed(3) ?? dash)},
    {title: "Findings and notes", values: silos.findings, cell: wordsCell},
  );

  // The data come with those that gave most first.
  let order = silos.name.map((_, place) => place);
  let found = order;
  let page = 0;
  const folded = silos.name.map(name => name.toLocaleLowerCase());
  const collator = new Intl.Collator(undefined, {numeric: true});

  const filters = {
    all: () => true, found: place => silos.findings[place] !== "", noted: place => silos.notes[place] !== "",
  };
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
      const row = element("tr");
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
  const sort = (values, ascending) => {
    const direction = ascending ? 1 : -1;
    const compare = typeof values[0] === "string"
      ? (a, b) => direction * collator.compare(values[a], values[b])
      : (a, b) => (values[a] === null) - (values[b] === null) || direction * (values[a] - values[b]);
    order = [...order].sort(compare);
  };

  const headers = columns.map(column => {
    const header = element("th", typeof column.values[0] === "string" ? "" : "figure");
    header.scope = "col";
    const button = element("button", "", column.title);
    button.type = "button";
    header.append(button);
    button.addEventListener("click", () => {
      const ascending = header.getAttribute("aria-sort") !== "ascending";
      headers.forEach(other => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sort(column.values, ascending);
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
