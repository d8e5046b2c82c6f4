function sortKey(row, column) {
  const text = row.cells[column].dataset.value ?? "";
  const number = Number(text);
  return text === "" ? null : Number.isNaN(number) ? text : number;
}

// What was not measured comes last in both directions.
function compareKeys(one, other, sign) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one === typeof other) return sign * (one < other ? -1 : one > other ? 1 : 0);
  return sign * String(one).localeCompare(String(other));
}

function sortRows(table) {
  const header = table.querySelector("th[aria-sort='ascending'], th[aria-sort='descending']");
  if (!header) return;
  const sign = header.getAttribute("aria-sort") === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const keyed = Array.from(body.rows, (row) => [sortKey(row, header.cellIndex), row]);
  keyed.sort((one, other) => compareKeys(one[0], other[0], sign));
  body.append(...keyed.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headers = Array.from(table.querySelectorAll("th[aria-sort]"));
  for (const header of headers) {
    header.querySelector("button").addEventListener("click", () => {
      const next = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      headers.forEach((other) => other.setAttribute("aria-sort", other === header ? next : "none"));
      sortRows(table);
    });
  }
}
