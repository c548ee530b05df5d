"use strict";
for (const table of document.querySelectorAll("table[data-tools]")) {
  const body = table.tBodies[0];
  const key = (row, n) => {
    const cell = row.cells[n];
    return cell.dataset.n === undefined ? cell.textContent : Number(cell.dataset.n);
  };
  [...table.tHead.rows[0].cells].forEach((head, n) => {
    let down = false;
    head.dataset.sort = "";
    head.addEventListener("click", () => {
      down = !down;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a, n), key(b, n)];
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });
  if (body.rows.length > 8) {
    const box = document.createElement("input");
    box.type = "search";
    box.placeholder = "Filter these rows";
    box.addEventListener("input", () => {
      const wanted = box.value.toLowerCase();
      for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    table.before(box);
  }
}
