// One model against the baseline: each video's scores, and how far scores are probabilities.
{
  const before = data.variants[baseline];
  const others = data.variants.filter((variant, index) => index !== baseline && variant.complete);
  const select = byId("agreement-variant");
  const output = byId("scatter-video");
  let places = [];

  const dots = (rows, variant, scale) => {
    const size = 3.4;
    const drawn = (row) => {
      const x = scale.atX(before.scores[row]);
      const y = scale.atY(variant.scores[row]);
      if (data.fake[row]) return `M${(x - size).toFixed(1)} ${(y + 2.6).toFixed(1)}h${2 * size}l${-size}-6z`;
      return `M${(x - size).toFixed(1)} ${y.toFixed(1)}a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0z`;
    };
    return rows.map(drawn).join("");
  };

  const scatter = (width) => {
    const variant = data.variants[Number(select.value)];
    const label = `Scores of ${variant.name} against those of the baseline`;
    const bounds = { x: [-0.02, 1.02], y: [-0.02, 1.02], xLabel: "Score by the baseline", yLabel: `Score by ${variant.name}` };
    const scale = axes({ width, height: Math.min(width, 440), ...bounds, label });
    const cut = [scale.atX(decision.of(before)), scale.atY(decision.of(variant))];
    scale.area.append(
      line([scale.atX(0), scale.atY(0)], [scale.atX(1), scale.atY(1)], "chance"),
      line([cut[0], 0], [cut[0], scale.inner.height], "cut"),
      line([0, cut[1]], [scale.inner.width, cut[1]], "cut"),
    );
    for (const flipped of [false, true]) {
      for (const fake of [0, 1]) {
        const rows = rowsWhere((row) => data.fake[row] === fake && isFlipped(variant, row) === flipped);
        scale.area.append(shape("path", { class: `dots ${fake ? "fake" : "real"}${flipped ? " flipped" : ""}`, d: dots(rows, variant, scale) }));
      }
    }
    places = data.videos.map((_, row) => [scale.left + scale.atX(before.scores[row]), scale.top + scale.atY(variant.scores[row])]);
    scale.svg.addEventListener("pointermove", (event) => {
      const ratio = width / scale.svg.getBoundingClientRect().width;
      nearest(variant, event.offsetX * ratio, event.offsetY * ratio);
    });
    return [scale.svg];
  };

  const nearest = (variant, x, y) => {
    let [found, least] = [-1, 144];
    places.forEach((place, row) => {
      const distance = (place[0] - x) ** 2 + (place[1] - y) ** 2;
      if (distance < least) [found, least] = [row, distance];
    });
    const text = found < 0 ? "" : `: ${before.scores[found].toFixed(4)} → ${variant.scores[found].toFixed(4)}`;
    output.replaceChildren(...(found < 0 ? [] : [element("bdi", {}, data.videos[found]), text]));
  };

  const curve = (variant, index, scale) => {
    const points = variant.reliability.filter((bin) => bin[2] > 0).map((bin) => [scale.atX(bin[3]), scale.atY(bin[4])]);
    return [
      shape("path", { class: `curve v${index % 8} d${index % 5}`, d: polyline(points) }),
      ...points.map((point) => marker(index, ...point, 14)),
    ];
  };

  const reliability = (width) => {
    const index = Number(select.value);
    const variant = data.variants[index];
    const label = `Share of fakes against score, for ${variant.name} and the baseline`;
    const bounds = { x: [0, 1], y: [0, 1], xLabel: "Mean score", yLabel: "Share of fakes" };
    const scale = axes({ width, height: Math.min(width, 440), ...bounds, label });
    const most = Math.max(...variant.reliability.map((bin) => bin[2]), 1);
    for (const [low, high, count] of variant.reliability) {
      const tall = (0.28 * scale.inner.height * count) / most;
      const wide = scale.atX(high) - scale.atX(low);
      const bar = shape("rect", { class: "bin", x: scale.atX(low) + 1, y: scale.inner.height - tall, width: Math.max(wide - 2, 1), height: tall });
      bar.append(shape("title", {}, `${count} videos`));
      scale.area.append(bar);
    }
    scale.area.append(line([scale.atX(0), scale.atY(0)], [scale.atX(1), scale.atY(1)], "chance"));
    scale.frame.append(...curve(before, baseline, scale), ...curve(variant, index, scale));
    const key = [baseline, index].map((each) => element("span", {}, glyph(each), data.variants[each].name));
    return [scale.svg, element("div", { class: "legend" }, ...key)];
  };

  if (before && before.complete && others.length) {
    for (const variant of others) select.append(element("option", { value: data.variants.indexOf(variant) }, variant.name));
    byId("agreement").hidden = false;
    const redrawScatter = chart(byId("scatter"), scatter);
    const redrawReliability = chart(byId("reliability"), reliability);
    const sum = () => {
      const variant = data.variants[Number(select.value)];
      const flipped = rowsWhere((row) => isFlipped(variant, row));
      const broken = flipped.filter((row) => isWrong(variant, row)).length;
      const at = decision.origin === "refitted" ? "each one's own threshold" : decision.threshold.toFixed(4);
      const all = `${flipped.length} of ${data.videos.length} decisions flipped at ${at}`;
      byId("agreement-sum").textContent = `${all}: ${broken} broken, ${flipped.length - broken} repaired.`;
    };
    select.addEventListener("change", () => [sum, redrawScatter, redrawReliability].forEach((step) => step()));
    decision.followers.push(sum, redrawScatter);
    sum();
  }
}
