// A chart is drawn for the width it has, so that its text keeps its size, and again when that changes.
function chart(host, draw) {
  let width = 0;
  const redraw = () => host.replaceChildren(...draw(width));
  new ResizeObserver(() => {
    // While a page is laid out for paper, a host may have no width to speak of.
    if (host.clientWidth >= 160 && host.clientWidth !== width) {
      width = host.clientWidth;
      redraw();
    }
  }).observe(host);
  return () => width && redraw();
}

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + 1e-9 * step; index += 1) found.push(index * step);
  return { values: found, decimals: Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)) };
}

// Returns the drawing, the scales, and a group that is clipped to the area between the axes.
function axes({ width, height, x, y, xLabel, yLabel, label }) {
  const left = 52;
  const [right, top, bottom] = [14, 10, 44];
  const inner = { width: width - left - right, height: height - top - bottom };
  const atX = (value) => ((value - x[0]) / (x[1] - x[0])) * inner.width;
  const atY = (value) => (1 - (value - y[0]) / (y[1] - y[0])) * inner.height;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const grid = shape("g", { transform: `translate(${left} ${top})` });
  const xTicks = ticks(x[0], x[1], Math.max(2, Math.min(8, inner.width / 70)));
  const yTicks = ticks(y[0], y[1], Math.max(2, Math.min(8, inner.height / 45)));
  for (const value of xTicks.values) {
    grid.append(
      shape("line", { class: "grid", x1: atX(value), x2: atX(value), y1: 0, y2: inner.height }),
      shape("text", { class: "tick", x: atX(value), y: inner.height + 18, "text-anchor": "middle" }, value.toFixed(xTicks.decimals)),
    );
  }
  for (const value of yTicks.values) {
    grid.append(
      shape("line", { class: "grid", x1: 0, x2: inner.width, y1: atY(value), y2: atY(value) }),
      shape("text", { class: "tick", x: -8, y: atY(value) + 4, "text-anchor": "end" }, value.toFixed(yTicks.decimals)),
    );
  }
  grid.append(
    shape("text", { class: "label", x: inner.width / 2, y: inner.height + 38, "text-anchor": "middle" }, xLabel),
    shape("text", { class: "label", x: -inner.height / 2, y: -40, "text-anchor": "middle", transform: "rotate(-90)" }, yLabel),
  );
  const area = shape("svg", { x: left, y: top, width: inner.width, height: inner.height, class: "area" });
  const frame = shape("g", { transform: `translate(${left} ${top})` });
  svg.append(grid, area, frame);
  return { svg, area, frame, atX, atY, inner, left, top };
}

function polyline(points) {
  return points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");
}

function line(from, to, kind) {
  return shape("line", { class: kind, x1: from[0], y1: from[1], x2: to[0], y2: to[1] });
}
