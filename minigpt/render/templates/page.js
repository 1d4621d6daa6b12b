"use strict";
// What all views share: how numbers look, how elements are made, and the theme. Each view registers itself in `views`;
// it is given its section and its data. Text from outside becomes textContent, and nothing else.
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

document.addEventListener("DOMContentLoaded", () => {
  startTheme(document.getElementById("theme"));
  for (const section of document.querySelectorAll("section.view")) {
    const data = section.querySelector("script.data");
    if (data) views[section.dataset.view](section, JSON.parse(data.textContent));
  }
});
