"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const clock = (s) => {
    const t = Math.max(0, Math.floor(s));
    const two = (n) => String(n).padStart(2, "0");
    return Math.floor(t / 3600) + ":" + two(Math.floor(t / 60) % 60) + ":" + two(t % 60);
  };
  const nearest = (times, t) => {
    let low = 0, high = times.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] < t) low = middle; else high = middle;
    }
    return t - times[low] < times[high] - t ? low : high;
  };

  // Timelines: pointer or arrow keys show time and score; timelines stacked over one axis move together.
  const plots = [...document.querySelectorAll(".timeline")].map((figure) => {
    const canvas = figure.querySelector(".canvas");
    return {
      figure, canvas,
      data: JSON.parse(figure.querySelector("script").textContent),
      start: Number(canvas.dataset.start), end: Number(canvas.dataset.end),
      tip: canvas.querySelector(".tip"), cursor: canvas.querySelector(".cursor"), at: 0,
    };
  }).filter((plot) => plot.data.t.length > 0);
  const together = (plot) => {
    const stack = plot.figure.closest(".stack");
    return stack ? plots.filter((other) => stack.contains(other.figure)) : [plot];
  };
  const show = (plot, share) => {
    const at = Math.min(1, Math.max(0, share));
    const time = plot.start + at * (plot.end - plot.start);
    for (const one of together(plot)) {
      const i = nearest(one.data.t, time);
      one.at = at;
      one.cursor.style.left = 100 * at + "%";
      one.tip.textContent = clock(time) + "  score " + one.data.s[i] + (one.data.r[i] === one.data.s[i] ? "" : "  (raw " + one.data.r[i] + ")");
      one.tip.style.left = at < 0.5 ? "calc(" + 100 * at + "% + 8px)" : "auto";
      one.tip.style.right = at < 0.5 ? "auto" : "calc(" + 100 * (1 - at) + "% + 8px)";
      one.canvas.classList.add("on");
    }
  };
  const hide = (plot) => together(plot).forEach((one) => one.canvas.classList.remove("on"));
  for (const plot of plots) {
    const share = (event) => {
      const box = plot.canvas.getBoundingClientRect();
      return (event.clientX - box.left) / box.width;
    };
    plot.canvas.addEventListener("pointermove", (event) => show(plot, share(event)));
    plot.canvas.addEventListener("pointerdown", (event) => show(plot, share(event)));
    plot.canvas.addEventListener("pointerleave", () => hide(plot));
    plot.canvas.addEventListener("blur", () => hide(plot));
    plot.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.005, ArrowRight: 0.005, PageDown: 0.05, PageUp: -0.05 }[event.key];
      if (step === undefined || event.target !== plot.canvas) return;
      event.preventDefault();
      show(plot, plot.at + step);
    });
  }

  // A link to an event inside a closed group opens the group.
  const reveal = () => {
    const card = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!card) return;
    let closed = false;
    for (let box = card.closest("details"); box; box = box.parentElement.closest("details")) {
      closed = closed || !box.open;
      box.open = true;
    }
    if (closed) card.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // Clips play while they are seen; for those who want no motion they wait for a touch.
  const clips = document.querySelectorAll("video");
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    for (const clip of clips) { clip.autoplay = false; clip.pause(); clip.controls = true; }
  } else {
    if ("IntersectionObserver" in window) {
      const watch = new IntersectionObserver((entries) => {
        for (const { target, isIntersecting } of entries) {
          if (isIntersecting && !target.dataset.held) target.play().catch(() => {}); else target.pause();
        }
      });
      for (const clip of clips) { clip.autoplay = false; watch.observe(clip); }
    }
    const toggle = (clip) => {
      if (clip.paused) { delete clip.dataset.held; clip.play().catch(() => {}); }
      else { clip.dataset.held = "1"; clip.pause(); }
    };
    for (const clip of clips) {
      clip.addEventListener("click", () => toggle(clip));
      clip.addEventListener("keydown", (event) => {
        if (event.key !== " " && event.key !== "Enter") return;
        event.preventDefault();
        toggle(clip);
      });
    }
  }

  const opacity = document.getElementById("heat-opacity");
  if (opacity) opacity.addEventListener("input", () => root.style.setProperty("--opacity", opacity.value / 100));
})();
