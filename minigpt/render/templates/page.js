"use strict";
// What all views share: how numbers look, how elements are made, the theme and the size of text.
//
// Each view registers itself in `views`; it is given its section and its data. Text from outside becomes textContent, and
// nothing else.
const views = {};

function element(name, { text, ...properties } = {}, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// `8.82 %`. What is neither nothing nor all never looks like it.
function percent(share, decimals = 2) {
  const least = 10 ** -decimals, value = share * 100;
  if (value > 0 && value < least / 2) return `<${least.toFixed(decimals)} %`;
  if (value > 100 - least / 2 && value < 100 - 1e-9) return `>${(100 - least).toFixed(decimals)} %`;
  return `${value.toFixed(decimals)} %`;
}

// An interval that is no point: `8.82 – 9.10 %`.
function percents([low, high]) {
  const [from, to] = [percent(low), percent(high)];
  if (low === high) return to;
  return from === to ? `≈ ${to}` : `${from.replace(" %", "")} – ${to}`;
}

function quantity(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

// At first the system's.
function startTheme(button) {
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; });
}

// Sizes by name: page.css has a rule for each but the first.
const SIZES = ["normal", "large", "projector"];

// The button goes from size to size. The browser remembers the last one, for all pages, where it lets a page do so.
function startSize(button) {
  const stored = (use) => {
    try { return use(localStorage); } catch { return null; } // a page may be denied it, as in a frame
  };
  let size = Math.max(0, SIZES.indexOf(stored((storage) => storage.getItem("minigpt-size"))));
  const show = () => {
    document.documentElement.dataset.size = SIZES[size];
    button.textContent = `A${"+".repeat(size)}`;
    button.setAttribute("aria-label", `Size of the text: ${SIZES[size]}. Switch to ${SIZES[(size + 1) % SIZES.length]}`);
    button.title = `Size of the text: ${SIZES.join(", ")}`;
  };
  button.addEventListener("click", () => {
    size = (size + 1) % SIZES.length;
    stored((storage) => storage.setItem("minigpt-size", SIZES[size]));
    show();
  });
  show();
}

document.addEventListener("DOMContentLoaded", () => {
  startTheme(document.getElementById("theme"));
  startSize(document.getElementById("size"));
  for (const section of document.querySelectorAll("section.view")) {
    const data = section.querySelector("script.data");
    if (data) views[section.dataset.view](section, JSON.parse(data.textContent));
  }
});
