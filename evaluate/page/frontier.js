{
  const order = data.variants.map((_, index) => index);
  const front = [];
  order
    .slice()
    .sort((one, other) => data.variants[one].size - data.variants[other].size || data.variants[other].auc - data.variants[one].auc)
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
      const wide = 7.6 * data.variants[index].name.length;
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

  chart(byId("frontier"), (width) => {
    const sizes = data.variants.map((variant) => variant.size);
    const ends = data.variants.flatMap((variant) => variant.interval ?? [variant.auc, variant.auc]);
    const margin = 0.08 * Math.max(Math.max(...ends) - Math.min(...ends), 0.01);
    const y = [Math.max(0, Math.min(...ends) - margin), Math.min(1, Math.max(...ends) + margin)];
    const label = `Size and AUC: ${data.variants.map((v) => `${v.name}, ${v.size.toFixed(2)} MiB, ${v.auc.toFixed(4)}`).join("; ")}`;
    const x = [0, 1.08 * Math.max(...sizes)];
    const scale = axes({ width, height: Math.min(420, 0.75 * width + 60), x, y, xLabel: "Size (MiB)", yLabel: "AUC", label });
    const points = data.variants.map((variant) => [scale.atX(variant.size), scale.atY(variant.auc)]);
    scale.area.append(shape("path", { class: "front", d: polyline(front.map((index) => points[index])) }));
    data.variants.forEach((variant, index) => {
      if (!variant.interval) return;
      const [low, high] = variant.interval.map(scale.atY);
      const across = points[index][0];
      scale.area.append(
        line([across, low], [across, high], `error v${index % 7}`),
        line([across - 4, low], [across + 4, low], `error v${index % 7}`),
        line([across - 4, high], [across + 4, high], `error v${index % 7}`),
      );
    });
    const names = placed(points, scale.inner);
    data.variants.forEach((variant, index) => {
      const mark = marker(index, ...points[index], 18);
      mark.append(shape("title", {}, `${variant.name}: ${variant.size.toFixed(2)} MiB, AUC ${variant.auc.toFixed(4)}`));
      scale.frame.append(mark);
      const place = names[index];
      if (!place) return;
      if (Math.abs(place.y - points[index][1]) > 1) {
        const end = place.x + (place.anchor === "start" ? -3 : 3);
        scale.area.append(line(points[index], [end, place.y], "leader"));
      }
      scale.frame.append(shape("text", { class: "name", x: place.x, y: place.y + 4, "text-anchor": place.anchor }, variant.name));
    });
    return [scale.svg];
  });
}
