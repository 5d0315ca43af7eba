// Tables of the class "sortable" are sorted by a click on a header.
(() => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
        const rows = [...table.tBodies[0].rows];
        const numeric = rows.some((row) => row.cells[column].dataset.value !== undefined);
        const before = header.getAttribute("aria-sort");
        const rising = before ? before === "descending" : !numeric;
        markSorted(header, rising);
        const way = rising ? 1 : -1;
        rows.sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          if (!numeric) return way * compareNames(x, y);
          const [p, q] = [parseFloat(x), parseFloat(y)];
          if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q); // last
          return way * (p - q);
        });
        table.tBodies[0].append(...rows);
      });
    });
  }
})();
