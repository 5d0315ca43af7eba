"use strict";
// Helpers that the scripts of the pages share.
const DATA = JSON.parse(document.getElementById("data")?.textContent ?? "null");
const byId = (id) => document.getElementById(id);
const compareNames = new Intl.Collator(undefined, { numeric: true }).compare; // 2 before 10

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

const unknown = (value) => value === null || value === undefined || Number.isNaN(value);
const clock = (seconds) => {
  if (unknown(seconds)) return "–";
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
};
const percent = (share, digits = 0) => (unknown(share) ? "–" : `${(100 * share).toFixed(digits)}\u00a0%`);
const count = (number) => number.toLocaleString("en");

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

// The header of the column that a table is sorted by says so.
function markSorted(header, rising) {
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", rising ? "ascending" : "descending");
}
