// Cards are made for as many videos as the reader asked to see, however many the test set has.
const gallery = { render: () => {} };
{
  const PAGE = 24;
  const form = byId("gallery-controls");
  const cards = byId("cards");
  const more = byId("gallery-more");
  const lowered = data.videos.map((name) => name.toLowerCase());
  const pictured = new Map(data.gallery.map((entry) => [entry.video, entry]));
  let uris = null;
  let found = [];
  let isNear = false;

  const moved = data.videos.map((_, row) => {
    const before = baseline < 0 ? null : data.variants[baseline].scores[row];
    if (before === null) return -1;
    return Math.max(...data.variants.map((variant) => (variant.scores[row] === null ? -1 : Math.abs(variant.scores[row] - before))));
  });
  const highest = data.videos.map((_, row) => Math.max(...data.variants.map((variant) => variant.scores[row] ?? -1)));

  // Megabytes of pictures are read when the first card needs one, not while the page opens.
  const uri = (key) => {
    uris ??= JSON.parse(byId("images").textContent);
    return uris[key];
  };

  const chosen = () => {
    const variant = byId("gallery-variant").value;
    return variant === "" ? data.variants : [data.variants[Number(variant)]];
  };

  const matching = () => {
    const words = byId("gallery-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const fields = new FormData(form);
    const label = { real: 0, fake: 1 }[fields.get("label")];
    const test = { flipped: isFlipped, wrong: isWrong }[fields.get("decision")];
    const models = chosen();
    const rows = rowsWhere(
      (row) =>
        (label === undefined || data.fake[row] === label) &&
        words.every((word) => lowered[row].includes(word)) &&
        (test === undefined || models.some((variant) => test(variant, row))),
    );
    const order = byId("gallery-order").value;
    if (order === "name") return rows.sort((one, other) => (lowered[one] < lowered[other] ? -1 : 1));
    const key = models.length === 1 ? ownKey(models[0], order) : order === "moved" ? moved : highest;
    return rows.sort((one, other) => key[other] - key[one]);
  };

  const ownKey = (variant, order) =>
    data.videos.map((_, row) => {
      const score = variant.scores[row];
      if (score === null) return -1;
      const before = baseline < 0 ? null : data.variants[baseline].scores[row];
      return order === "score" ? score : before === null ? -1 : Math.abs(score - before);
    });

  const picture = (key, caption, name) => {
    const image = element("img", { src: uri(key), alt: caption === "video" ? `Face in ${name}` : `Heatmap of ${name} by ${caption}` });
    return element("figure", {}, image, element("figcaption", {}, caption));
  };

  const strip = (row) => {
    const entry = pictured.get(row);
    if (!entry) return null;
    const name = data.videos[row];
    const pictures = entry.picture ? [picture(entry.picture, "video", name)] : [];
    pictures.push(...entry.heatmaps.map(([source, key]) => picture(key, source, name)));
    return pictures.length ? element("div", { class: "strip" }, ...pictures) : null;
  };

  const score = (variant, index, row) => {
    const value = variant.scores[row];
    if (value === null) return null;
    const called = calledFake(variant, row);
    const [wrong, flipped] = [isWrong(variant, row), isFlipped(variant, row)];
    const track = element("span", { class: "track", "aria-hidden": "true" }, element("i", { class: "cut" }), element("i", { class: `dot v${index % 8}` }));
    track.children[0].style.left = `${100 * decision.of(variant)}%`;
    track.children[1].style.left = `${100 * value}%`;
    const note = `${wrong ? " ✕" : ""}${flipped ? " ⇄" : ""}`;
    const words = [wrong ? "wrong" : "", flipped ? "flipped" : ""].filter(Boolean).join(", ");
    const marks = element("span", { class: "marks", title: words || null }, note.trim());
    const decided = element("span", { class: "called" }, called ? "fake" : "real");
    const kind = `${wrong ? "wrong" : ""}${flipped ? " flipped" : ""}`.trim();
    return element(
      "li",
      { class: kind || null, "data-variant": variant.name },
      glyph(index),
      element("span", { class: "model" }, variant.name),
      track,
      element("span", { class: "score" }, value.toFixed(4)),
      decided,
      marks,
    );
  };

  const card = (row) => {
    const label = data.fake[row] ? "fake" : "real";
    const name = element("h3", {}, element("bdi", {}, data.videos[row]));
    const scores = data.variants.map((variant, index) => score(variant, index, row));
    const head = element("header", {}, name, element("span", { class: `tag ${label}` }, label));
    return element("article", { class: "card" }, head, strip(row), element("ul", { class: "scores" }, ...scores));
  };

  const tell = () => {
    const left = found.length - cards.children.length;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(PAGE, left)} more`;
    const all = `${data.videos.length} videos`;
    const of = found.length === data.videos.length ? all : `${found.length} of ${all}`;
    byId("gallery-count").textContent = left ? `${of}; ${cards.children.length} shown` : of;
  };
  const render = (count) => {
    found = matching();
    cards.replaceChildren(...found.slice(0, count).map(card));
    tell();
  };
  gallery.render = () => {
    isNear = true;
    render(PAGE);
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", gallery.render);
  more.addEventListener("click", () => {
    const first = cards.children.length;
    cards.append(...found.slice(first, first + PAGE).map(card));
    tell();
    // The keyboard's place would be lost with the button.
    const next = cards.children[first];
    next.tabIndex = -1;
    next.focus({ preventScroll: true });
  });
  data.variants.forEach((variant, index) => byId("gallery-variant").append(element("option", { value: index }, variant.name)));
  let isDue = false;
  decision.followers.push(() => {
    if (!isNear || isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      render(Math.max(cards.children.length, PAGE));
    });
  });
  new IntersectionObserver(
    (entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if (!isNear) gallery.render();
    },
    { rootMargin: "800px" },
  ).observe(byId("gallery"));
}
