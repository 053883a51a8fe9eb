"use strict";
// The search: tables by name, and those that have a column of that name or label.
const search = document.getElementById("search");
const found = document.getElementById("found");
const sections = [...document.querySelectorAll("section.t")];
const links = [...document.querySelectorAll("nav li")];
search.addEventListener("input", () => {
  const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const has = (text) => words.every((word) => text.toLowerCase().includes(word));
  let count = 0;
  const shown = new Set();
  for (const section of sections) {
    const named = has(section.querySelector("h3").textContent);
    let columns = 0;
    for (const row of section.querySelectorAll("tr[data-column]")) {
      const fits = named || has(row.textContent);
      row.classList.toggle("hidden", words.length > 0 && !fits);
      columns += fits ? 1 : 0;
    }
    const fits = words.length === 0 || named || columns > 0;
    section.classList.toggle("hidden", !fits);
    if (fits) { shown.add(section.id); count += 1; }
    if (words.length > 0 && columns > 0 && !named) {
      for (const part of section.querySelectorAll("details:has(tr[data-column])")) part.open = true;
    }
  }
  for (const link of links) {
    const target = link.querySelector("a").getAttribute("href").slice(1);
    link.classList.toggle("hidden", !shown.has(target));
  }
  found.textContent = words.length === 0 ? "" : count === 1 ? "1 place" : `${count} places`;
});

// The lineage: what a box is made of, and what is made of it, however far away.
const picture = document.querySelector("svg");
if (picture) {
  const edges = [...picture.querySelectorAll(".e")];
  const boxes = [...picture.querySelectorAll(".b")];
  const light = (node) => {
    const lit = new Set([node]);
    const follow = (from, to) => {
      const open = [node];
      while (open.length > 0) {
        const at = open.pop();
        for (const edge of edges.filter((edge) => edge.dataset[from] === at)) {
          edge.classList.add("lit");
          if (!lit.has(edge.dataset[to])) open.push(edge.dataset[to]);
          lit.add(edge.dataset[to]);
        }
      }
    };
    follow("from", "to");
    follow("to", "from");
    for (const box of boxes) box.classList.toggle("lit", lit.has(box.dataset.node));
    picture.classList.add("on");
  };
  const dark = () => {
    picture.classList.remove("on");
    for (const part of [...edges, ...boxes]) part.classList.remove("lit");
  };
  for (const box of boxes) {
    box.addEventListener("mouseenter", () => { dark(); light(box.dataset.node); });
    box.addEventListener("mouseleave", dark);
  }
}
