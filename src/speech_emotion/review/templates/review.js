// The item page: player, cursor over the lanes, keys. Without this script, all of its forms work.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const [audio, lanes, hand, cut] = ["audio", "lanes", "hand", "cut"].map(byId);
  const keep = (name, value) => { try { localStorage.setItem(`review.${name}`, value); } catch { /* private mode */ } };
  const kept = (name) => { try { return localStorage.getItem(`review.${name}`); } catch { return null; } };

  if (audio && lanes) {
    const [from, to, start, end] = ["from", "to", "start", "end"].map((name) => Number(lanes.dataset[name]));
    const share = (seconds) => `${(100 * (seconds - from)) / (to - from)}%`;
    let until = null;
    if (cut) {
      cut.style.left = share(start);
      cut.style.width = `${(100 * (end - start)) / (to - from)}%`;
    }
    const seek = (seconds) => { audio.currentTime = Math.max(seconds, 0); move(); };
    const move = () => {
      const at = audio.currentTime;
      const within = at >= from && at <= to && (at > 0 || !audio.paused);
      hand.style.display = within ? "block" : "none";
      hand.style.left = share(at);
      if (until !== null && at >= until) {
        until = null;
        audio.pause();
      }
    };
    const play = (first, last) => {
      seek(first);
      until = last;
      audio.play().catch(() => { /* the error event says why */ });
    };
    const toggle = () => {
      if (!audio.paused) audio.pause();
      else if (audio.currentTime > from && audio.currentTime < to - 0.2) audio.play().catch(() => {});
      else play(from, to);
    };
    let frame = 0;
    const run = () => { move(); if (!audio.paused) frame = requestAnimationFrame(run); };
    audio.addEventListener("play", () => { cancelAnimationFrame(frame); run(); });
    for (const name of ["pause", "seeked", "timeupdate"]) audio.addEventListener(name, move);
    audio.addEventListener("error", () => { byId("audio-problem").hidden = false; });
    // The beginning of a call is not what is to be heard.
    audio.addEventListener("loadedmetadata", () => { if (audio.currentTime === 0 && from > 0) seek(from); });
    if (audio.readyState > 0 && from > 0) seek(from);
    byId("play").addEventListener("click", toggle);
    byId("only")?.addEventListener("click", () => play(start, end));
    lanes.addEventListener("click", (event) => {
      const box = lanes.getBoundingClientRect();
      play(from + ((event.clientX - box.left) / box.width) * (to - from), null);
    });
    const speed = byId("speed"), volume = byId("volume");
    const apply = () => { audio.playbackRate = Number(speed.value); audio.volume = Number(volume.value); };
    if (kept("speed")) speed.value = kept("speed");
    if (!speed.value) speed.value = "1";
    if (kept("volume") !== null) volume.value = kept("volume");
    apply();
    audio.addEventListener("loadedmetadata", apply);
    speed.addEventListener("input", () => { apply(); keep("speed", speed.value); });
    volume.addEventListener("input", () => { apply(); keep("volume", volume.value); });
    audio.addEventListener("volumechange", () => { volume.value = audio.volume; });
    addEventListener("keydown", (event) => {
      if (ignored(event)) return;
      if (event.key === " " && event.target.tagName !== "BUTTON" && event.target.tagName !== "SUMMARY") toggle();
      else if (event.key === "ArrowLeft" && event.target !== audio) seek(audio.currentTime - 3);
      else if (event.key === "ArrowRight" && event.target !== audio) seek(audio.currentTime + 3);
      else return;
      event.preventDefault();
    });
  }

  function ignored(event) {
    const field = event.target.closest("textarea, select, input:not([type=checkbox])");
    return field || event.ctrlKey || event.altKey || event.metaKey || event.isComposing;
  }
  const shortcuts = byId("shortcuts");
  shortcuts.checked = kept("shortcuts") !== "off";
  shortcuts.addEventListener("change", () => keep("shortcuts", shortcuts.checked ? "on" : "off"));
  const press = (selector) => () => document.querySelector(selector)?.click();
  const focus = (id) => () => byId(id)?.focus();
  const KEYS = {
    a: press("#verdict [value=angry]"), n: press("#verdict [value=not_angry]"), c: press("#verdict [value=cannot_tell]"),
    u: press("#undo"), s: press("#skip"), p: press("#only"), e: focus("emotion"), m: focus("note"),
  };
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.matches("textarea, select")) event.target.blur();
    const act = KEYS[event.key.toLowerCase()];
    if (!act || event.repeat || ignored(event) || !shortcuts.checked) return;
    event.preventDefault();
    act();
  });
  // A verdict is sent once, however often a key is pressed.
  const form = byId("verdict");
  let sent = false;
  form?.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", (event) => { if (event.persisted) sent = false; });
})();
