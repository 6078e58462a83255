// What the pages can do beside links and forms: the threshold's slider, the picture's window, reading by keyboard.
"use strict";

const at = (id) => document.getElementById(id);

function shown(value) {
  return Number.isFinite(value) ? value.toFixed(3).replace("-", "−") : "–";
}

function address(changes) {
  const here = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) here.searchParams.delete(name);
    else here.searchParams.set(name, value);
  }
  history.replaceState(null, "", here);
}

function thresholds() {
  const section = at("threshold-section");
  if (!section || !at("curve")) return;
  const curve = JSON.parse(at("curve").textContent);
  if (!curve.threshold.length) return;
  const slider = at("slider");
  const [left, right, bottom, top] = ["left", "right", "bottom", "top"].map((name) => Number(section.dataset[name]));
  const ratio = (part, whole) => (whole ? part / whole : NaN);

  function values(tp, fp) {
    const fn = curve.n_pos - tp, tn = curve.n_neg - fp;
    const sensitivity = ratio(tp, curve.n_pos), specificity = ratio(tn, curve.n_neg), p = Number(at("prevalence").value);
    const called = sensitivity * p + (1 - specificity) * (1 - p), passed = (1 - sensitivity) * p + specificity * (1 - p);
    return {
      counts: { tp, fp, fn, tn },
      values: {
        sensitivity, specificity, ppv: ratio(tp, tp + fp), npv: ratio(tn, tn + fn),
        ppv_there: ratio(sensitivity * p, called), npv_there: ratio(specificity * (1 - p), passed),
      },
    };
  }

  function show() {
    const place = Number(slider.value), threshold = curve.threshold[place];
    const now = values(curve.tp[place], curve.fp[place]);
    for (const link of section.querySelectorAll("[data-count]")) {
      link.textContent = now.counts[link.dataset.count];
      const list = new URL(section.dataset.list, location.href);
      list.searchParams.set("kind", link.dataset.kind);
      list.searchParams.set("t", threshold);
      list.searchParams.delete("label");
      link.href = list.pathname + list.search;
    }
    for (const cell of section.querySelectorAll("[data-value]")) cell.textContent = shown(now.values[cell.dataset.value]);
    at("t").value = threshold;
    at("t-shown").textContent = shown(threshold);
    const [low, high] = curve.edges, x = left + ((threshold - low) / (high - low)) * (right - left);
    at("threshold-line").setAttribute("d", `M${Math.min(right, Math.max(left, x))},${top}V${bottom}`);
    const point = at("threshold-point");
    if (point) {
      point.setAttribute("cx", left + ratio(curve.fp[place], curve.n_neg) * (right - left));
      point.setAttribute("cy", bottom - ratio(curve.tp[place], curve.n_pos) * (bottom - top));
    }
    address({ t: threshold, prevalence: at("prevalence").value || null });
  }

  slider.hidden = false;
  slider.addEventListener("input", show);
  at("prevalence").addEventListener("input", show);
}

function windowing() {
  const form = at("window-form");
  if (!form) return;
  const picture = document.querySelector(".viewer .xray");
  const parts = document.querySelectorAll("#window feFuncR, #window feFuncG, #window feFuncB");
  form.hidden = false;

  function show(event) {
    let low = Number(at("low").value) / 100, high = Number(at("high").value) / 100;
    if (high - low < 0.01) high = low + 0.01;
    const inverted = at("invert").checked, sign = inverted ? -1 : 1;
    const slope = sign / (high - low), intercept = inverted ? high / (high - low) : -low / (high - low);
    for (const part of parts) {
      part.setAttribute("slope", slope);
      part.setAttribute("intercept", intercept);
    }
    picture.classList.toggle("windowed", low > 0 || high < 1 || inverted);
    if (event && !at("read-form")) {
      address({ low: low > 0 ? low : null, high: high < 1 ? high : null, invert: inverted ? "1" : null });
    }
  }

  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  at("window-reset").addEventListener("click", (event) => {
    at("low").value = 0;
    at("high").value = 100;
    at("invert").checked = false;
    show(event);
  });
  show(null);
}

function reading() {
  const form = at("read-form");
  if (!form) return;
  const answers = { y: "yes", n: "no", u: "unsure" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const written = event.target instanceof HTMLInputElement && event.target.type !== "checkbox";
    if (event.key === "Escape" && written) event.target.blur();
    if (written) return;
    const key = event.key.toLowerCase();
    if (key in answers) form.querySelector(`button[value="${answers[key]}"]`).click();
    else if (key === "c") at("comment").focus();
    else if (key === "i") at("invert").click();
    else if (key === "arrowright" && at("next")) at("next").click();
    else if (key === "arrowleft" && at("previous")) at("previous").click();
    else return;
    event.preventDefault();
  });
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    else form.dataset.sent = "1";
  });
}

function files() {
  const file = at("csv-file");
  if (!file) return;
  file.addEventListener("change", async () => {
    if (file.files.length) at("csv").value = await file.files[0].text();
  });
}

function comments() {
  const comment = at("comment");
  if (!comment) return;
  comment.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault(); // the first button would be pressed: an answer that nobody has given
      comment.blur();
    }
  });
}

thresholds();
windowing();
reading();
files();
comments();
