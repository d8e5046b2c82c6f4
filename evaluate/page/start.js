// A link to a folded finding opens it; paper cannot be unfolded, so that everything is open before it is printed.
function openTarget() {
  const target = location.hash ? byId(decodeURIComponent(location.hash.slice(1))) : null;
  if (target instanceof HTMLDetailsElement) target.open = true;
}

function unfold() {
  document.querySelectorAll("details").forEach((details) => {
    details.open = true;
  });
  if (!byId("cards").children.length) gallery.render();
}

window.addEventListener("hashchange", openTarget);
window.addEventListener("beforeprint", unfold);
window.matchMedia("print").addEventListener("change", (event) => event.matches && unfold());
openTarget();
