// AUC against what it costs, and the models that no other beats in both.
function frontier(host, costOf, costLabel, costText) {
  const order = data.variants.map((_, index) => index).filter((index) => costOf(data.variants[index]) !== null);
  const costs = new Map(order.map((index) => [index, costOf(data.variants[index])]));
  const front = [];
  order
    .slice()
    .sort((one, other) => costs.get(one) - costs.get(other) || data.variants[other].auc - data.variants[one].auc)
    .forEach((index) => {
      if (!front.length || data.variants[index].auc > data.variants[front[front.length - 1]].auc) front.push(index);
    });

  // Tries places around each point and takes the first that is free; what finds none is named by the table alone.
  const placed = (points, inner) => {
    const taken = points.map(([x, y]) => [x - 8, y - 8, x + 8, y + 8]);
    const overlaps = (box) =>
      box[0] < 0 || box[1] < 0 || box[2] > inner.width || box[3] > inner.height ||
      taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]);
    return points.map(([x, y], index) => {
      const wide = 7.6 * data.variants[order[index]].name.length;
      const places = [];
      for (const rise of [0, -15, 15, -30, 30, -45, 45, 60, -60]) {
        places.push([x + 12, y + rise, "start"], [x - 12, y + rise, "end"]);
      }
      for (const [left, middle, anchor] of places) {
        const start = anchor === "start" ? left : left - wide;
        const box = [start, middle - 7, start + wide, middle + 7];
        if (overlaps(box)) continue;
        taken.push(box);
        return { x: left, y: middle, anchor };
      }
      return null;
    });
  };

  chart(host, (width) => {
    const variants = order.map((index) => data.variants[index]);
    const ends = variants.flatMap((variant) => variant.interval ?? [variant.auc, variant.auc]);
    const margin = 0.08 * Math.max(Math.max(...ends) - Math.min(...ends), 0.01);
    const y = [Math.max(0, Math.min(...ends) - margin), Math.min(1, Math.max(...ends) + margin)];
    const told = (index) => `${data.variants[index].name}: ${costText(costs.get(index))}, AUC ${data.variants[index].auc.toFixed(4)}`;
    const label = `${costLabel} and AUC. ${order.map(told).join("; ")}`;
    const x = [0, 1.1 * Math.max(...costs.values())];
    const scale = axes({ width, height: Math.min(420, 0.75 * width + 40), x, y, xLabel: costLabel, yLabel: "AUC", label });
    const at = new Map(order.map((index) => [index, [scale.atX(costs.get(index)), scale.atY(data.variants[index].auc)]]));
    scale.area.append(shape("path", { class: "front", d: polyline(front.map((index) => at.get(index))) }));
    const names = placed([...at.values()], scale.inner);
    order.forEach((index, place) => {
      const variant = data.variants[index];
      const [across, up] = at.get(index);
      const [low, high] = (variant.interval ?? [variant.auc, variant.auc]).map(scale.atY);
      for (const [from, to] of [[[across, low], [across, high]], [[across - 4, low], [across + 4, low]], [[across - 4, high], [across + 4, high]]]) {
        scale.area.append(line(from, to, `error v${index % 8}`));
      }
      const mark = marker(index, across, up, 18);
      mark.append(shape("title", {}, told(index)));
      scale.frame.append(mark);
      const name = names[place];
      if (!name) return;
      if (Math.abs(name.y - up) > 1) scale.area.append(line([across, up], [name.x + (name.anchor === "start" ? -3 : 3), name.y], "leader"));
      scale.frame.append(shape("text", { class: "name", x: name.x, y: name.y + 4, "text-anchor": name.anchor }, variant.name));
    });
    return [scale.svg];
  });
}

frontier(byId("size-frontier"), (variant) => variant.size, "Size (MiB)", (size) => `${size.toFixed(2)} MiB`);
if (byId("latency-frontier")) {
  frontier(byId("latency-frontier"), (variant) => variant.latency, "Latency (ms)", (time) => `${time.toPrecision(4)} ms`);
}
