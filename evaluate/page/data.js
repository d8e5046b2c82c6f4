const data = JSON.parse(byId("data").textContent);
const baseline = data.variants.findIndex((variant) => variant.name === "baseline");

for (const variant of data.variants) {
  const of = (label) => Float64Array.from(variant.scores.filter((_, row) => data.fake[row] === label)).sort();
  variant.sorted = variant.complete ? { reals: of(0), fakes: of(1) } : null;
}

function atLeast(ascending, threshold) {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] < threshold) low = middle + 1;
    else high = middle;
  }
  return ascending.length - low;
}

function ratio(part, whole) {
  return whole ? part / whole : 0;
}

// Fake is the positive class; a ratio whose denominator is zero is zero, as in the report's other files.
function confusion(tp, tn, fp, fn) {
  return {
    tp,
    tn,
    fp,
    fn,
    precision: ratio(tp, tp + fp),
    recall: ratio(tp, tp + fn),
    alarms: ratio(fp, fp + tn),
    f1: ratio(2 * tp, 2 * tp + fp + fn),
    accuracy: ratio(tp + tn, tp + tn + fp + fn),
  };
}

// What the slider says, and who wants to know.
const decision = {
  threshold: data.frozen ?? data.threshold,
  origin: data.frozen === null ? "default" : "frozen",
  followers: [],
  of(variant) {
    return this.origin === "refitted" && variant.refitted !== null ? variant.refitted : this.threshold;
  },
  set(threshold, origin) {
    this.threshold = threshold;
    this.origin = origin;
    this.followers.forEach((follow) => follow());
  },
};

function confusionOf(variant) {
  if (!variant.sorted) return confusion(...variant.counts);
  const { reals, fakes } = variant.sorted;
  const tp = atLeast(fakes, decision.of(variant));
  const fp = atLeast(reals, decision.of(variant));
  return confusion(tp, reals.length - fp, fp, fakes.length - tp);
}

function calledFake(variant, row) {
  const score = variant.scores[row];
  return score === null ? null : score >= decision.of(variant);
}

function isWrong(variant, row) {
  const called = calledFake(variant, row);
  return called !== null && called !== (data.fake[row] === 1);
}

function isFlipped(variant, row) {
  if (baseline < 0) return false;
  const called = calledFake(variant, row);
  const before = calledFake(data.variants[baseline], row);
  return called !== null && before !== null && called !== before;
}

function rowsWhere(condition) {
  return data.videos.map((_, row) => row).filter(condition);
}
