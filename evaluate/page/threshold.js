// The table of decisions, and the controls that all of them follow.
{
  const table = byId("threshold-table");
  const columns = ["tp", "tn", "fp", "fn", "precision", "recall", "f1", "accuracy"];
  const isCount = new Set(["tp", "tn", "fp", "fn", "flips"]);
  const cell = () => element("td");
  const rows = data.variants.map((variant, index) => {
    const name = element("th", { scope: "row", class: "name", "data-value": variant.name }, glyph(index), variant.name);
    return element("tr", { "data-variant": variant.name }, name, cell(), ...columns.map(cell), cell());
  });
  table.tBodies[0].append(...rows);

  const write = (target, value, text) => {
    target.dataset.value = value ?? "";
    target.textContent = value === null ? "–" : text;
  };
  const fill = (variant, index) => {
    const counts = confusionOf(variant);
    const cells = rows[index].cells;
    const threshold = variant.complete ? decision.of(variant) : data.threshold;
    write(cells[1], threshold, threshold.toFixed(4));
    columns.forEach((name, column) => {
      const value = counts[name];
      write(cells[2 + column], value, isCount.has(name) ? String(value) : value.toFixed(3));
    });
    const flips = variant.complete && baseline >= 0 ? rowsWhere((row) => isFlipped(variant, row)).length : null;
    write(cells[10], flips, String(flips));
  };

  const slider = byId("threshold-slider");
  const number = byId("threshold-number");
  const buttons = Array.from(document.querySelectorAll("[data-threshold]"));
  const refresh = () => {
    data.variants.forEach(fill);
    sortRows(table);
    slider.value = decision.threshold;
    slider.setAttribute("aria-valuetext", decision.threshold.toFixed(3));
    if (document.activeElement !== number) number.value = Number(decision.threshold.toFixed(6));
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.threshold === decision.origin)));
  };
  decision.followers.push(refresh);

  slider.addEventListener("input", () => decision.set(Number(slider.value), "own"));
  number.addEventListener("input", () => {
    if (number.value !== "" && number.validity.valid) decision.set(Number(number.value), "own");
  });
  for (const button of buttons) {
    const origin = button.dataset.threshold;
    if (origin === "refitted") button.hidden = !data.variants.some((variant) => variant.refitted !== null);
    const thresholds = { default: 0.5, frozen: data.frozen };
    button.addEventListener("click", () => decision.set(thresholds[origin] ?? decision.threshold, origin));
  }
  byId("threshold-controls").hidden = !data.variants.some((variant) => variant.complete);
  refresh();
}
