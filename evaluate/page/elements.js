// Elements are made by name and filled with text nodes only, so that no name of a video is ever read as markup.
const SVG = document.querySelector("svg").namespaceURI;

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null));
  return node;
}

function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

// After eight models the colours begin again, with other markers.
function markerOf(index) {
  return `marker-${(index + Math.floor(index / 8)) % 8}`;
}

function glyph(index) {
  const hollow = data.variants[index].simulated ? " hollow" : "";
  const frame = { class: `glyph v${index % 8}${hollow}`, viewBox: "-8 -8 16 16", "aria-hidden": "true" };
  // A copy: thousands of references to one symbol cost seconds.
  return shape("svg", frame, byId(markerOf(index)).firstElementChild.cloneNode());
}

function marker(index, x, y, size = 16) {
  const hollow = data.variants[index].simulated ? " hollow" : "";
  const place = { x: x - size / 2, y: y - size / 2, width: size, height: size };
  return shape("use", { href: `#${markerOf(index)}`, class: `marker v${index % 8}${hollow}`, ...place });
}
