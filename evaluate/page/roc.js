{
  const hidden = new Set();
  const corner = byId("roc-corner");
  let marks = null;
  let scale = null;

  const drawMarks = () => {
    const found = data.variants.flatMap((variant, index) => {
      if (hidden.has(index)) return [];
      const { alarms, recall, tp, fp } = confusionOf(variant);
      const mark = marker(index, scale.atX(alarms), scale.atY(recall), 17);
      mark.dataset.variant = variant.name;
      mark.append(shape("title", {}, `${variant.name}: ${tp} fakes found, ${fp} false alarms`));
      return [mark];
    });
    marks.replaceChildren(...found);
  };

  const legend = () =>
    element(
      "div",
      { class: "legend", role: "group", "aria-label": "Curves" },
      ...data.variants.map((variant, index) => {
        const sample = shape("svg", { class: "sample", viewBox: "0 0 34 16", "aria-hidden": "true" });
        sample.append(line([0, 8], [34, 8], `curve v${index % 8} d${index % 5}`), marker(index, 17, 8, 13));
        const button = element("button", { type: "button", "aria-pressed": String(!hidden.has(index)) }, sample, variant.name);
        button.addEventListener("click", () => {
          if (!hidden.delete(index)) hidden.add(index);
          button.setAttribute("aria-pressed", String(!hidden.has(index)));
          host.querySelector(`[data-curve="${index}"]`).classList.toggle("away", hidden.has(index));
          drawMarks();
        });
        return button;
      }),
    );

  const host = byId("roc");
  const redraw = chart(host, (width) => {
    const isCorner = corner.getAttribute("aria-pressed") === "true";
    const [x, y] = isCorner ? [[0, 0.25], [0.75, 1]] : [[0, 1], [0, 1]];
    const height = Math.min(width, 520);
    const label = `ROC curves of ${data.variants.map((variant) => `${variant.name}, AUC ${variant.auc.toFixed(4)}`).join("; ")}`;
    scale = axes({ width, height, x, y, xLabel: "False-positive rate", yLabel: "True-positive rate", label });
    scale.area.append(line([scale.atX(0), scale.atY(0)], [scale.atX(1), scale.atY(1)], "chance"));
    data.variants.forEach((variant, index) => {
      const [rates, found] = variant.roc;
      const points = rates.map((rate, point) => [scale.atX(rate), scale.atY(found[point])]);
      const path = shape("path", { class: `curve v${index % 8} d${index % 5}`, d: polyline(points), "data-curve": index });
      // An earlier curve is wider, so that one that coincides with it leaves a rim of it visible.
      path.style.strokeWidth = 1.6 + (2.4 * (data.variants.length - 1 - index)) / Math.max(data.variants.length - 1, 1);
      path.classList.toggle("away", hidden.has(index));
      scale.area.append(path);
    });
    marks = scale.frame;
    drawMarks();
    return [scale.svg, legend()];
  });
  decision.followers.push(() => marks && drawMarks());
  corner.addEventListener("click", () => {
    corner.setAttribute("aria-pressed", String(corner.getAttribute("aria-pressed") === "false"));
    redraw();
  });
}
