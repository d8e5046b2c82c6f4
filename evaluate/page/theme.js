{
  const button = byId("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const show = (isDark) => {
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(isDark));
  };
  show(dark.matches);
  dark.addEventListener("change", () => show(dark.matches));
  button.addEventListener("click", () => show(button.getAttribute("aria-pressed") === "false"));
}
