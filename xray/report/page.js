// Figures and tables of the report answer the pointer and the keyboard. Without this script all of it can be read too.
"use strict";
(() => {
  const tip = document.getElementById("tip");
  const NO_EXPLORER = "No explorer is known, so there are no images here: start xray explore, and type its address below the first table";
  let explorer = "";
  let pinned = null;

  // The explorer's address: typed by the reader, or handed over after "#explorer=" for this machine only.
  const origin = (text) => {
    try {
      const url = new URL(text.includes("//") ? text : `http${"://"}${text}`);
      return /^https?:$/.test(url.protocol) ? url.origin : "";
    } catch { return ""; }
  };
  const given = new URLSearchParams(location.hash.slice(1)).get("explorer");
  if (given && ["127.0.0.1", "localhost"].includes(new URL(origin(given) || "file:///").hostname)) explorer = origin(given);
  const line = document.getElementById("explorer");
  const label = document.createElement("label");
  const field = Object.assign(document.createElement("input"), { type: "text", size: 24, value: explorer, autocomplete: "off" });
  label.append(" To be led there by a click on a cell, type its address here: ", field);
  line.append(label);
  field.addEventListener("input", () => { explorer = origin(field.value.trim()); });

  const link = (path, text) => Object.assign(document.createElement("a"), { href: explorer + path, textContent: text, target: "_blank", rel: "noopener noreferrer" });
  const within = ([model, dataset, task]) => new URLSearchParams({ model, dataset, task });
  const show = (lines, cells, box, image = 0) => {
    tip.replaceChildren(...lines.filter(Boolean).map((text) => Object.assign(document.createElement("div"), { textContent: text })));
    if (pinned) {
      const doors = document.createElement("div");
      for (const cell of cells) {
        if (!explorer) continue;
        if (cells.length > 1) doors.append(`${cell[0]}: `);
        doors.append(link(`/images?${within(cell)}`, "images"), " ", link(`/cell?${within(cell)}`, "scores"), " ");
      }
      if (image && explorer) doors.append(link(`/image/${image}`, "the image"));
      if ((cells.length || image) && !explorer) doors.append(NO_EXPLORER);
      tip.append(doors);
    }
    tip.hidden = false;
    const width = tip.offsetWidth, height = tip.offsetHeight;
    const left = Math.max(4, Math.min(box.left + box.width / 2 - width / 2, document.documentElement.clientWidth - width - 4));
    const below = box.bottom + 6 + height < innerHeight ? box.bottom + 6 : Math.max(4, box.top - height - 6);
    Object.assign(tip.style, { left: `${left + scrollX}px`, top: `${below + scrollY}px` });
  };
  const hide = () => { tip.hidden = true; pinned = null; document.querySelectorAll(".mark").forEach((mark) => { mark.hidden = true; }); };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("click", (event) => { if (pinned && !event.target.closest(".plot, #tip, .door")) hide(); });

  // Figures: cells, dots and bars.
  for (const figure of document.querySelectorAll("figure")) {
    const data = figure.querySelector("script.spots");
    if (!data) continue;
    const { texts, spots } = JSON.parse(data.textContent);
    const plot = figure.querySelector(".plot"), region = figure.querySelector(".scroll");
    const mark = Object.assign(document.createElement("div"), { className: "mark", hidden: true });
    plot.append(mark);
    let at = -1;
    const tell = (index) => {
      at = index;
      const [x, y, w, h, lines, cell] = spots[index];
      Object.assign(mark.style, { left: `${x / 100}%`, top: `${y / 100}%`, width: `${w / 100}%`, height: `${h / 100}%` });
      mark.hidden = false;
      const [cells, image] = typeof cell === "number" ? [[], cell] : [cell.length ? [cell.map((i) => texts[i])] : [], 0];
      show(lines.map((i) => texts[i]), cells, mark.getBoundingClientRect(), image);
    };
    const under = (event) => {
      const box = plot.getBoundingClientRect();
      const x = 10000 * (event.clientX - box.left) / box.width, y = 10000 * (event.clientY - box.top) / box.height;
      const far = ([l, t, w, h]) => Math.hypot((x - l - w / 2) * box.width, (y - t - h / 2) * box.height);
      return spots.reduce((best, spot, index) => {
        const [l, t, w, h] = spot;
        const inside = l <= x && x < l + w && t <= y && y < t + h;
        return inside && (best < 0 || far(spot) < far(spots[best])) ? index : best;
      }, -1);
    };
    plot.addEventListener("pointermove", (event) => {
      if (pinned || event.pointerType === "touch") return;
      const index = under(event);
      if (index < 0) hide(); else if (index !== at || tip.hidden) tell(index);
    });
    plot.addEventListener("pointerleave", () => { if (!pinned) hide(); });
    plot.addEventListener("click", (event) => {
      const index = under(event);
      hide();
      if (index >= 0) { pinned = plot; tell(index); }
    });
    region.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Enter" && at >= 0) { pinned = plot; tell(at); tip.querySelector("a")?.focus(); }
      if (!step) return;
      event.preventDefault();
      pinned = null;
      tell(Math.max(0, Math.min(spots.length - 1, at + step)));
    });
    region.addEventListener("blur", () => { if (!pinned) hide(); });
  }

  // Tables: a cell, or a row that is about one cell, leads to its images. Arrows go from one to the next.
  const words = (cell) => [...cell.childNodes].map((node) => node.textContent.trim()).filter(Boolean);
  const column = (head) => [...head.childNodes].filter((node) => node.nodeName !== "SMALL").map((node) => node.textContent).join("");
  const answer = (door, [model, dataset, task]) => {
    const head = door.closest("table").tHead.rows[0].cells[door.cellIndex];
    const title = `${task.replaceAll("_", " ")}: ${model}, tested on ${dataset}`;
    return door.matches("td") ? [title, `${column(head)}: ${words(door).join("; ")}`] : [title];
  };
  const front = (door) => door.cells?.[0] ?? door;
  const visible = (table) => [...table.querySelectorAll("[data-cells]")].filter((door) => !door.closest("tr").hidden);
  const stop = (table, door) => {  // one stop of the tab key in each table
    for (const each of table.querySelectorAll("[data-cells]")) front(each).tabIndex = each === door ? 0 : -1;
  };
  for (const table of document.querySelectorAll("table")) {
    stop(table, visible(table)[0]);
    for (const door of visible(table)) {
      const cells = JSON.parse(door.dataset.cells), lines = door.title ? door.title.trim().split("\n") : cells.length ? answer(door, cells[0]) : [];
      const at = front(door);
      door.classList.add("door");
      const open = () => { hide(); pinned = door; show(lines, cells, at.getBoundingClientRect()); };
      door.addEventListener("click", open);
      at.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === "Enter") { open(); tip.querySelector("a")?.focus(); }
        if (!step) return;
        event.preventDefault();
        hide();
        const all = visible(table), next = all[all.indexOf(door) + step];
        if (!next) return;
        stop(table, next);
        front(next).focus();
      });
    }
  }

  // Tables: sorted by a column, and only the rows that hold some words.
  const head = (cell) => (cell?.firstChild?.nodeType === Node.TEXT_NODE ? cell.firstChild : cell)?.textContent.trim() ?? "";
  const size = (text) => parseFloat(text.replace("\u2212", "-").replaceAll(",", "").replace(/^[^\d.-]+/, ""));
  const compare = (a, b) => {
    if (a === b) return 0;
    if (a === "–" || a === "") return 2;
    if (b === "–" || b === "") return -2;
    const [x, y] = [size(a), size(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? Math.sign(a.localeCompare(b)) : Math.sign(x - y);
  };
  for (const box of document.querySelectorAll("details.numbers")) {
    for (const th of box.querySelectorAll("thead th")) {
      const button = Object.assign(document.createElement("button"), { type: "button", title: "sort by this column" });
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener("click", () => {
        const up = th.getAttribute("aria-sort") !== "ascending", body = th.closest("table").tBodies[0];
        const text = (row) => th.cellIndex ? head(row.cells[th.cellIndex]) : row.cells[0].textContent.trim();
        const sign = (a, b) => { const c = compare(text(a), text(b)); return Math.abs(c) === 2 ? c : up ? c : -c; };
        body.append(...[...body.rows].sort(sign));
        th.parentNode.querySelectorAll("th").forEach((each) => each.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
      });
    }
    const words = Object.assign(document.createElement("input"), { type: "search", size: 24 });
    const filter = Object.assign(document.createElement("label"), { className: "filter" });
    filter.append("Only rows with ", words);
    box.querySelector("summary").after(filter);
    words.addEventListener("input", () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const table of box.querySelectorAll("table")) {
        const caption = table.caption.textContent;
        for (const row of table.tBodies[0].rows) {
          const text = `${caption} ${row.textContent}`.toLowerCase();
          row.hidden = !wanted.every((word) => text.includes(word));
        }
        stop(table, visible(table)[0]);
        table.closest(".scroll").hidden = [...table.tBodies[0].rows].every((row) => row.hidden);
      }
    });
  }
})();
