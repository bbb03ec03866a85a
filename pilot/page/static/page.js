"use strict";
// Reads the live part of the page again every few seconds while the page is seen, and keeps focus and scroll.
(() => {
  const every = Number(document.body.dataset.refresh) * 1000;
  const live = document.getElementById("live");
  if (!every || !live) return;
  const button = document.getElementById("pause");
  const state = document.getElementById("state");
  let paused = false;

  const say = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };

  const put = (text) => {
    const next = new DOMParser().parseFromString(text, "text/html");
    const fresh = next.getElementById("live");
    if (!fresh) throw new Error("the answer is no page");
    const active = live.contains(document.activeElement) ? document.activeElement : null;
    const href = active && active.getAttribute("href");
    const graph = live.querySelector(".graph");
    const left = graph ? graph.scrollLeft : 0;
    const onGraph = active !== null && active === graph;
    const open = live.querySelector("details[open]") !== null;
    live.replaceChildren(...fresh.childNodes);
    document.getElementById("problems").replaceChildren(...next.getElementById("problems").childNodes);
    const now = live.querySelector(".graph");
    if (now) now.scrollLeft = left;
    if (open) live.querySelector("details")?.setAttribute("open", "");
    if (onGraph) now?.focus({ preventScroll: true });
    if (href) live.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (!paused && !document.hidden) {
      try {
        const answer = await fetch(location.href, { cache: "no-store" });
        if (!answer.ok) throw new Error(`the control plane answers ${answer.status}`);
        const text = await answer.text();
        if (!paused) put(text);
        say("");
      } catch (problem) {
        say(`not refreshed: ${problem.message}`);
      }
    }
    setTimeout(refresh, every);
  };

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
  });
  setTimeout(refresh, every);
})();
