// Progressive enhancement: live parts, keyboard, copy buttons, theme. Every page reads without it.
"use strict";

(() => {
  const root = document.documentElement;
  root.classList.add("scripted");

  // Theme: the system's until the reader chooses; kept in this browser. Run at once, before the page is drawn.
  const THEMES = ["auto", "light", "dark"];
  const stored = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };
  const applyTheme = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) { button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme]; button.setAttribute("aria-label", `Colour theme: ${theme}`); }
  };
  const nextTheme = () => {
    const theme = THEMES[(THEMES.indexOf(stored()) + 1) % THEMES.length];
    try { localStorage.setItem("theme", theme); } catch { /* private window: the choice lasts for this page */ }
    applyTheme(theme);
  };
  applyTheme(stored());

  const secondsText = (seconds) => {
    const n = Math.floor(seconds);
    if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
    if (n < 60) return `${n} s`;
    if (n < 3600) return `${Math.floor(n / 60)} min ${n % 60} s`;
    if (n < 86400) return `${Math.floor(n / 3600)} h ${Math.floor((n % 3600) / 60)} min`;
    return `${Math.floor(n / 86400)} d ${Math.floor((n % 86400) / 3600)} h`;
  };
  const ages = () => {
    for (const each of document.querySelectorAll("[data-at]")) {
      const seconds = (Date.now() - Number(each.dataset.at)) / 1000;
      each.textContent = seconds >= 0 ? `${secondsText(seconds)} ago` : `in ${secondsText(-seconds)}`;
    }
  };

  // Copy buttons.
  const copyText = async (text) => {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text; area.className = "sr"; document.body.append(area); area.select();
    const done = document.execCommand("copy"); area.remove();
    if (!done) throw new Error("copy");
  };
  const onCopy = async (button) => {
    try { await copyText(button.dataset.copy); } catch { return; }
    button.classList.add("done");
    if (button.dataset.label) button.textContent = "Copied";
    setTimeout(() => { button.classList.remove("done"); if (button.dataset.label) button.textContent = button.dataset.label; }, 1400);
  };

  // Rows: j and k walk, Enter opens.
  const rows = () => [...document.querySelectorAll("[data-row]")];
  const pick = (step) => {
    const all = rows(); if (!all.length) return;
    const now = all.findIndex((row) => row.classList.contains("picked"));
    if (now >= 0) all[now].classList.remove("picked");
    const row = all[Math.min(all.length - 1, Math.max(0, now < 0 ? (step > 0 ? 0 : all.length - 1) : now + step))];
    row.classList.add("picked"); row.scrollIntoView({ block: "nearest" });
    const link = row.querySelector("a"); if (link) link.focus({ preventScroll: true });
  };
  const onKey = (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "Escape" && typing) { typing.blur(); return; }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { const box = document.getElementById("q"); if (box) { event.preventDefault(); box.focus(); box.select(); } }
    else if (event.key === "j") pick(1);
    else if (event.key === "k") pick(-1);
    else if (event.key === "t") nextTheme();
    else if (event.key === "Enter") {
      const row = document.querySelector(".picked");
      if (row && (event.target === document.body || row.contains(event.target)) && !event.target.closest("button")) { event.preventDefault(); location.assign(row.dataset.row); }
    }
  };

  // Live parts: an event that concerns the page makes it fetch itself and change what differs, at most every 1.5 s.
  const GAP = 1500;
  let due = null, last = 0, fetching = false, again = false;
  const keepOpen = (from, to) => {
    const open = [...from.querySelectorAll("details")].map((each) => each.open);
    to.querySelectorAll("details").forEach((each, index) => { if (open[index]) each.open = true; });
    const top = from.querySelector(".tall, .scroll"), other = to.querySelector(".tall, .scroll");
    return () => { if (top && other) other.scrollTop = top.scrollTop; };
  };
  const change = (old, fresh) => {
    const active = document.activeElement, inside = active && old.contains(active);
    if (inside && active.matches("input, textarea, select")) return;
    const selection = getSelection();
    if (selection && !selection.isCollapsed && old.contains(selection.anchorNode)) return;
    const picked = old.querySelector(".picked"), key = picked && picked.dataset.row;
    const focused = inside ? [active.tagName, active.getAttribute("href"), active.dataset.copy, active.getAttribute("aria-label")] : null;
    const scrolled = keepOpen(old, fresh);
    old.replaceWith(fresh); scrolled();
    if (key) for (const row of fresh.querySelectorAll("[data-row]")) if (row.dataset.row === key) { row.classList.add("picked"); break; }
    if (focused) {
      const twin = [...fresh.querySelectorAll(focused[0].toLowerCase())].find((each) => each.getAttribute("href") === focused[1] && each.dataset.copy === focused[2] && each.getAttribute("aria-label") === focused[3]);
      if (twin) twin.focus({ preventScroll: true });
    }
  };
  const refresh = async () => {
    if (fetching) { again = true; return; }
    fetching = true; last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual", cache: "no-store" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const old of document.querySelectorAll("[data-live]")) {
          const fresh = page.querySelector(`[data-live="${CSS.escape(old.dataset.live)}"]`);
          if (fresh && fresh.innerHTML !== old.innerHTML) change(old, document.importNode(fresh, true));
        }
        document.title = page.title; ages();
      } else if (answer.type === "opaqueredirect") location.reload();
    } catch { show("off", "no connection"); }
    fetching = false;
    if (again) { again = false; soon(); }
  };
  const soon = () => {
    if (due !== null || document.hidden) { again = again || document.hidden; return; }
    due = setTimeout(() => { due = null; refresh(); }, Math.max(60, last + GAP - Date.now()));
  };
  const show = (state, text) => {
    const mark = document.getElementById("live");
    if (mark) { mark.className = `live js ${state}`; mark.querySelector("span").textContent = text; }
  };
  const listen = () => {
    const topics = (document.body.dataset.topics || "").split(" ").filter(Boolean);
    if (!topics.length || !window.EventSource) return;
    const source = new EventSource(`/events?after=${document.body.dataset.after}`);
    source.onopen = () => show("on", "live");
    source.onerror = () => show("off", "reconnecting");
    source.addEventListener("task", (event) => {
      const said = JSON.parse(event.data);
      if (topics.includes("tasks") || topics.includes(`task:${said.task}`) || topics.includes(`project:${said.project}`)) soon();
    });
    source.addEventListener("prover", () => { if (topics.includes("provers")) soon(); });
    source.addEventListener("tick", () => { if (topics.includes("tick")) soon(); });
    source.addEventListener("reset", soon);
    addEventListener("pagehide", () => source.close());
  };

  document.addEventListener("DOMContentLoaded", () => {
    applyTheme(stored());
    const button = document.getElementById("theme");
    if (button) button.addEventListener("click", nextTheme);
    document.addEventListener("click", (event) => { const copy = event.target.closest("[data-copy]"); if (copy) onCopy(copy); });
    document.addEventListener("keydown", onKey);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && again) { again = false; soon(); } });
    const form = document.querySelector("form[data-submit]");
    if (form) form.requestSubmit();
    setInterval(ages, 1000); ages(); listen();
  });
})();
