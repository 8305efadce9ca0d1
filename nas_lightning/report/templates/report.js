"use strict";
const all = (what, within = document) => [...within.querySelectorAll(what)];
// A table is sorted by the column whose head is pressed; what is no number goes by its text.
for (const button of all("table.sortable th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const column = [...head.parentElement.children].indexOf(head);
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const key = (row) => row.children[column];
    const compare = (a, b) => {
      const [x, y] = [key(a).dataset.value, key(b).dataset.value];
      if (x !== undefined && y !== undefined) return sign * (x - y);
      if (x !== undefined || y !== undefined) return x !== undefined ? -1 : 1;
      return sign * key(a).textContent.localeCompare(key(b).textContent, undefined, { numeric: true });
    };
    body.append(...[...body.rows].sort(compare));
  });
}
// An arm is switched off in all figures, which know it by its colour.
for (const button of all(".legend button")) {
  button.addEventListener("click", () => {
    const colour = button.dataset.colour;
    const on = button.getAttribute("aria-pressed") !== "true";
    for (const same of all(`.legend [data-colour="${colour}"]`)) same.setAttribute("aria-pressed", on);
    for (const drawn of all(`figure:not(.own) svg [style*="${colour}"]`)) drawn.classList.toggle("off", !on);
  });
}
// The numbers of a figure travel within it: a line for every mark, which is shown when one points.
const tip = document.getElementById("tip");
const lines = (svg) => svg.querySelector("metadata").textContent.trim().split("\n");
const cells = (line) => [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)]
  .map((cell) => (cell[1] ?? cell[2]).replaceAll('""', '"'));
document.addEventListener("pointerover", (event) => {
  const group = event.target.closest?.("[data-marks]");
  tip.hidden = !group;
  if (!group) return;
  const place = Number(group.dataset.marks) + all("use:not(defs *)", group).indexOf(event.target);
  const [head, ...rows] = lines(group.closest("svg")).map(cells);
  if (!rows[place]) { tip.hidden = true; return; }
  tip.textContent = rows[place].map((cell, n) => (n ? `${head[n]} ${cell}` : cell)).join(" · ");
  tip.style.left = `${Math.min(event.clientX + 12, innerWidth - 200)}px`;
  tip.style.top = `${event.clientY + 14}px`;
});
// Every drawn figure can be saved, and its numbers.
const save = (text, type, name) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
};
const drawing = (svg) => {
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", "http" + "://www.w3.org/2000/svg");
  copy.setAttribute("xmlns:xlink", "http" + "://www.w3.org/1999/xlink");
  copy.setAttribute("color", "#000");
  copy.setAttribute("font-family", "sans-serif");
  for (const off of all(".off", copy)) off.remove();
  return new XMLSerializer().serializeToString(copy);
};
all("figure svg").forEach((svg, n) => {
  const row = document.createElement("div");
  row.className = "save";
  const name = `${svg.closest("section").id}-${n + 1}`;
  const add = (label, act) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
    button.setAttribute("aria-label", `Save as ${label}: ${svg.getAttribute("aria-label")}`);
    button.addEventListener("click", act);
    row.append(button);
  };
  add("SVG", () => save(drawing(svg), "image/svg+xml", `${name}.svg`));
  if (svg.querySelector("metadata")) {
    add("CSV", () => save(lines(svg).join("\n") + "\n", "text/csv", `${name}.csv`));
  }
  svg.closest("figure").append(row);
});
for (const button of all("button.copy")) {
  button.addEventListener("click", async () => {
    const text = button.nextElementSibling;
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = "press Ctrl-C";
    }
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  });
}
// What is folded away is printed too; what the forest unfolds stands in the section on arms.
addEventListener("beforeprint", () => {
  const elsewhere = document.querySelector(".on-paper") ? ":not(.forest *)" : "";
  for (const details of all(`details${elsewhere}`)) details.open = true;
});
