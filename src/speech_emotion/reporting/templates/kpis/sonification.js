// Play the voices together; the chart and the slider seek, boxes mute.
(() => {
  const audios = [...document.querySelectorAll("audio[data-voice]")];
  const first = audios[0];
  const [play, position, cursor, chart, now] = ["play", "position", "cursor", "chart", "now"].map(byId);
  const DRIFT = 0.04; // seconds

  function draw() {
    const time = first.currentTime;
    const x = DATA.left + (DATA.right - DATA.left) * Math.min(time / DATA.seconds, 1);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    const reading = DATA.readings[Math.min(Math.floor(time / DATA.beat + 1e-6), DATA.readings.length - 1)];
    if (now.textContent !== reading) now.textContent = reading;
    if (document.activeElement !== position || !first.paused) position.value = time;
    position.setAttribute("aria-valuetext", reading);
    play.textContent = first.paused ? "Play" : "Pause";
    play.setAttribute("aria-pressed", String(!first.paused));
  }
  function follow() {
    for (const audio of audios) if (audio !== first && Math.abs(audio.currentTime - first.currentTime) > DRIFT && !audio.ended) audio.currentTime = first.currentTime;
    draw();
    if (!first.paused) requestAnimationFrame(follow);
  }
  function seek(seconds) {
    const time = Math.max(0, Math.min(seconds, DATA.seconds));
    for (const audio of audios) audio.currentTime = time;
    draw();
  }
  const start = () => {
    if (first.ended) seek(0);
    return Promise.all(audios.map((audio) => audio.play())).then(follow);
  };
  const stop = () => { for (const audio of audios) audio.pause(); draw(); };
  const toggle = () => (first.paused ? start() : stop());

  play.addEventListener("click", toggle);
  position.addEventListener("input", () => seek(Number(position.value)));
  byId("speed").addEventListener("change", (event) => {
    for (const audio of audios) audio.playbackRate = Number(event.target.value);
  });
  for (const box of document.querySelectorAll(".voice")) {
    box.checked = true;
    box.addEventListener("change", () => {
      for (const part of document.querySelectorAll(`[data-voice="${CSS.escape(box.value)}"]`)) {
        if (part.tagName === "AUDIO") part.muted = !box.checked;
        else part.classList.toggle("muted", !box.checked);
      }
    });
  }
  chart.addEventListener("click", (event) => {
    const area = chart.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * chart.viewBox.baseVal.width;
    seek(((x - DATA.left) / (DATA.right - DATA.left)) * DATA.seconds);
    start();
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, summary, button, a")) return;
    if (event.key === " ") toggle();
    else if (event.key === "ArrowRight") seek(first.currentTime + DATA.beat);
    else if (event.key === "ArrowLeft") seek(first.currentTime - DATA.beat);
    else return;
    event.preventDefault();
  });
  for (const change of ["seeked", "timeupdate", "ended", "pause"]) first.addEventListener(change, draw);
  draw();
})();
